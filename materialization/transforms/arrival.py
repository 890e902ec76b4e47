"""Arrival: which rows of a source a reading takes, and since when each counts as known. [pure]

Not for windows themselves (``windows``), for what a run has a reason to read (``readings``) or for
leaving out what is stored (``unseen``). All of it is SQL over ``e`` and ``c``: the event and the
created time as the source says them; ``c`` may be null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.sql_text import instant

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from registry.spec.model import VersionSpec

    OptionalWindow = tuple[datetime | None, datetime]

#: A row belongs to the window in which it became visible, however old its event is.
_PLACE = "greatest(e, {})"


def taken(spec: VersionSpec, windows: Iterable[OptionalWindow], *, created: str = "c") -> str:
    """Return the condition for the rows of ``windows``; those before the view's start are in none.

    Never true for a row without an event time.
    """
    parts = " OR ".join(_within(_PLACE.format(created), *each) for each in windows)
    return f"({parts}){_since_start(spec)}"


def later_than(spec: VersionSpec, end: datetime) -> str:
    return f"{_PLACE.format('c')} > {instant(end)}{_since_start(spec)}"


def _within(place: str, start: datetime | None, end: datetime) -> str:
    until = f"{place} <= {instant(end)}"
    return until if start is None else f"{place} > {instant(start)} AND {until}"


def _since_start(spec: VersionSpec) -> str:
    return f" AND e >= {instant(spec.view.start)}" if spec.view.start is not None else ""


def known_at(since: datetime | None) -> str:
    """Return SQL for when a row was known: as the source says, else as it was observed."""
    return f"coalesce(c, {'e' if since is None else f'greatest(e, {instant(since)})'})"
