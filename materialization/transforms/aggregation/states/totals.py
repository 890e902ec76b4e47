"""Running totals: what enters at a tick is added, what leaves is taken off, without a loss. [pure]

Not for one bin of a double (``exact_sums``). A total costs the same however long the window is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from materialization.transforms.aggregation.exact_sums import total_of
from materialization.transforms.aggregation.function import Amount, Column, State
from materialization.transforms.aggregation.rounding import Staged, mean_sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from materialization.transforms.aggregation.exact_sums import Found
    from materialization.transforms.aggregation.function import Call

#: Of the whole numbers that are added: integers of a source, of 64 bits with or without a sign.
_MOST_BITS = 64


@dataclass(frozen=True)
class Totals(State):
    """How many values are inside and, with ``adds``, their sum."""

    adds: bool = True

    def splits(self, call: Call) -> bool:
        return self.adds and call.argument.type == "DOUBLE"

    def prepared(self, call: Call) -> dict[str, str]:
        found = _doubles(call) if self.adds else None
        if found is None:
            return {}
        return {f"{call.value}_{end}": amount for end, amount in _split(call.value, found)}

    def running(self, call: Call) -> dict[str, Column]:
        added = {name: moved(call.window, each.sql) for name, each in self.amounts(call).items()}
        return {**added, **counted(call)}

    def amounts(self, call: Call) -> dict[str, Amount]:
        added = _summands(call) if self.adds else ()
        return {
            count_name(call): Amount(is_counted(call), 1),
            **{f"{call.shared}_{end}": amount for end, amount in added},
        }

    def holds(self, call: Call) -> str:
        return f"{count_name(call)} > 0"


def moved(window: int, amount: str) -> Column:
    """Return the running total of ``amount``, which a stay of ``window`` adds while it lasts."""
    signed = f"CASE WHEN sign < 0 THEN -({amount}) ELSE {amount} END"
    return Column(f"coalesce(sum({signed}) FILTER (WHERE w = {window}), 0)", "sum({})")


def counted(call: Call) -> dict[str, Column]:
    """Return the running number of values inside."""
    column = moved(call.window, is_counted(call))
    # Adding up is quicker of small numbers.
    return {count_name(call): column._replace(change=f"CAST({column.change} AS BIGINT)")}


def is_counted(call: Call) -> str:
    """Return what a row adds to the number of values."""
    return f"CAST({call.value} IS NOT NULL AS INTEGER)"


def count_name(call: Call) -> str:
    return f"s{call.counts_as}_{call.window}_n"


def total(call: Call) -> Staged:
    """Return the sum of the values inside, in the argument's type."""
    if (found := _doubles(call)) is not None:
        return _of_doubles(call, found, None)
    return Staged((), f"{call.shared}_s")


def mean(call: Call) -> Staged:
    """Return the double nearest to the mean of the values inside."""
    if (found := _doubles(call)) is not None:
        return _of_doubles(call, found, count_name(call))
    return Staged((), mean_sql(f"{call.shared}_s", call.argument.type, count_name(call)))


def _of_doubles(call: Call, found: Found, count: str | None) -> Staged:
    stem = call.shared
    sums = [(each.power, f"{stem}_b{i}") for i, each in enumerate(found.bins)]
    finite = total_of(stem, sums, count)
    if not found.non_finite:
        return finite
    nan = f"{stem}_nan > 0 OR ({stem}_up > 0 AND {stem}_down > 0)"
    return finite._replace(
        sql=f"CASE WHEN {nan} THEN 'nan'::DOUBLE WHEN {stem}_up > 0 THEN 'inf'::DOUBLE "
        f"WHEN {stem}_down > 0 THEN '-inf'::DOUBLE ELSE {finite.sql} END"
    )


def is_not_a_number(call: Call) -> str:
    """Return what is true where a value inside is no finite number; some are somewhere."""
    stem = call.shared
    return f"({stem}_nan > 0 OR {stem}_up > 0 OR {stem}_down > 0)"


def _doubles(call: Call) -> Found | None:
    """Return what is found of a sum of doubles; None of numbers that DuckDB adds exactly."""
    return call.found if call.argument.type == "DOUBLE" else None


def _summands(call: Call) -> Iterator[tuple[str, Amount]]:
    """Yield the totals of a call: the end of its name, and the column of a row that it adds."""
    found = _doubles(call)
    if found is None:
        is_whole = call.argument.type == "HUGEINT"
        yield "s", Amount(call.value, _MOST_BITS if is_whole else None)
        return
    bits = {f"b{position}": each.bits for position, each in enumerate(found.bins)}
    for suffix, _ in _split(call.value, found):
        yield suffix, Amount(f"{call.value}_{suffix}", bits.get(suffix, 1))


def _split(value: str, found: Found) -> Iterator[tuple[str, str]]:
    for position, each in enumerate(found.bins):
        yield f"b{position}", each.scaled(value)
    if found.non_finite:
        yield "nan", f"CAST(isnan({value}) AS INTEGER)"
        yield "up", f"CAST({value} = 'inf'::DOUBLE AS INTEGER)"
        yield "down", f"CAST({value} = '-inf'::DOUBLE AS INTEGER)"
