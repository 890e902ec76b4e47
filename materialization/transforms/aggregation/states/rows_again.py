# ruff: noqa: S608 - only numbers and our own names are written into the SQL
"""What no running total can keep: at each candidate the rows inside are looked at again. [pure]

Not for sums, counts, extremes and the newest value: those have cheaper states. The segment tree
finds just the rows inside: candidates × rows inside, whatever else a key has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from materialization.transforms.aggregation.function import State
from materialization.transforms.aggregation.tick_tree import climbs_sql, tiles_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from materialization.transforms.aggregation.function import Call
    from materialization.transforms.aggregation.tick_grid import TickGrid


@dataclass(frozen=True)
class RowsAgain(State):
    """``over``: one aggregate over the rows inside. Its order must be total, down to the value:
    the same rows give the same digits in every run.
    """

    over: Callable[[Call], str]

    def tables(self, calls: Sequence[tuple[Call, Self]], grid: TickGrid) -> dict[str, str]:
        columns = "".join(
            f", {state.over(call)} FILTER (WHERE {call.is_inside}) AS {call.name}"
            for call, state in calls
        )
        tiles = tiles_sql([call for call, _ in calls], grid)
        return {
            "rows_again": f"SELECT kid, i{columns} FROM ({climbs_sql(grid)}) AS climbs "
            f"JOIN ({tiles}) AS tiles USING (kid, level, node) GROUP BY kid, i"
        }

    def holds(self, call: Call) -> str:
        return f"{call.name} IS NOT NULL"
