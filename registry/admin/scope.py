"""Whose objects a person sees in the admin: those of the projects in which they hold a right.

Not for deciding what a right allows: ``roles.ROLES`` says that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from guardian.shortcuts import get_objects_for_user

from registry import access
from registry.choices import Right
from registry.models import FeatureView, Project

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet
    from django.http import HttpRequest


def projects_with(request: HttpRequest, right: Right = Right.VIEW_PROJECT) -> frozenset[int]:
    """Return the ids of the projects in which the asking person holds ``right``.

    A page asks often and the answer holds for one request, so it is kept on the request.
    """
    known: dict[Right, frozenset[int]] = request.__dict__.setdefault("_assay_projects", {})
    if right not in known:
        known[right] = frozenset(_projects(request, right).values_list("pk", flat=True))
    return known[right]


def can_press(request: HttpRequest, right: Right, obj: Project | FeatureView) -> bool:
    """Return whether a page shows the button that takes ``right``: to staff who hold it."""
    return request.user.is_staff and access.can(request.user, right, obj)


def _projects(request: HttpRequest, right: Right) -> QuerySet[Project]:
    visible = access.visible_projects(request.user)
    if right == Right.VIEW_PROJECT or request.user.is_superuser or request.user.is_anonymous:
        return visible
    granted: QuerySet[Project] = get_objects_for_user(request.user, right, Project)
    return visible.filter(pk__in=granted.values("pk"))


def project_of(obj: Model, path: str) -> Project | None:
    """Follow ``path``, as in ``feature_view__project``, from an object to its project."""
    found: Any = obj
    for name in path.split("__"):
        found = getattr(found, name) if found is not None else None
    return found if isinstance(found, Project) else None
