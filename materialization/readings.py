"""Which parts of a source a run has a reason to read, and which rows of each it takes. [pure]

Not for windows without rows of their own (ticks: an aggregation reads what its windows reach), nor
for reading. A row's *place* is ``greatest(event, created)`` by the source's own stamps: what stands
between the lines of a source without ``created_timestamp`` is its event time. Rows whose place lies
in a covered window were taken by an earlier run, if it saw the part they are in as it is now.
"""

from __future__ import annotations

from datetime import datetime, timedelta  # noqa: TC003 - NamedTuple keeps the annotations
from typing import TYPE_CHECKING, NamedTuple

from materialization.windows import Window, missing, within

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Set

    from materialization.sources.inputs import Part


class Seen(NamedTuple):
    """A part as the last run that read it saw it.

    ``read_until``: every row of it up to then was taken; ``has_later``: there were later ones.
    ``known_since`` is the as-of instant of the first run that saw this state of it; None for the
    first backfill's, whose rows count as known at their event time.
    """

    identity: str
    read_until: datetime
    has_later: bool
    known_since: datetime | None


class Planned(NamedTuple):
    """One reading: parts, the windows whose rows are taken, and how.

    ``unseen``: only what the table does not have yet. ``known_since``: rows that do not say when
    they were known were known from then on, or from their event on if that is later; None: from it.
    """

    names: tuple[str, ...]
    windows: tuple[Window, ...]
    known_since: datetime | None = None
    unseen: bool = False


def plan_readings(
    parts: Sequence[Part],
    seen: Mapping[str, Seen],
    *,
    wanted: Window,
    covered: Sequence[Window],
    again: Window | None = None,
    arrived: datetime | None = None,
    is_first: bool = False,
) -> list[Planned]:
    """Return what a run reads, new windows first.

    ``arrived`` is the run's as-of instant where it goes beyond what is ``wanted`` now. All rows of
    new windows count as the first backfill's while that ``is_first``, however often it is begun.

    A part that is new or changed is read whole: of what earlier runs covered it gives the rows that
    the table lacks, whatever their stamps say. One that is as it was is left alone where it has
    nothing in the windows that are not covered. ``again`` is looked at in every part.
    """
    fresh = tuple(missing(wanted, covered))
    known = (arrived or as_of(wanted, covered)) if covered else None
    same = {p.name: _state(p, seen[p.name], known) for p in parts if _is_same(p, seen)}
    changed = tuple(p.name for p in parts if p.name not in same)
    planned = [
        Planned(changed, fresh, None if is_first else known),
        *_reaching(same, fresh, is_first=is_first),
        Planned(changed, tuple(covered), known, unseen=True),
    ]
    if again is not None:
        planned.append(Planned(tuple(same), tuple(within(covered, again)), known, unseen=True))
    return [each for each in planned if each.names and each.windows]


def as_of(wanted: Window, covered: Iterable[Window]) -> datetime:
    """Return the instant up to which the table speaks once ``wanted`` is stored as well."""
    return max([wanted.end, *(window.end for window in covered)])


def _is_same(part: Part, seen: Mapping[str, Seen]) -> bool:
    return part.name in seen and seen[part.name].identity == part.identity


def _state(part: Part, state: Seen, known: datetime | None) -> Seen:
    """Return a part as it was seen.

    One that grows may have later rows at any time, and those were not there before.
    """
    return state._replace(has_later=True, known_since=known) if part.grows else state


def _reaching(
    same: Mapping[str, Seen], fresh: tuple[Window, ...], *, is_first: bool
) -> Iterable[Planned]:
    """Yield the parts that may have rows in the new windows, those known since one instant at once.

    Since when matters only for windows that begin before it.
    """
    groups: dict[datetime | None, list[str]] = {}
    for name, state in same.items():
        if any(_may_hold(window, state) for window in fresh):
            since = None if is_first else state.known_since
            if since is not None and all(w.start is not None and w.start >= since for w in fresh):
                since = None
            groups.setdefault(since, []).append(name)
    for since, names in groups.items():
        yield Planned(tuple(names), fresh, since)


def _may_hold(window: Window, state: Seen) -> bool:
    return state.has_later or window.start is None or window.start < state.read_until


def remembered(
    parts: Iterable[Part],
    seen: Mapping[str, Seen],
    planned: Iterable[Planned],
    *,
    has_later: Set[str],
    read_until: datetime,
) -> dict[str, Seen]:
    """Return what to remember of each part when what was planned is done.

    Of one that was only compared with what is stored nobody looked whether it has later rows.
    """
    known = {name: each.known_since for each in planned for name in each.names}
    taken = {name for each in planned if not each.unseen for name in each.names}
    found = {}
    for part in parts:
        old = seen[part.name] if _is_same(part, seen) else None
        since = old.known_since if old is not None else known.get(part.name)
        if old is None or part.name in taken:
            later = part.name not in taken or part.name in has_later
            found[part.name] = Seen(part.identity, read_until, later, since)
        else:
            found[part.name] = old
    return found


def settled(parts: Iterable[Part], *, now: float, age: timedelta) -> list[Part]:
    """Return the parts that last changed at least ``age`` ago: younger ones may still be written.

    One that changes in the future has a clock of its own, and nothing to tell by it.
    """
    return [part for part in parts if not 0 <= now - part.changed_at < age.total_seconds()]
