"""Sums of doubles that are exact, so that leaving a window leaves nothing behind. [pure]

Not for integers and decimals: DuckDB adds those exactly.

A double is split off into the bin of its exponent (32 binary places a bin) and scaled there to a
128-bit integer. Integers add and subtract without loss and in any order, so a running sum of what
enters minus what leaves is right to the last bit, and the same however a history is cut into runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from materialization.transforms.pairs.numbers import nearest_double_sql

if TYPE_CHECKING:
    from collections.abc import Sequence

BITS = 32
#: A value in bin k has its lowest bit at 2^(32k - 52) or above; 60 leaves room for log2's rounding.
_SHIFT = 60
#: Below 2^-960 the scale itself would overflow: such values lose their last bits.
_LOWEST = -30


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
    scale = f"{2.0 ** (_SHIFT - BITS * bin_number)!r}::DOUBLE"
    belongs = f"isfinite({value}) AND {bin_sql(value)} = {bin_number}"
    return f"CASE WHEN {belongs} THEN CAST({value} * {scale} AS HUGEINT) ELSE 0::HUGEINT END"


def total_sql(sums: Sequence[tuple[int, str]]) -> str:
    """Return the double that bins and their sums stand for, smallest first."""
    parts = [
        f"{nearest_double_sql(total)} * {2.0 ** (BITS * number - _SHIFT)!r}::DOUBLE"
        for number, total in sorted(sums)
    ]
    return f"({' + '.join(parts)})" if parts else "0::DOUBLE"
