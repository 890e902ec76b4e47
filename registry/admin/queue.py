"""What waits for one person's decision, in the order of the list they came from.

Not for whether they may decide on it: the page asks ``lifecycle`` and ``approval`` again.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import QueryDict
from django.urls import reverse

from registry.admin.scope import projects_with
from registry.models import Project
from registry.reviewers import RIGHT, undecided

if TYPE_CHECKING:
    from django.contrib.admin import ModelAdmin
    from django.db.models import QuerySet
    from django.http import HttpRequest

    from registry.models import FeatureViewVersion

#: What Django calls the parameters of the list that a page was reached from.
KEPT = "_changelist_filters"
PAGE = "admin:registry_featureviewversion_change"


class Place(NamedTuple):
    """Where a version stands among those that wait, from 1; None: it does not wait for them.

    ``previous`` and ``next_one`` are addresses of its neighbours; an end leads to the other.
    ``kept`` ends the address of every page of this walk, ``back`` is that of its list.
    """

    position: int | None
    total: int
    previous: str
    next_one: str
    kept: str
    back: str


def waiting_for(request: HttpRequest) -> QuerySet[FeatureViewVersion]:
    """Return what this person may decide on and has not: longest waiting first."""
    projects = Project.objects.filter(pk__in=projects_with(request, RIGHT))
    return undecided(request.user, projects)


def queue_of(request: HttpRequest, admin: ModelAdmin[Any]) -> list[int]:
    """Return the keys of what waits for the person, as their list had it if they came from one."""
    waiting = waiting_for(request)
    if rows := _listed(request, admin):
        # What sensitivities a filter is by may find a version more than once.
        found = rows[0].filter(pk__in=waiting.order_by().values("pk"))
        return list(dict.fromkeys(found.values_list("pk", flat=True)))
    return list(waiting.values_list("pk", flat=True))


def _listed(request: HttpRequest, admin: ModelAdmin[Any]) -> list[QuerySet[FeatureViewVersion]]:
    """Return the rows of the list the page was reached from; nothing if there is no such list."""
    if not kept_of(request):
        return []
    asked = copy(request)
    asked.GET = QueryDict(kept_of(request))
    try:
        return [admin.get_changelist_instance(asked).queryset]
    except (IncorrectLookupParameters, SuspiciousOperation, BadRequest):
        return []  # somebody wrote the address by hand


def kept_of(request: HttpRequest) -> str:
    return request.GET.get(KEPT, "")


def address_of(request: HttpRequest, pk: int) -> str:
    """Return the address of a version's page that leads on through the same list."""
    return reverse(PAGE, args=[pk]) + _suffix(request)


def _suffix(request: HttpRequest) -> str:
    return f"?{urlencode({KEPT: kept_of(request)})}" if kept_of(request) else ""


def place_of(request: HttpRequest, admin: ModelAdmin[Any], version: FeatureViewVersion) -> Place:
    """Return where the version stands in the person's queue."""
    keys = queue_of(request, admin)
    here = keys.index(version.pk) if version.pk in keys else None
    others = keys if here is None else keys[here + 1 :] + keys[:here]
    before = others[-1] if others and here is not None else None
    return Place(
        position=None if here is None else here + 1,
        total=len(keys),
        previous=address_of(request, before) if before else "",
        next_one=address_of(request, others[0]) if others else "",
        kept=_suffix(request),
        back=kept_of(request),
    )


def after(request: HttpRequest, keys: list[int], decided: int) -> int | None:
    """Return what follows in the queue as it was before a decision, and still waits."""
    here = keys.index(decided) + 1 if decided in keys else 0
    others = [key for key in keys[here:] + keys[:here] if key != decided]
    still = set(waiting_for(request).order_by().values_list("pk", flat=True))
    return next((key for key in others if key in still), None)
