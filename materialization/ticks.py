"""The instants a schedule names: whole multiples since 1970, or cron, both in UTC. [pure]

Not for deciding what is due: ``requests`` asks these functions.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from croniter import CroniterBadDateError, croniter

from lib.instants import MICROSECOND, from_us, to_us
from materialization.errors import NoTick, TooManyTicks
from registry.spec.durations import parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from registry.spec.model import ScheduleSpec

DAY = timedelta(days=1)
#: Ticks of one run: every 5 minutes for 47 years. Those of cron are listed one by one.
MOST_TICKS = 5_000_000


def every_us(schedule: ScheduleSpec) -> int | None:
    """Return the period in microseconds; None for cron, whose ticks are not evenly spaced."""
    return parse_duration(schedule.every) // MICROSECOND if schedule.every else None


def first_tick(schedule: ScheduleSpec, at: datetime) -> datetime:
    """Return the first tick at or after ``at``.

    :raises NoTick: when a cron expression names no instant within the next years.
    """
    if period := every_us(schedule):
        return from_us(-(-to_us(at) // period) * period)
    return _step(schedule, at - MICROSECOND, forward=True)


def last_tick(schedule: ScheduleSpec, at: datetime) -> datetime:
    """Return the last tick at or before ``at``; raises as ``first_tick`` does."""
    if period := every_us(schedule):
        return from_us(to_us(at) // period * period)
    return _step(schedule, at + MICROSECOND, forward=False)


def ticks_between(schedule: ScheduleSpec, start: datetime, end: datetime) -> list[datetime]:
    """Return the ticks of ``(start, end]``, in order."""
    if period := every_us(schedule):
        first = to_us(start) // period * period + period
        return [from_us(tick) for tick in range(first, to_us(end) + 1, period)]
    return [from_us(int(tick)) for tick in cron_ticks_us(schedule, start, end)]


def cron_ticks_us(
    schedule: ScheduleSpec, start: datetime, end: datetime, *, most: int = MOST_TICKS
) -> NDArray[np.int64]:
    """Return the cron ticks of ``(start, end]`` in µs: 8 bytes a tick.

    Matching days times matching times, as UTC has no days of another length. One step of croniter
    a day instead of one a tick, which is 288 times fewer for ``*/5 * * * *``.

    :raises TooManyTicks: more than ``most``, found out without listing them.
    """
    minutes, hours, *day_fields = str(schedule.cron).split()
    times = [
        60 * hour + minute for hour in _field(schedule, 1, 24) for minute in _field(schedule, 0, 60)
    ]
    few = most // len(times) + 3  # the days of start and end may not count in full
    days = _matching_days(" ".join(["0", "0", *day_fields]), start - DAY, end)
    starts = np.array([to_us(day) for day in islice(days, few)], np.int64)
    offsets = np.array(times, np.int64) * 60_000_000
    ticks = (starts[:, np.newaxis] + offsets[np.newaxis, :]).ravel()
    ticks = ticks[(ticks > to_us(start)) & (ticks <= to_us(end))]
    if len(ticks) > most:
        raise too_many_ticks(schedule, start + MICROSECOND, end, most=most)
    return ticks


def too_many_ticks(
    schedule: ScheduleSpec, begin: datetime, end: datetime, *, most: int = MOST_TICKS
) -> TooManyTicks:
    """Return the refusal of ``[begin, end]``; where it begins may be a value of the data."""
    named = f"every {schedule.every}" if schedule.every else f"cron {schedule.cron!r}"
    return TooManyTicks(
        f"{named} has more than {most:,} ticks from the first event, or the view's `start`, to "
        f"{end.isoformat()}. Correct the times of the first events, set `start:` in the view to a "
        "later instant, or make the ticks fewer.",
        example=begin.isoformat(),
        limit=most,
    )


@lru_cache(maxsize=1000)  # a sweep asks it of every version; most have the schedule of others
def _step(schedule: ScheduleSpec, at: datetime, *, forward: bool) -> datetime:
    """Return the cron tick strictly after, or strictly before, ``at``."""
    steps = croniter(str(schedule.cron), at)
    try:
        tick: datetime = steps.get_next(datetime) if forward else steps.get_prev(datetime)
    except CroniterBadDateError as exc:
        raise NoTick(
            f"cron {schedule.cron!r} names no instant near {at.isoformat()}; correct it."
        ) from exc
    return tick


def _matching_days(cron: str, start: datetime, end: datetime) -> Iterator[datetime]:
    steps = croniter(cron, start)
    try:
        while (day := steps.get_next(datetime)) <= end:
            yield day
    except CroniterBadDateError:  # no later day matches
        return


def _field(schedule: ScheduleSpec, index: int, size: int) -> list[int]:
    values = croniter.expand(schedule.cron)[0][index]
    return list(range(size)) if values == ["*"] else sorted(int(value) for value in values)
