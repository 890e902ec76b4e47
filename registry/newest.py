"""Which versions of a view are shown, however many it has: what speaks for it, and the newest.

What is asked for many views costs as many questions as for one, and reads as many versions as are
shown. Not for what a reference reads: ``queries`` resolves it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from django.db.models import Case, Count, F, Q, When, Window
from django.db.models.functions import RowNumber

from registry.choices import State
from registry.glass import GLASS
from registry.models import FeatureViewVersion
from registry.spec.versions import FIRST, Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from django.db.models import QuerySet

    from registry.models import FeatureView

#: Versions of one view that are shown beside it; a list of its own has the others in pages.
MOST_SHOWN = 50
#: The order in which versions are listed: drafts without a number, then the highest first.
NEWEST_FIRST = (
    *(F(part).desc(nulls_first=True) for part in ("major", "minor", "patch")),
    F("pk").desc(),
)
#: The order of ``_newness``: of drafts the one made last, whatever number an earlier submission
#: left with it.
_BY_NEWNESS = (
    Case(When(state=State.DRAFT, then=2), When(state=State.RETIRED, then=0), default=1).desc(),
    *(
        Case(When(~Q(state=State.DRAFT), then=F(part)), default=None).desc(nulls_last=True)
        for part in ("major", "minor", "patch")
    ),
    F("pk").desc(),
)


class Shown(NamedTuple):
    """What is shown of a view: the version that speaks for it, and the newest with their number."""

    version: FeatureViewVersion
    #: The newest of all and the default, in the order of lists.
    newest: list[FeatureViewVersion]
    total: int
    states: frozenset[State]


def newest_version(feature_view: FeatureView) -> FeatureViewVersion | None:
    """Return the version an author would look at.

    The newest draft; else the highest submitted that is not retired; else the highest of all.
    """
    return feature_view.versions.order_by(*_BY_NEWNESS).first()


def numbers_of(versions: QuerySet[FeatureViewVersion]) -> list[str]:
    """Return the numbers of those that have one, for somebody who named none of them."""
    parts = versions.filter(major__isnull=False).order_by().values_list("major", "minor", "patch")
    return [".".join(map(str, each)) for each in parts]


def newest_of(versions: Iterable[FeatureViewVersion]) -> FeatureViewVersion | None:
    """Return which of these versions ``newest_version`` would."""
    return max(versions, key=_newness, default=None)


def _newness(version: FeatureViewVersion) -> tuple[bool, bool, Version, int]:
    is_draft = version.state == State.DRAFT
    number = FIRST if is_draft or version.version is None else version.version
    return is_draft, version.state != State.RETIRED, number, version.pk


def newest_first(versions: Iterable[FeatureViewVersion]) -> list[FeatureViewVersion]:
    """Sort as ``NEWEST_FIRST``: drafts without a number first, then by number."""
    highest = Version(10**9, 0, 0)
    return sorted(versions, key=lambda each: (each.version or highest, each.pk), reverse=True)


def shown_version(feature_view: FeatureView) -> FeatureViewVersion | None:
    """Return the version that speaks for its view: the default, else an author's newest."""
    return feature_view.default_version or newest_version(feature_view)


def shown_versions(views: QuerySet[FeatureView]) -> dict[int, FeatureViewVersion]:
    """Return of each view the version that speaks for it, by its key; views without any lack.

    A view's default is asked for with it.
    """
    found = {view.pk: view.default_version for view in views if view.default_version is not None}
    if len(found) < len(views):
        others = _ranked(views.filter(default_version=None), _BY_NEWNESS)
        found |= {each.feature_view_id: each for each in _read(others.filter(Q(rank=1)))}
    for view in views:
        if view.pk not in found:  # it got its default between the two questions
            view.refresh_from_db()
            if (version := shown_version(view)) is not None:
                found[view.pk] = version
    return found


def newest_pks(views: QuerySet[FeatureView]) -> QuerySet[Any]:
    """Return of each view the key of its ``newest_version``, to be asked within a question."""
    ranked = _ranked(views, _BY_NEWNESS).filter(Q(rank=1))
    return ranked.order_by().values("pk")


def shown_of(views: QuerySet[FeatureView]) -> dict[int, Shown]:
    """Return what is shown of each view, by its key: four questions for all of them."""
    speaks, states = shown_versions(views), states_of(views)
    lines: defaultdict[int, dict[int, FeatureViewVersion]] = defaultdict(dict)
    for version in _read(_ranked(views, NEWEST_FIRST).filter(Q(rank__lte=MOST_SHOWN))):
        lines[version.feature_view_id][version.pk] = version
    for view in views:
        if view.default_version is not None:
            lines[view.pk].setdefault(view.default_version.pk, view.default_version)
    return {
        view.pk: Shown(
            speaks[view.pk],
            newest_first(lines[view.pk].values()),
            sum(states[view.pk].values()),
            frozenset(states[view.pk]),
        )
        for view in views
        if view.pk in speaks
    }


def heads_of(
    views: QuerySet[FeatureView], states: Sequence[State]
) -> dict[int, FeatureViewVersion]:
    """Return of each view its newest version in one of these states, by its key.

    Of those that were submitted the highest, of drafts the one made last.
    """
    ranked = _ranked(views, _BY_NEWNESS, states)
    return {each.feature_view_id: each for each in _read(ranked.filter(Q(rank=1)))}


def states_of(views: QuerySet[FeatureView]) -> Mapping[int, Mapping[State, int]]:
    """Return of each view how many versions it has in each state."""
    found: defaultdict[int, dict[State, int]] = defaultdict(dict)
    rows = FeatureViewVersion.objects.filter(feature_view__in=views).order_by()
    for view, state, count in rows.values_list("feature_view", "state").annotate(Count("pk")):
        found[view][State(state)] = count
    return found


def newest_by_table(versions: QuerySet[FeatureViewVersion]) -> QuerySet[FeatureViewVersion]:
    """Keep of those that share a table the newest."""
    number = Window(RowNumber(), partition_by="table", order_by=list(NEWEST_FIRST))
    return versions.annotate(rank=number).filter(rank=1)


def _ranked(
    views: QuerySet[FeatureView], order: Sequence[Any], states: Sequence[State] = tuple(State)
) -> QuerySet[FeatureViewVersion]:
    """Number the versions of each view in an order."""
    number = Window(RowNumber(), partition_by="feature_view", order_by=list(order))
    versions = FeatureViewVersion.objects.filter(feature_view__in=views, state__in=states)
    return versions.annotate(rank=number)


def _read(ranked: QuerySet[FeatureViewVersion]) -> QuerySet[FeatureViewVersion]:
    """Read those that are left alone: definitions are long, and numbering all would carry them."""
    found = FeatureViewVersion.objects.filter(pk__in=ranked.order_by().values("pk"))
    return found.select_related("table", "feature_view", *GLASS).defer("packet").order_by()
