# ruff: noqa: S608 - only numbers and our own names are written into the SQL
"""The ticks of one run as ordinals 0 … count - 1, and their arithmetic in SQL. [pure]

Not for finding ticks: ``ticks`` does. Even schedules are computed; cron ticks are a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from lib.instants import MICROSECOND, to_us
from materialization.ticks import (
    MOST_TICKS,
    cron_ticks_us,
    every_us,
    first_tick,
    last_tick,
    too_many_ticks,
)

if TYPE_CHECKING:
    from datetime import timedelta

    from numpy.typing import NDArray

    from registry.spec.model import ScheduleSpec

#: Before it there is no room to step back in; rows of the first days enter at the first tick.
_EARLIEST = datetime(1, 1, 3, tzinfo=UTC)


@dataclass(frozen=True)
class TickGrid:
    """The ticks of a run: ``period`` in µs, or ``listed`` (µs) when they are uneven.

    ``listed`` has one tick more than ``count``: the first beyond the run, which decides whether
    the last tick of the run must be stored for the time until then.
    """

    first: int
    count: int
    period: int | None
    listed: NDArray[np.int64]

    def ordinal(self, instant: str, alias: str) -> tuple[str, str]:
        """Return SQL for the first tick at or after ``instant`` (µs), and the join it needs.

        Ordinals are clipped: 0 for the past, ``count`` for what lies beyond the last tick.
        """
        if self.period is None:
            join = f"ASOF LEFT JOIN ticks AS {alias} ON {instant} <= {alias}.t"
            return f"coalesce({alias}.i, {self.count})", join
        after = f"{instant} - {self.first}"
        steps = f"({after} + {self.period - 1}) // {self.period}"
        return f"CASE WHEN {after} <= 0 THEN 0 ELSE least({self.count}, {steps}) END", ""

    def instant(self, ordinal: str) -> str:
        """Return SQL for the instant (µs) of a tick; needs ``ticks`` joined when uneven."""
        return f"{self.first} + {ordinal} * {self.period}" if self.period else "ticks.t"

    def dated(self, rows: str) -> str:
        """Return the query of rows that have a tick's ordinal ``i``, with its instant ``t``."""
        if self.period is None:
            return f"SELECT * FROM ({rows}) JOIN ticks USING (i)"
        return f"SELECT *, {self.instant('i')} AS t FROM ({rows})"

    def hops(self, ttl: timedelta) -> NDArray[np.int64]:
        """Return for each tick the next that must be stored though nothing changed, when uneven.

        A stored tick S answers through S + ttl. The next to store is the last tick at or before
        the first instant not answered, and never S itself.
        """
        reach = ttl // MICROSECOND + 1
        answered = np.searchsorted(self.listed, self.listed[:-1] + reach, side="right") - 1
        return np.maximum(np.arange(1, self.count + 1), answered)

    def hop(self, ordinal: str, ttl: timedelta) -> str:
        """Return SQL for the same, when even."""
        return f"{ordinal} + {max(1, (ttl // MICROSECOND + 1) // (self.period or 1))}"

    def first_hop(self, stored_us: str, ttl: timedelta) -> tuple[str, str]:
        """Return SQL for the tick to store after one of an earlier run, and the join it needs."""
        reach = f"{stored_us} + {ttl // MICROSECOND + 1}"
        if self.period is None:
            return "coalesce(late.i, 0)", f"ASOF LEFT JOIN ticks AS late ON {reach} >= late.t"
        after = f"{reach} - {self.first}"
        return f"CASE WHEN {after} < 0 THEN 0 ELSE ({after}) // {self.period} END", ""


def make_grid(schedule: ScheduleSpec, *, begin: datetime, end: datetime) -> TickGrid | None:
    """Return the ticks of ``[begin, end]``; None without any.

    :raises TooManyTicks: more than one run may have.
    """
    begin = max(begin, _EARLIEST)
    first = first_tick(schedule, begin)
    if first > end:
        return None
    if (period := every_us(schedule)) is not None:
        count = (to_us(last_tick(schedule, end)) - to_us(first)) // period + 1
        if count > MOST_TICKS:
            raise too_many_ticks(schedule, begin, end)
        return TickGrid(to_us(first), count, period, np.array([], np.int64))
    beyond = to_us(first_tick(schedule, end + MICROSECOND))
    ticks = cron_ticks_us(schedule, begin - MICROSECOND, end)
    return TickGrid(int(ticks[0]), len(ticks), None, np.append(ticks, beyond))
