"""Days, months and clocks of instants, as the engine counts them in UTC. [pure]

In whole numbers, so that there is neither a first nor a last year. An instant is its microseconds
since 1970, a day its days.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 1_000_000
MINUTE, HOUR, DAY_LENGTH = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
#: 1 March of the year 0, in days before 1970: years that begin in March end with the leap day.
_ERA = 719_468


def civil(day: int) -> tuple[int, int, int]:
    """Return year, month and day of the month, by the Gregorian calendar for ever."""
    era, of_era = divmod(day + _ERA, 146_097)
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year + era * 400 + (month <= 2), month, of_year - (153 * shifted + 2) // 5 + 1


def day_of(instant: int) -> int:
    return instant // DAY_LENGTH


def _months(day: int) -> int:
    year, month, _ = civil(day)
    return year * 12 + month - 1


def _day_of_year(day: int) -> int:
    year, _, _ = civil(day)
    return day - first_day(year) + 1


def first_day(year: int) -> int:
    """Return 1 January of a year."""
    before = year - 1
    return before * 365 + before // 4 - before // 100 + before // 400 - 719_162


def _iso_week(day: int) -> int:
    thursday = day - (day + 3) % 7 + 3
    year, _, _ = civil(thursday)
    return (thursday - first_day(year)) // 7 + 1


#: What a part of a day is; and of an instant, beside those of its day.
PARTS_OF_DAYS: dict[str, Callable[[int], int]] = {
    "year": lambda day: civil(day)[0],
    "quarter": lambda day: (civil(day)[1] + 2) // 3,
    "month": lambda day: civil(day)[1],
    "week": _iso_week,
    "day": lambda day: civil(day)[2],
    "dow": lambda day: (day + 4) % 7,
    "isodow": lambda day: (day + 3) % 7 + 1,
    "doy": _day_of_year,
}
PARTS_OF_CLOCKS: dict[str, Callable[[int], int]] = {
    "hour": lambda instant: instant % DAY_LENGTH // HOUR,
    "minute": lambda instant: instant % HOUR // MINUTE,
    "second": lambda instant: instant % MINUTE // SECOND,
}


def _day(year: int, month: int) -> int:
    """Return the first day of a month."""
    before = year - 1 if month < 3 else year
    of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5
    return before * 365 + before // 4 - before // 100 + before // 400 + of_year - _ERA


def months_later(instant: int, months: int) -> int:
    """Return the same day and clock of another month, or its last day where it is shorter."""
    day, clock = divmod(instant, DAY_LENGTH)
    year, month, of_month = civil(day)
    year, before = divmod(year * 12 + month - 1 + months, 12)
    first = _day(year, before + 1)
    following = _day(year + (before == 11), (before + 1) % 12 + 1)
    return min(first + of_month - 1, following - 1) * DAY_LENGTH + clock


def whole_months(start: int, end: int) -> int:
    """Return how many months have passed between two instants; the last day of a month is as good
    as a later one, which it has not.
    """
    if start > end:
        return -whole_months(end, start)
    (day, clock), (last_day, last_clock) = divmod(start, DAY_LENGTH), divmod(end, DAY_LENGTH)
    year, month, of_month = civil(day)
    last_year, last_month, of_last = civil(last_day)
    begun = (last_year - year) * 12 + last_month - month
    is_last = civil(last_day + 1)[2] == 1
    if is_last and (of_month > of_last or (of_month == of_last and clock < last_clock)):
        of_month = of_last
    return begun - ((of_last, last_clock) < (of_month, clock))


def _year_start(day: int) -> int:
    return first_day(civil(day)[0])


def _quarter_start(day: int) -> int:
    year, month, _ = civil(day)
    return _day(year, (month - 1) // 3 * 3 + 1)


def _start_of(unit: Callable[[int], int]) -> Callable[[int], int]:
    """Return the instant at which a unit of days began."""
    return lambda instant: unit(instant // DAY_LENGTH) * DAY_LENGTH


#: When the unit began that an instant is in.
BEGINNINGS: dict[str, Callable[[int], int]] = {
    "year": _start_of(_year_start),
    "quarter": _start_of(_quarter_start),
    "month": _start_of(lambda day: day - civil(day)[2] + 1),
    "week": _start_of(lambda day: day - (day + 3) % 7),
    "day": _start_of(lambda day: day),
    "hour": lambda instant: instant - instant % HOUR,
    "minute": lambda instant: instant - instant % MINUTE,
    "second": lambda instant: instant - instant % SECOND,
}
#: The number of the unit an instant is in: a difference is how many were begun in between.
UNITS: dict[str, Callable[[int], int]] = {
    "year": lambda instant: civil(day_of(instant))[0],
    "quarter": lambda instant: _months(day_of(instant)) // 3,
    "month": lambda instant: _months(day_of(instant)),
    "day": day_of,
    "hour": lambda instant: instant // HOUR,
    "minute": lambda instant: instant // MINUTE,
    "second": lambda instant: instant // SECOND,
    "millisecond": lambda instant: instant // 1_000,
    "microsecond": lambda instant: instant,
}
#: How many months, or microseconds, a unit has of which as many as passed are counted.
WHOLE_MONTHS = {"year": 12, "quarter": 3, "month": 1}
LENGTHS = {
    "week": 7 * DAY_LENGTH,
    "day": DAY_LENGTH,
    "hour": HOUR,
    "minute": MINUTE,
    "second": SECOND,
    "millisecond": 1_000,
    "microsecond": 1,
}
