"""Run windows ``(start, end]`` of instants: merge, missing, within. [pure]

Not for ticks: ``ticks`` knows which instants inside a window matter.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from lib.errors import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterable

_BEGINNING = datetime.min.replace(tzinfo=UTC)


class BadWindow(Invalid):
    code = "invalid_window"


class Window(NamedTuple):
    """The instants after ``start`` up to and including ``end``; no start: since the beginning."""

    start: datetime | None
    end: datetime

    @property
    def is_empty(self) -> bool:
        return self.start is not None and self.start >= self.end


def make_window(start: datetime | None, end: datetime) -> Window:
    """Return the window of two aware instants.

    :raises BadWindow: for a naive instant or a start that is not before the end.
    """
    for instant in (start, end):
        if instant is not None and instant.tzinfo is None:
            raise BadWindow(f"{instant.isoformat()} has no time zone; write it in UTC, as in …Z.")
    if start is not None and start >= end:
        raise BadWindow(f"start {start.isoformat()} is not before end {end.isoformat()}.")
    return Window(start, end)


def merge(windows: Iterable[Window]) -> list[Window]:
    """Return the same instants as the fewest windows, in order; touching ones become one."""
    merged: list[Window] = []
    for window in sorted((w for w in windows if not w.is_empty), key=start_of):
        if merged and start_of(window) <= merged[-1].end:
            merged[-1] = Window(merged[-1].start, max(merged[-1].end, window.end))
        else:
            merged.append(window)
    return merged


def missing(wanted: Window, done: Iterable[Window]) -> list[Window]:
    """Return the parts of ``wanted`` that no window of ``done`` covers, in order."""
    gaps: list[Window] = []
    start = wanted.start
    for window in merge(done):
        if window.end <= (start or _BEGINNING):
            continue
        if window.start is not None:
            gaps.append(Window(start, min(window.start, wanted.end)))
        start = window.end
    gaps.append(Window(start, wanted.end))
    return [gap for gap in gaps if not gap.is_empty]


def within(windows: Iterable[Window], wanted: Window) -> list[Window]:
    """Return the parts of ``windows`` that lie in ``wanted``, in order."""
    parts = (
        Window(_later(window.start, wanted.start), min(window.end, wanted.end))
        for window in merge(windows)
    )
    return [part for part in parts if not part.is_empty]


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((each for each in (one, other) if each is not None), default=None)


def start_of(window: Window) -> datetime:
    """Return where a window begins, to sort by: the first instant there is without a start."""
    return window.start or _BEGINNING
