"""Running totals: what enters at a tick is added, what leaves is taken off, without a loss. [pure]

Not for one bin of a double (``exact_sums``). A total costs the same however long the window is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from materialization.transforms.aggregation.exact_sums import total_of
from materialization.transforms.aggregation.function import Column, State
from materialization.transforms.aggregation.rounding import Staged, mean_sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from materialization.transforms.aggregation.exact_sums import Found
    from materialization.transforms.aggregation.function import Call


@dataclass(frozen=True)
class Totals(State):
    """How many values are inside and, with ``adds``, their sum."""

    adds: bool = True

    def splits(self, call: Call) -> bool:
        return self.adds and call.argument.type == "DOUBLE"

    def prepared(self, call: Call) -> dict[str, str]:
        if not self.splits(call) or call.found is None:
            return {}
        return {f"{call.value}_{end}": amount for end, amount in _split(call.value, call.found)}

    def running(self, call: Call) -> dict[str, Column]:
        columns = counted(call)
        if self.adds:
            for end, amount in _summands(call):
                columns[f"{call.shared}_{end}"] = moved(call.window, amount)
        return columns

    def holds(self, call: Call) -> str:
        return f"{count_name(call)} > 0"


def moved(window: int, amount: str) -> Column:
    """Return the running total of ``amount``, which a stay of ``window`` adds while it lasts."""
    signed = f"CASE WHEN sign < 0 THEN -({amount}) ELSE {amount} END"
    return Column(f"coalesce(sum({signed}) FILTER (WHERE w = {window}), 0)", "sum({})")


def counted(call: Call) -> dict[str, Column]:
    """Return the running number of values inside."""
    column = moved(call.window, f"CAST({call.value} IS NOT NULL AS INTEGER)")
    # Adding up is quicker of small numbers.
    return {count_name(call): column._replace(change=f"CAST({column.change} AS BIGINT)")}


def count_name(call: Call) -> str:
    return f"s{call.counts_as}_{call.window}_n"


def total(call: Call) -> Staged:
    """Return the sum of the values inside, in the argument's type."""
    if call.found is not None:
        return _of_doubles(call, call.found, None)
    return Staged((), f"{call.shared}_s")


def mean(call: Call) -> Staged:
    """Return the double nearest to the mean of the values inside."""
    if call.found is not None:
        return _of_doubles(call, call.found, count_name(call))
    return Staged((), mean_sql(f"{call.shared}_s", call.argument.type, count_name(call)))


def _of_doubles(call: Call, found: Found, count: str | None) -> Staged:
    stem = call.shared
    sums = [(each, f"{stem}_b{i}") for i, each in enumerate(found.bins)]
    finite = total_of(stem, sums, count)
    if not found.non_finite:
        return finite
    nan = f"{stem}_nan > 0 OR ({stem}_up > 0 AND {stem}_down > 0)"
    return finite._replace(
        sql=f"CASE WHEN {nan} THEN 'nan'::DOUBLE WHEN {stem}_up > 0 THEN 'inf'::DOUBLE "
        f"WHEN {stem}_down > 0 THEN '-inf'::DOUBLE ELSE {finite.sql} END"
    )


def _summands(call: Call) -> Iterator[tuple[str, str]]:
    """Yield the totals of a call: the end of its name, and the column of a row that it adds."""
    if call.found is None:
        yield "s", call.value
    else:
        for suffix, _ in _split(call.value, call.found):
            yield suffix, f"{call.value}_{suffix}"


def _split(value: str, found: Found) -> Iterator[tuple[str, str]]:
    for position, each in enumerate(found.bins):
        yield f"b{position}", each.scaled(value)
    if found.non_finite:
        yield "nan", f"CAST(isnan({value}) AS INTEGER)"
        yield "up", f"CAST({value} = 'inf'::DOUBLE AS INTEGER)"
        yield "down", f"CAST({value} = '-inf'::DOUBLE AS INTEGER)"
