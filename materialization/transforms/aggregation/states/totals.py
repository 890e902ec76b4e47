"""Running totals: what enters at a tick is added, what leaves is taken off, without a loss. [pure]

Not for one bin of a double (``exact_sums``). A total costs the same however long the window is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from materialization.transforms.aggregation.exact_sums import (
    scaled_sql,
    total_sql,
)
from materialization.transforms.aggregation.function import Column, State
from materialization.transforms.aggregation.rounding import mean_sql

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

    def running(self, call: Call) -> dict[str, Column]:
        present = f"CAST({call.value} IS NOT NULL AS INTEGER)"
        amounts = {count_name(call): present, **(dict(_summands(call)) if self.adds else {})}
        return {name: moved(call.window, amount) for name, amount in amounts.items()}

    def holds(self, call: Call) -> str:
        return f"{count_name(call)} > 0"


def moved(window: int, amount: str) -> Column:
    """Return the running total of ``amount``, which a stay of ``window`` adds while it lasts."""
    signed = f"CASE WHEN sign < 0 THEN -({amount}) ELSE {amount} END"
    return Column(f"coalesce(sum({signed}) FILTER (WHERE w = {window}), 0)", "sum({})")


def count_name(call: Call) -> str:
    return f"{call.shared}_n"


def total(call: Call) -> str:
    """Return the sum of the values inside, in the argument's type."""
    return f"{call.shared}_s" if call.found is None else _of_doubles(call, call.found, None)


def mean(call: Call) -> str:
    """Return the double nearest to the mean of the values inside."""
    if call.found is not None:
        return _of_doubles(call, call.found, count_name(call))
    return mean_sql(total(call), call.argument.type, count_name(call))


def _of_doubles(call: Call, found: Found, count: str | None) -> str:
    stem = call.shared
    sums = [(number, f"{stem}_b{i}") for i, number in enumerate(found.bins)]
    finite = total_sql(sums, count)
    if not found.non_finite:
        return finite
    nan = f"{stem}_nan > 0 OR ({stem}_up > 0 AND {stem}_down > 0)"
    return (
        f"CASE WHEN {nan} THEN 'nan'::DOUBLE WHEN {stem}_up > 0 THEN 'inf'::DOUBLE "
        f"WHEN {stem}_down > 0 THEN '-inf'::DOUBLE ELSE {finite} END"
    )


def _summands(call: Call) -> Iterator[tuple[str, str]]:
    if call.found is None:
        yield f"{call.shared}_s", call.value
    else:
        for suffix, amount in _split(call.value, call.found):
            yield f"{call.shared}_{suffix}", amount


def _split(value: str, found: Found) -> Iterator[tuple[str, str]]:
    for position, number in enumerate(found.bins):
        yield f"b{position}", scaled_sql(value, number)
    if found.non_finite:
        yield "nan", f"CAST(isnan({value}) AS INTEGER)"
        yield "up", f"CAST({value} = 'inf'::DOUBLE AS INTEGER)"
        yield "down", f"CAST({value} = '-inf'::DOUBLE AS INTEGER)"
