"""How many values are inside, their sum and that of their squares, each without a loss. [pure]

Not for how squares are split (``exact_squares``). It costs the same however many rows a window has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from materialization.transforms.aggregation import exact_squares
from materialization.transforms.aggregation.exact_squares import LIMB, limbs, limbs_of, squared
from materialization.transforms.aggregation.function import Amount, Column, State
from materialization.transforms.aggregation.states.totals import (
    Totals,
    count_name,
    counted,
    is_not_a_number,
    moved,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from materialization.transforms.aggregation.exact_sums import Bin
    from materialization.transforms.aggregation.function import Call

_TOTALS = Totals()
#: Whole numbers of more bits could not be added up in 128.
_WIDE = 2 * LIMB
#: Three products of two limbs.
_SQUARE = 2 * LIMB + 2


class _Whole(NamedTuple):
    """Whole numbers in the column ``name`` of the rows: those of one bin."""

    name: str
    end: str
    each: Bin

    @property
    def is_wide(self) -> bool:
        return self.each.bits > _WIDE


@dataclass(frozen=True)
class Moments(State):
    def splits(self, call: Call) -> bool:
        return True

    def prepared(self, call: Call) -> dict[str, str]:
        columns = dict(_TOTALS.prepared(call))
        if call.argument.type != "DOUBLE":
            columns[_digits(call)] = _digits_sql(call)
        for whole in _wholes(call):
            parts = limbs(f"abs({whole.name})", whole.each.bits)
            if whole.is_wide:
                columns |= {
                    f"{whole.name}_l{i}": f"sign({whole.name}) * {part}"
                    for i, part in enumerate(parts)
                }
            for i, sql in enumerate(squared(parts)):
                columns[f"{whole.name}_q{i}"] = sql
        return columns

    def running(self, call: Call) -> dict[str, Column]:
        added = {name: moved(call.window, each.sql) for name, each in self.amounts(call).items()}
        return {**added, **counted(call)}

    def amounts(self, call: Call) -> dict[str, Amount]:
        of_doubles = call.argument.type == "DOUBLE"
        counts = Totals() if of_doubles else Totals(adds=False)
        amounts = counts.amounts(call)
        for whole in _wholes(call):
            for end, _ in _ends_of_sums(whole):
                bits = min(LIMB if whole.is_wide else _WIDE, whole.each.bits)
                amounts[f"{call.shared}_{whole.end}{end}"] = Amount(f"{whole.name}{end}", bits)
            for end, _ in _ends_of_squares(whole):
                bits = min(_SQUARE, 2 * whole.each.bits)
                amounts[f"{call.shared}_{whole.end}{end}"] = Amount(f"{whole.name}{end}", bits)
        return amounts

    def holds(self, call: Call) -> str:
        # Of one value nothing can be said.
        return f"{count_name(call)} > 1"


def moments(call: Call) -> exact_squares.Moments:
    """Return the totals of a call, by the names they have."""
    sums, squares = [], []
    for whole in _wholes(call):
        stem, power = f"{call.shared}_{whole.end}", whole.each.power
        sums += [(power + more, f"{stem}{end}") for end, more in _ends_of_sums(whole)]
        squares += [(2 * power + more, f"{stem}{end}") for end, more in _ends_of_squares(whole)]
    scale = int(call.argument.type.rstrip(")").partition(",")[2] or 0)
    return exact_squares.Moments(sums, squares, count_name(call), scale, _is_constant(call))


def is_spread_beyond(call: Call) -> str | None:
    """Return SQL that is true where NaN or an infinity is inside; None where none is anywhere."""
    if call.argument.type != "DOUBLE" or call.found is None or not call.found.non_finite:
        return None
    return is_not_a_number(call)


def _wholes(call: Call) -> Iterator[_Whole]:
    bins = () if call.found is None else call.found.bins
    for position, each in enumerate(bins):
        if call.argument.type == "DOUBLE":
            yield _Whole(f"{call.value}_b{position}", f"b{position}", each)
        else:
            yield _Whole(_digits(call), "w", each)


def _ends_of_sums(whole: _Whole) -> list[tuple[str, int]]:
    """Return the ends of names of what is added up of the numbers, with their powers of two."""
    if whole.is_wide:
        return [(f"_l{i}", LIMB * i) for i in range(limbs_of(whole.each.bits))]
    return [("", 0)]


def _ends_of_squares(whole: _Whole) -> list[tuple[str, int]]:
    return [(f"_q{i}", LIMB * i) for i in range(2 * limbs_of(whole.each.bits) - 1)]


def _digits(call: Call) -> str:
    return f"{call.value}_w"


def _digits_sql(call: Call) -> str:
    """Return the whole number that a whole number or a decimal is without its point."""
    if call.argument.type == "HUGEINT":
        return call.value
    return f"CAST(replace(CAST({call.value} AS VARCHAR), '.', '') AS HUGEINT)"


def _is_constant(call: Call) -> str:
    """Return what is true where all values are one: each total is that of as many times the mean.

    Of several bins this holds in each only where all values are in one of them.
    """
    tests = []
    for whole in _wholes(call):
        if whole.is_wide:
            return "FALSE"
        total, count = f"{call.shared}_{whole.end}", count_name(call)
        parts = limbs(f"abs({total} // {count})", whole.each.bits)
        tests.append(f"{total} % {count} = 0")
        tests += [f"{total}_q{i} = {count} * ({sql})" for i, sql in enumerate(squared(parts))]
    return " AND ".join(tests) or "TRUE"
