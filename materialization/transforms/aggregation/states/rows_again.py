# ruff: noqa: S608 - only numbers and our own names are written into the SQL
"""What no running total can keep: at each candidate the rows inside are looked at again. [pure]

Not for sums, counts, extremes and the newest value: those have cheaper states. The segment tree
finds just the rows inside: candidates × rows inside, whatever else a key has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from materialization.transforms.aggregation.candidate_tree import (
    levels_of,
    node_above,
    tiles_sql,
)
from materialization.transforms.aggregation.function import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from materialization.transforms.aggregation.function import Ask, Call


@dataclass(frozen=True)
class RowsAgain(State):
    """``over``: one aggregate over the rows inside. Its order must be total, down to the value:
    the same rows give the same digits in every run.
    """

    over: Callable[[Call], str]

    def tables(self, calls: Sequence[tuple[Call, Self]], ask: Ask) -> Iterator[tuple[str, str]]:
        columns = "".join(
            f", {state.over(call)} FILTER (WHERE {call.is_inside}) AS {call.name}"
            for call, state in calls
        )
        yield "tiles", tiles_sql([call for call, _ in calls], ask)
        levels = f"range({len(levels_of('tiles', ask))}) AS levels(level)"
        climbs = f"SELECT kid, i, level, {node_above('level')} AS node FROM running, {levels}"
        yield (
            "rows_again",
            f"SELECT kid, climbs.i{columns} FROM ({climbs}) AS climbs "
            "JOIN tiles USING (kid, level, node) GROUP BY kid, climbs.i",
        )

    def holds(self, call: Call) -> str:
        return f"{call.name} IS NOT NULL"
