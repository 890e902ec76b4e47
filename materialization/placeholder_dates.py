"""Dates that stand for none: what databases, spreadsheets and a time of 0 write for it. [pure]

Not for what is done about them: plans and runs name them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lib.instants import to_us

if TYPE_CHECKING:
    from collections.abc import Sequence

DAYS = tuple(
    datetime(*day, tzinfo=UTC)
    for day in ((1, 1, 1), (1601, 1, 1), (1753, 1, 1), (1899, 12, 30), (1900, 1, 1), (1970, 1, 1))
)
#: Midnight of the same day is another instant in another zone.
_ZONES_US = timedelta(hours=14) // timedelta(microseconds=1)
#: Where the other rows begin within so much of such a date, it is one of theirs.
_APART_US = timedelta(days=365) // timedelta(microseconds=1)


def counts_sql(us: str, where: str = "TRUE") -> str:
    """Return an aggregate over instants in µs: rows of each of the days, then the least beside."""
    on = [f"{us} BETWEEN {to_us(day) - _ZONES_US} AND {to_us(day) + _ZONES_US}" for day in DAYS]
    counts = [f"count(*) FILTER ({where} AND {day})" for day in on]
    least = f"min({us}) FILTER ({where} AND NOT ({' OR '.join(on)}))"
    return f"[{', '.join([*counts, least])}]"


def count_apart(counts: Sequence[int | None]) -> int:
    """Return how many rows have such a date and stand apart: no other row is near it or before."""
    *of_days, least = counts
    return sum(
        count or 0
        for day, count in zip(DAYS, of_days, strict=True)
        if least is None or to_us(day) + _APART_US < least
    )


def said(count: int, column: str) -> str:
    """Return the words for ``count`` such rows; no value of the data is in them."""
    rows, have = ("row", "has") if count == 1 else ("rows", "have")
    return f"{count:,} {rows} {have} a date in {column!r} that stands for none, as 1900 or 1970 do"
