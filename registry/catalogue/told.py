"""What of a project's objects somebody is told of by the token they came with.

Not for what its account may see (``access``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.catalogue.entries import rows_in_use
from registry.models import Entity, FeatureService, FeatureView
from registry.scopes import told_to, views_of

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User
    from django.db.models import QuerySet

    from registry.models import Project


def told_of(user: User | AnonymousUser, project: Project, rows: QuerySet[Any]) -> QuerySet[Any]:
    """Return what of a project somebody is told of by the token they came with.

    Limited to views: these, what they are made of, and services that read nothing else.
    """
    views = views_of(user)
    if views is None:
        return rows
    if rows.model is FeatureView:
        return told_to(user, rows, "")
    if rows.model is FeatureService:
        others = FeatureView.objects.filter(project=project).exclude(name__in=views)
        return rows.exclude(current__members__feature_view__in=others)
    used = [row.words for row in rows_in_use({project.pk}) if row.view in views]
    if rows.model is Entity:
        return rows.filter(name__in={name for words in used for name in words.entities})
    return rows.filter(name__in={name for words in used for name in words.sources})
