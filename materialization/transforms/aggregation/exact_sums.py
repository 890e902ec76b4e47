"""Sums of doubles that are exact, so that leaving a window leaves nothing behind. [pure]

Not for integers and decimals: DuckDB adds those exactly.

A double is split off into the bin of its exponent (32 binary places a bin) and scaled there to a
128-bit integer. Integers add and subtract without loss and in any order, so a running sum of what
enters minus what leaves is right to the last bit, and the same however a history is cut into runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from materialization.transforms.aggregation.rounding import exactly_sql, nearest_sql

if TYPE_CHECKING:
    from collections.abc import Sequence

BITS = 32
#: A value in bin k has its lowest bit at 2^(32k - 52) or above; 60 leaves room for log2's rounding.
_SHIFT = 60
#: All values below 2^-992 share a bin: down to the least there is they need 92 bits.
_LOWEST = -32
#: Powers of two beyond it are multiplied in two steps: no double has them.
_STEP = 1000


class Found(NamedTuple):
    """What the rows at hand decide about one column of doubles: its bins, and NaN or infinities."""

    bins: tuple[int, ...]
    non_finite: bool


def facts_sql(value: str) -> str:
    """Return two aggregates over the rows: the list of bins, and whether any is not finite."""
    bins = f"list(DISTINCT {bin_sql(value)}) FILTER ({value} IS NOT NULL)"
    return f"{bins}, bool_or(NOT isfinite({value}))"


def bin_sql(value: str) -> str:
    """Return the bin of a double; 0 for zero, NaN and the infinities."""
    exponent = f"CAST(floor(log2(abs({value})) / {BITS}) AS INTEGER)"
    ordinary = f"isfinite({value}) AND {value} <> 0"
    return f"CASE WHEN {ordinary} THEN greatest({_LOWEST}, {exponent}) ELSE 0 END"


def scaled_sql(value: str, bin_number: int) -> str:
    """Return the HUGEINT that ``value`` adds to one bin; 0 when it belongs to another."""
    belongs = f"isfinite({value}) AND {bin_sql(value)} = {bin_number}"
    scaled = _times_power(value, _SHIFT - BITS * bin_number)
    return f"CASE WHEN {belongs} THEN CAST({scaled} AS HUGEINT) ELSE 0::HUGEINT END"


def total_sql(sums: Sequence[tuple[int, str]], count: str | None = None) -> str:
    """Return the double nearest to what bins and their sums stand for, or to its ``count``-th part.

    Each sum is two doubles, which nearly always decide it.
    """
    if not sums:
        return "0::DOUBLE"
    numbers, totals = zip(*sorted(sums), strict=True)
    powers = [BITS * number - _SHIFT for number in numbers]
    parts = [part for number, total in sorted(sums) for part in _parts(number, total)]
    return nearest_sql(parts, exactly_sql(totals, powers, 0, count or "1"), count)


def _parts(number: int, total: str) -> tuple[str, str]:
    """Return a bin's sum as its nearest double and what that leaves."""
    near = f"CAST({total} AS DOUBLE)"
    rest = f"CAST({total} - CAST({near} AS HUGEINT) AS DOUBLE)"
    power = BITS * number - _SHIFT
    return _times_power(near, power), _times_power(rest, power)


def _times_power(value: str, power: int) -> str:
    first = max(-_STEP, min(_STEP, power))
    rest = f" * {2.0 ** (power - first)!r}::DOUBLE" if power != first else ""
    return f"{value} * {2.0**first!r}::DOUBLE{rest}"
