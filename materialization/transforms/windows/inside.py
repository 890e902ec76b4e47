"""The values of one argument inside one window: rows of some hops, what is known of others. [pure]

Not for what a function makes of them (``functions``), nor for which are inside (``evaluation``).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property, reduce
from itertools import chain, islice, repeat
from operator import mul
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from registry.spec.value_types import ValueType

#: Which functions need what of a hop beside how many values it has.
TOTAL = frozenset({"sum", "mean", "stddev", "variance", "any", "all"})
SQUARES = frozenset({"stddev", "variance"})
EXTREMES = frozenset({"min", "max"})
OLDEST, NEWEST = frozenset({"first", "first_k"}), frozenset({"last", "last_k"})
COUNTS = frozenset({"count_distinct", "top_k", "histogram", "percentile", "approx_percentile"})


class Exact(NamedTuple):
    """A whole number times a power of two."""

    whole: int
    power: int

    def plus(self, other: Exact) -> Exact:
        low = min(self.power, other.power)
        return Exact((self.whole << self.power - low) + (other.whole << other.power - low), low)


ZERO = Exact(0, 0)
#: The digits of a double: as many bits make its part of a power of two a whole number.
_DIGITS_BITS = 53
_DIGITS = 2.0**_DIGITS_BITS


class Partial(msgspec.Struct, frozen=True, array_like=True):
    """What is known of the values of one argument in one hop, oldest first where that matters.

    ``total`` and ``squares`` are of the finite ones, as bytes and a power of two; ``special`` is
    the sum of the others, None where there are none.
    """

    count: int
    total: tuple[bytes, int] | None = None
    squares: tuple[bytes, int] | None = None
    special: float | None = None
    extremes: tuple[Any, Any] | None = None
    oldest: list[Any] | None = None
    newest: list[Any] | None = None
    counts: list[tuple[Any, int]] | None = None


@dataclass(eq=False)
class Values:
    """Values of one argument, oldest first, and how often each is there; None: each is once.

    However many copies there are, they are counted and never made. Its sums are made once, however
    many windows they are inside of.
    """

    each: Sequence[Any]
    copies: Sequence[int] | None = None
    _sums: dict[bool, Exact] = field(default_factory=dict)

    def within(self, first: int, end: int) -> Values:
        copies = self.copies
        return Values(self.each[first:end], None if copies is None else copies[first:end])

    @property
    def count(self) -> int:
        return len(self.each) if self.copies is None else sum(self.copies)

    @cached_property
    def special(self) -> float | None:
        """The sum of what is not finite; None where nothing is."""
        found = [each for each in self.each if not math.isfinite(each)]
        return sum(found) if found else None

    @cached_property
    def extremes(self) -> tuple[Any, Any]:
        """The least value and the greatest."""
        return min(self.each, key=order), max(self.each, key=order)

    def summed(self, kind: ValueType, *, is_squared: bool) -> Exact:
        found = self._sums.get(is_squared)
        if found is None:
            found = self._sums[is_squared] = exact_sum(self, kind, is_squared=is_squared)
        return found

    def oldest(self, k: int) -> list[Any]:
        if self.copies is None:
            return list(self.each[:k])
        return _repeated(self.each, self.copies, k)

    def newest(self, k: int) -> list[Any]:
        if self.copies is None:
            return list(self.each[: -k - 1 : -1])
        return _repeated(reversed(self.each), reversed(self.copies), k)


def _repeated(values: Iterable[Any], copies: Iterable[int], k: int) -> list[Any]:
    return list(islice(chain.from_iterable(map(repeat, values, copies)), k))


class Inside:
    """Pieces in the order of their hops: values, oldest first, or what is known of them."""

    def __init__(self, pieces: Sequence[Values | Partial], kind: ValueType) -> None:
        self._pieces, self.kind = pieces, kind

    @cached_property
    def count(self) -> int:
        return sum(each.count for each in self._pieces)

    @cached_property
    def values(self) -> list[Any] | None:
        """All values, oldest first; None where not each of them is there by itself."""
        found: list[Any] = []
        for piece in self._pieces:
            if isinstance(piece, Partial) or piece.copies is not None:
                return None
            found += piece.each
        return found

    def special(self) -> float | None:
        """Return the sum of what is not finite; None where nothing is."""
        if self.kind.kind != "float64":
            return None
        found = [each.special for each in self._pieces if each.special is not None]
        return sum(found) if found else None

    @cached_property
    def total(self) -> Exact:
        """The sum of the finite values; of decimals, of their digits."""
        return self._summed("total", is_squared=False)

    @cached_property
    def squares(self) -> Exact:
        return self._summed("squares", is_squared=True)

    def _summed(self, name: str, *, is_squared: bool) -> Exact:
        parts = (
            unpacked(getattr(each, name))
            if isinstance(each, Partial)
            else each.summed(self.kind, is_squared=is_squared)
            for each in self._pieces
        )
        return reduce(Exact.plus, parts, ZERO)

    def extreme(self, place: int) -> Any:
        """Return the least value (0), or the greatest (1)."""
        found: list[Any] = []
        for each in self._pieces:
            if not isinstance(each, Partial):
                found.append(each.extremes[place])
            elif each.extremes is not None:
                found.append(self._read(each.extremes[place]))
        return (max if place else min)(found, key=order)

    def oldest(self, k: int) -> list[Any]:
        found: list[Any] = []
        for each in self._pieces:
            if len(found) >= k:
                break
            if isinstance(each, Partial):
                found += map(self._read, each.oldest or ())
            else:
                found += each.oldest(k)
        return found[:k]

    def newest(self, k: int) -> list[Any]:
        """Return the newest values, newest first."""
        found: list[Any] = []
        for each in reversed(self._pieces):
            if len(found) >= k:
                break
            if isinstance(each, Partial):
                found += map(self._read, reversed(each.newest or ()))
            else:
                found += each.newest(k)
        return found[:k]

    def counts(self) -> list[tuple[Any, int]]:
        """Return each value with how often it is there, in the order of the values."""
        counted, seen = Counter[Any](), dict[Any, Any]()
        for piece in self._pieces:
            if isinstance(piece, Partial):
                for raw, count in piece.counts or ():
                    value = self._read(raw)
                    counted[identity(value)] += count
                    seen[identity(value)] = value
            else:
                if piece.copies is None:
                    counted.update(map(identity, piece.each))
                for value, count in zip(piece.each, piece.copies or (), strict=False):
                    counted[identity(value)] += count
                seen |= {identity(value): value for value in piece.each}
        return sorted(((seen[each], n) for each, n in counted.items()), key=lambda x: order(x[0]))

    def _read(self, value: Any) -> Any:
        return Decimal(value) if self.kind.kind == "decimal" else value


def partial_of(values: Values, kind: ValueType, asked: Collection[tuple[str, int]]) -> Partial:
    """Return what functions need to know of the values of a hop; ``asked``: each with its ``k``."""
    names = {name for name, _ in asked}
    inside = Inside([values], kind)
    many = dict(sorted(asked, key=lambda each: each[1]))
    return Partial(
        inside.count,
        packed(inside.total) if names & TOTAL else None,
        packed(inside.squares) if names & SQUARES else None,
        inside.special() if names & TOTAL else None,
        (inside.extreme(0), inside.extreme(1)) if names & EXTREMES and values.each else None,
        inside.oldest(max(many[each] for each in names & OLDEST)) if names & OLDEST else None,
        inside.newest(max(many[each] for each in names & NEWEST))[::-1] if names & NEWEST else None,
        inside.counts() if names & COUNTS else None,
    )


def packed(number: Exact) -> tuple[bytes, int]:
    """Return the number by as few bytes as it has; none for zero."""
    whole, power = number
    if not whole:
        return b"", 0
    zeros = (whole & -whole).bit_length() - 1
    whole >>= zeros
    return whole.to_bytes(whole.bit_length() // 8 + 1, "big", signed=True), power + zeros


def unpacked(number: tuple[bytes, int] | None) -> Exact:
    if number is None:
        return ZERO
    return Exact(int.from_bytes(number[0], "big", signed=True), number[1])


def exact_sum(values: Values, kind: ValueType, *, is_squared: bool = False) -> Exact:
    """Return the sum of the finite values, or of their squares, without a loss."""
    if kind.kind == "float64":
        return _sum_of_doubles(values, is_squared=is_squared)
    if kind.kind == "decimal":
        wholes = [digits_of(each, kind.scale) for each in values.each]
    else:
        wholes = list(map(int, values.each))
    if is_squared:
        wholes = [each * each for each in wholes]
    copies = values.copies
    return Exact(sum(wholes if copies is None else map(mul, wholes, copies)), 0)


def _sum_of_doubles(values: Values, *, is_squared: bool) -> Exact:
    """Add those of one power of two up before the others.

    A number that has both the greatest and the least double in it has thousands of bits: it is
    made once for each power, of which there are some 2,000, and not once for each value.
    """
    sums = defaultdict[int, int](int)
    for value, often in zip(values.each, values.copies or repeat(1), strict=False):
        if value and math.isfinite(value):
            part, power = math.frexp(value)
            whole = int(part * _DIGITS)
            sums[power] += often * (whole * whole if is_squared else whole)
    if not sums:
        return ZERO
    low, times = min(sums), 1 + is_squared
    whole = sum(each << times * (power - low) for power, each in sums.items())
    return Exact(whole, times * (low - _DIGITS_BITS))


def digits_of(value: Decimal, scale: int) -> int:
    """Return a decimal without its point, however many digits it has."""
    sign, digits, exponent = value.as_tuple()
    whole = int("".join(map(str, digits))) * int(10 ** (int(exponent) + scale))
    return -whole if sign else whole


def order(value: Any) -> tuple[int, Any]:
    """Sort by it: NaN is above all other values."""
    return (1, 0) if value != value else (0, value)


def identity(value: Any) -> Any:
    """Return what stands for a value among others: NaN is equal to itself."""
    return "NaN" if value != value else value
