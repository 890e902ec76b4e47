"""Whose turn a version in review is: who could decide, who is asked to, since when it is overdue.

Not for whether a decision is allowed (``approval``, ``lifecycle``), nor for asking anybody
(``operations.lifecycle.asking``).
"""

from __future__ import annotations

from datetime import timedelta
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from django.contrib.auth.models import User
from django.db.models import Count, Exists, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from registry import access, lifecycle
from registry.choices import Action, State, Verdict
from registry.evidence import with_decided_on
from registry.glass import is_unlooked, waits
from registry.models import (
    AskedReviewer,
    BrokenGlass,
    FeatureViewUserObjectPermission,
    FeatureViewVersion,
    Project,
    ProjectUserObjectPermission,
    Review,
    VersionEditor,
)
from registry.queries import waiting_for_review

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser
    from django.db.models import QuerySet

RIGHT = lifecycle.PERMISSION[Action.APPROVE]
#: Hours that a project may give its reviewers: up to a year.
MOST_HOURS = 8760


def could_decide(version: FeatureViewVersion) -> QuerySet[User]:
    """Return the people who may approve the view's versions and wrote nothing of this one.

    By a role or a grant: a superuser may as well, but is not of every project's team.
    """
    view = version.feature_view
    of_project = ProjectUserObjectPermission.objects.filter(
        content_object=view.project_id, permission__codename=RIGHT
    )
    of_view = FeatureViewUserObjectPermission.objects.filter(
        content_object=view.pk, permission__codename=RIGHT
    )
    may = Q(pk__in=of_project.values("user")) | Q(pk__in=of_view.values("user"))
    people = User.objects.filter(access.PERSON, may)
    editors = VersionEditor.objects.filter(version=version.pk)
    return people.filter(is_active=True).exclude(pk__in=editors.values("user")).order_by("username")


def asked_now() -> QuerySet[AskedReviewer]:
    """Return who is asked and could still decide: not those who left, or edited since."""
    right = {"user": OuterRef("reviewer"), "permission__codename": RIGHT}
    of_project = ProjectUserObjectPermission.objects.filter(
        content_object=OuterRef("version__feature_view__project"), **right
    )
    of_view = FeatureViewUserObjectPermission.objects.filter(
        content_object=OuterRef("version__feature_view"), **right
    )
    edited = VersionEditor.objects.filter(version=OuterRef("version"), user=OuterRef("reviewer"))
    may = Exists(of_project) | Exists(of_view)
    return AskedReviewer.objects.filter(may, ~Exists(edited), reviewer__is_active=True)


def undecided(
    user: User | AnonymousUser, projects: Iterable[Project]
) -> QuerySet[FeatureViewVersion]:
    """Return what waits and this person neither edited nor has decided on: longest waiting first.

    ``projects`` are those in which they may approve. One person has one voice on what is decided
    on: who approved before the evidence came looks again.
    """
    given = Review.objects.filter(
        version=OuterRef("pk"), reviewer=user.pk, decided_on=OuterRef("decided_on")
    )
    waiting = with_decided_on(waiting_for_review(projects)).exclude(Exists(given))
    # What somebody broke they do not look at.
    mine = BrokenGlass.objects.filter(version=OuterRef("pk"), broken_by=user.pk)
    return waiting.exclude(editors__user=user.pk).exclude(Exists(mine))


def asked_of(
    versions: QuerySet[FeatureViewVersion], user: User | AnonymousUser
) -> QuerySet[FeatureViewVersion]:
    """Keep what is asked of this person; where nobody is asked who could decide, it is of all.

    A broken glass is of all, whoever was asked before.
    """
    asked = asked_now().filter(version=OuterRef("pk"))
    of_me = Exists(asked.filter(reviewer=user.pk))
    return versions.filter(of_me | ~Exists(asked) | is_unlooked())


def submitted_by(
    versions: QuerySet[FeatureViewVersion], user: User | AnonymousUser
) -> QuerySet[FeatureViewVersion]:
    """Keep what waits for others: this person submitted it, or wrote some of it."""
    mine = VersionEditor.objects.filter(version=OuterRef("pk"), user=user.pk)
    return versions.filter(waits(), Exists(mine))


def overdue(
    versions: QuerySet[FeatureViewVersion], *, at: datetime
) -> QuerySet[FeatureViewVersion]:
    """Keep what waits for longer than its project gives reviewers."""
    hours = Project.objects.order_by().values_list("review_hours", flat=True).distinct()
    late = (
        Q(feature_view__project__review_hours=each, submitted_at__lt=at - timedelta(hours=each))
        for each in hours
    )
    return versions.filter(reduce(or_, late, Q(pk=None)), state=State.IN_REVIEW)


def due_at(version: FeatureViewVersion) -> datetime | None:
    """Return when a version that waits becomes overdue; None when it does not wait."""
    if version.state != State.IN_REVIEW or version.submitted_at is None:
        return None
    return version.submitted_at + timedelta(hours=version.feature_view.project.review_hours)


def names_asked(versions: Iterable[FeatureViewVersion]) -> dict[int, list[str]]:
    """Return, by version, who is asked and could still decide; those of nobody are not there."""
    names: dict[int, list[str]] = {}
    rows = asked_now().filter(version__in=[version.pk for version in versions])
    for pk, name in rows.values_list("version", "reviewer__username"):
        names.setdefault(pk, []).append(name)
    return names


def with_agreed(versions: QuerySet[FeatureViewVersion]) -> QuerySet[FeatureViewVersion]:
    """Count in ``agreed`` how many at most approved what each says now: see ``approval.agreed``."""
    same = Review.objects.filter(version=OuterRef("pk"), decided_on=OuterRef("decided_on"))
    same = same.filter(verdict=Verdict.APPROVED, reviewer__is_active=True).order_by()
    count = same.values("version").annotate(count=Count("pk")).values("count")
    return with_decided_on(versions).annotate(agreed=Coalesce(Subquery(count), 0))
