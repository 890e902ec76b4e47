"""Sums of doubles that are exact, so that leaving a window leaves nothing behind. [pure]

Not for integers and decimals: DuckDB adds those exactly.

A double is scaled to a 128-bit integer. Integers add and subtract without loss and in any order, so
a running sum of what enters minus what leaves is right to the last bit, and the same however a
history is cut into runs. Where one scale does not hold all values of a column, each is split off
into the bin of its exponent (32 binary places a bin), and each bin has a sum of its own.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from materialization.transforms.aggregation.rounding import (
    Parts,
    Staged,
    exactly_sql,
    nearest_sql,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

BITS = 32
#: A value in bin k has its lowest bit at 2^(32k - 52) or above; 60 leaves room for log2's rounding.
_SHIFT = 60
#: All values below 2^-992 share a bin: down to the least there is they need 92 bits.
_LOWEST = -32
#: Powers of two beyond it are multiplied in two steps: no double has them.
_STEP = 1000
#: What a HUGEINT holds beside its sign, and a bit to spare for what is taken off it again.
_ROOM = 126
#: Digits of a double, and the power of the least there is.
_DIGITS, _LEAST_POWER = 53, -1074


class Bin(NamedTuple):
    """Values that are added in whole numbers of 2^``power``; without a ``number`` all of them.

    None of them has more than ``bits``.
    """

    power: int
    number: int | None = None
    bits: int = BITS + _SHIFT

    def takes(self, value: str) -> str:
        """Return SQL that is true of a value that belongs here."""
        finite = f"isfinite({value})"
        return finite if self.number is None else f"{finite} AND {bin_sql(value)} = {self.number}"

    def scaled(self, value: str) -> str:
        """Return the HUGEINT that ``value`` adds; 0 when it belongs elsewhere."""
        scaled = times_power(value, -self.power)
        return f"CASE WHEN {self.takes(value)} THEN CAST({scaled} AS HUGEINT) ELSE 0::HUGEINT END"


class Found(NamedTuple):
    """What the rows at hand decide about one column of numbers: its bins, and NaN or infinities.

    Whole numbers and decimals are one bin, by the digits they have without a point.
    """

    bins: tuple[Bin, ...]
    non_finite: bool


def extent_sql(value: str) -> str:
    """Return aggregates over the rows: how many, the least and greatest magnitude, any not finite.

    NULL magnitudes where nothing but zeros is added.
    """
    ordinary = f"FILTER (isfinite({value}) AND {value} <> 0)"
    return (
        f"count({value}), min(abs({value})) {ordinary}, max(abs({value})) {ordinary}, "
        f"coalesce(bool_or(NOT isfinite({value})), FALSE)"
    )


def one_bin(count: int, least: float | None, greatest: float | None) -> tuple[Bin, ...] | None:
    """Return the bin that holds any sum of ``count`` values; None: none does. Zeros need no bin."""
    if least is None or greatest is None:
        return ()
    power = max(_LEAST_POWER, math.frexp(least)[1] - _DIGITS)
    bits = math.frexp(greatest)[1] - power
    return (Bin(power, bits=bits),) if bits + count.bit_length() <= _ROOM else None


def whole_bin(greatest: int | Decimal | None) -> tuple[Bin, ...]:
    """Return the bin of whole numbers or decimals up to a magnitude: their digits, in ones."""
    digits = Decimal(greatest or 0).as_tuple().digits
    return (Bin(0, bits=int("".join(map(str, digits))).bit_length()),)


def bins_sql(value: str) -> str:
    """Return an aggregate over the rows: the list of numbers of bins."""
    return f"list(DISTINCT {bin_sql(value)}) FILTER ({value} IS NOT NULL)"


def numbered_bins(numbers: Sequence[int]) -> tuple[Bin, ...]:
    return tuple(Bin(BITS * number - _SHIFT, number) for number in sorted(numbers))


def bin_sql(value: str) -> str:
    """Return the number of a double's bin; 0 for zero, NaN and the infinities."""
    exponent = f"CAST(floor(log2(abs({value})) / {BITS}) AS INTEGER)"
    ordinary = f"isfinite({value}) AND {value} <> 0"
    return f"CASE WHEN {ordinary} THEN greatest({_LOWEST}, {exponent}) ELSE 0 END"


def total_of(stem: str, sums: Sequence[tuple[int, str]], count: str | None = None) -> Staged:
    """Return the double nearest to what powers of two and their sums stand for, or to a part of it.

    That is its ``count``-th part. ``stem`` begins the names of columns.
    """
    if not sums:
        return Staged((), "0::DOUBLE")
    layers, parts = doubles_of(stem, sums)
    powers, totals = [power for power, _ in sums], [total for _, total in sums]
    exact = exactly_sql(totals, powers, 0, count or "1")
    value = nearest_sql(stem, parts, exact, count)
    return value._replace(layers=(*layers, *value.layers))


def doubles_of(stem: str, sums: Sequence[tuple[int, str]]) -> tuple[list[dict[str, str]], Parts]:
    """Return the layers that make two doubles of each sum, which nearly always are all of it."""
    near, rest, parts, doubt = {}, {}, {}, []
    for i, (power, total) in enumerate(sums):
        near[f"{stem}_h{i}"] = f"CAST({total} AS DOUBLE)"
        rest[f"{stem}_r{i}"] = f"CAST({total} - CAST({stem}_h{i} AS HUGEINT) AS DOUBLE)"
        parts[f"{stem}_p{2 * i}"] = times_power(f"{stem}_h{i}", power)
        parts[f"{stem}_p{2 * i + 1}"] = times_power(f"{stem}_r{i}", power)
        inexact = f"abs({stem}_r{i}) > {2.0**_DIGITS!r}::DOUBLE"
        doubt.append(f"CASE WHEN {inexact} THEN abs({stem}_p{2 * i + 1}) ELSE 0 END")
    unit = math.ldexp(1.0, min(power for power, _ in sums))
    return [near, rest, parts], Parts(tuple(parts), " + ".join(doubt), unit=unit)


def times_power(value: str, power: int) -> str:
    """Return a double times a power of two, which may be one that no double has."""
    first = max(-_STEP, min(_STEP, power))
    rest = f" * {2.0 ** (power - first)!r}::DOUBLE" if power != first else ""
    return f"{value} * {2.0**first!r}::DOUBLE{rest}"
