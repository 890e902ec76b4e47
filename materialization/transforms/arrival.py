"""Arrival: which rows of a source a reading takes, and since when each counts as known. [pure]

Not for windows themselves (``windows``), for what a run has a reason to read (``readings``) or for
leaving out what is stored (``unseen``). All of it is SQL over ``e`` and ``c``: the event and the
created time as the source says them; ``c`` may be null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.sql_text import identifier, instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from registry.spec.version_spec import VersionSpec

    OptionalWindow = tuple[datetime | None, datetime]


def taken(spec: VersionSpec, windows: Iterable[OptionalWindow]) -> str:
    """Return the condition for the rows of ``windows``; those before the view's start are in none.

    Never true for a row without an event time.
    """
    parts = " OR ".join(_within(_place(spec), *each) for each in windows)
    return f"({parts}){_since_start(spec)}"


def later_than(spec: VersionSpec, end: datetime) -> str:
    return f"{_place(spec)} > {instant(end)}{_since_start(spec)}"


def window_number(spec: VersionSpec, ends: Iterable[datetime]) -> str:
    """Return SQL for the number of the window, of those that end at ``ends``, that a row is in."""
    place = _place(spec)
    within = " ".join(f"WHEN {place} <= {instant(end)} THEN {n}" for n, end in enumerate(ends))
    return f"CASE {within} END"


def _place(spec: VersionSpec) -> str:
    """A row belongs to the window in which it became visible, however old its event is.

    Where the source does not say when it was known, that was observed and places it nowhere.
    """
    return "e" if spec.rows_from.created_timestamp is None else "greatest(e, c)"


def _within(place: str, start: datetime | None, end: datetime) -> str:
    until = f"{place} <= {instant(end)}"
    return until if start is None else f"{place} > {instant(start)} AND {until}"


def _since_start(spec: VersionSpec) -> str:
    return f" AND e >= {instant(spec.view.start)}" if spec.view.start is not None else ""


def roughly_taken(
    spec: VersionSpec, windows: Iterable[OptionalWindow], columns: Mapping[str, str]
) -> str:
    """Return a condition on the source's own event column that no row of ``windows`` fails.

    By it a reader of files leaves out row groups of other times, which it cannot by what is cast
    and compared. It says nothing of a column that has to be made an instant first.
    """
    column = spec.rows_from.event_timestamp.column
    if columns.get(column) != "TIMESTAMP WITH TIME ZONE":
        return "true"
    starts, ends = zip(*windows, strict=True)
    bounds = [f"{identifier(column)} <= {instant(max(ends))}"]
    if spec.rows_from.created_timestamp is None and None not in starts:
        bounds.append(f"{identifier(column)} > {instant(min(starts))}")
    return " AND ".join(bounds)


def known_at(since: datetime | None) -> str:
    """Return SQL for when a row was known: as the source says, else as it was observed."""
    return f"coalesce(c, {'e' if since is None else f'greatest(e, {instant(since)})'})"
