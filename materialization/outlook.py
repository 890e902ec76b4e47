"""How far a run is, how fast, and how long it may still take; unknown until it is known. [pure]"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from materialization.choices import RunStatus
from materialization.chunks import read_chunks, stored_until

if TYPE_CHECKING:
    from datetime import datetime

    from materialization.models import MaterializationRun

#: Of less of a run nothing is said of the rest.
_TELLING = 0.05


class Outlook(NamedTuple):
    """``rows`` are the source's; what nobody counted, or cannot be told yet, is None."""

    chunks_done: int
    chunks: int
    rows_done: int
    rows_expected: int | None = None
    rows_per_second: int | None = None
    seconds_left: int | None = None
    stored_until: datetime | None = None


def outlook(run: MaterializationRun, *, at: datetime) -> Outlook:
    """Return how a run stands at ``at``; ``seconds_left`` only while it runs."""
    chunks = read_chunks(run.chunks)
    stored = [each for each in chunks if each.stored_at is not None]
    rows_done = sum(each.counts.get("rows_read", 0) for each in stored)
    seconds = sum(each.seconds for each in stored)
    counted = [each.expected for each in chunks if each.expected is not None]
    expected = sum(counted) if counted and len(counted) == len(chunks) else None
    rate = rows_done / seconds if seconds and rows_done else None
    left = None
    if run.status == RunStatus.RUNNING:
        left = _by_rows(run, expected, rows_done, rate) or _by_share(run, at)
    return Outlook(
        chunks_done=len(stored),
        chunks=len(chunks),
        rows_done=rows_done,
        rows_expected=expected,
        rows_per_second=None if rate is None else round(rate),
        seconds_left=None if left is None else round(left),
        stored_until=stored_until(chunks),
    )


def _by_rows(
    run: MaterializationRun, expected: int | None, done: int, rate: float | None
) -> float | None:
    """Return the seconds that what is left takes at the rate of what is stored."""
    if expected is None or rate is None or done >= expected:
        return None
    return (expected - max(done, run.progress * expected)) / rate


def _by_share(run: MaterializationRun, at: datetime) -> float | None:
    """Return the seconds left of a run in its first attempt, by what it took so far."""
    if run.attempt != 1 or run.started_at is None or run.progress < _TELLING:
        return None
    return (at - run.started_at).total_seconds() * (1 - run.progress) / run.progress


def said_left(seconds: int | None) -> str:
    """Return a time left in words; empty where it is unknown."""
    if seconds is None:
        return ""
    hours, minutes = divmod(max(seconds, 0) // 60, 60)
    if hours:
        return f"{hours} h {minutes} min left"
    return f"{minutes} min left" if minutes else f"{seconds % 60} s left"
