"""What waits for one person's decision, in the order in which it was submitted.

Not for whether they may decide on it: the page asks ``lifecycle`` and ``approval`` again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db.models import F, Q

from registry.admin.scope import projects_with
from registry.choices import Right
from registry.models import Project, Review
from registry.queries import waiting_for_review

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from registry.models import FeatureViewVersion


class Place(NamedTuple):
    """Where a version stands among those that wait, from 1; None: it does not wait for them.

    ``previous`` and ``next_one`` are the keys of its neighbours; an end leads to the other.
    """

    position: int | None
    total: int
    previous: int | None
    next_one: int | None


def waiting_for(request: HttpRequest) -> QuerySet[FeatureViewVersion]:
    """Return what this person may decide on and has not: longest waiting first.

    Nobody decides on what they edited, and one person has one voice on a submission.
    """
    projects = Project.objects.filter(pk__in=projects_with(request, Right.APPROVE_FEATUREVIEW))
    given = Review.objects.filter(
        reviewer=request.user.pk, packet_hash=F("version__packet_hash")
    ).values("version")
    waiting = waiting_for_review(projects).exclude(pk__in=given)
    return waiting.exclude(editors__user=request.user.pk).order_by("submitted_at", "pk")


def place_of(request: HttpRequest, version: FeatureViewVersion) -> Place:
    """Return where the version stands in the person's queue; costs one short question."""
    keys = list(waiting_for(request).values_list("pk", flat=True))
    if version.pk not in keys:
        return Place(None, len(keys), None, keys[0] if keys else None)
    here = keys.index(version.pk)
    others = keys[here + 1 :] + keys[:here]
    return Place(here + 1, len(keys), others[-1] if others else None, others[0] if others else None)


def after(request: HttpRequest, version: FeatureViewVersion) -> FeatureViewVersion | None:
    """Return what follows a version that was just decided on; after the last one the first."""
    others = waiting_for(request).exclude(pk=version.pk)
    at = version.submitted_at
    later = Q(submitted_at__gt=at) | Q(submitted_at=at, pk__gt=version.pk)
    return others.filter(later).first() or others.first()
