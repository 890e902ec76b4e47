# ruff: noqa: S608 - only numbers and our own names are written into the SQL
"""The least or greatest inside, from parts on the segment tree of the ticks. [pure]

Not for the tree itself (``tick_tree``). A row adds to the parts of the few nodes that tile its
stay, a candidate merges the parts of the nodes above it: rows × log(ticks), late and skewed rows
included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from materialization.transforms.aggregation.function import State
from materialization.transforms.aggregation.tick_tree import climbs_sql, tiles_sql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.transforms.aggregation.function import Call
    from materialization.transforms.aggregation.tick_grid import TickGrid


@dataclass(frozen=True)
class Extremes(State):
    """The ``best`` (an aggregate, ``{}`` for its argument) of ``of`` (``{}`` for a row's value)."""

    best: str
    of: str = "{}"

    def part(self, call: Call) -> str:
        """Return the aggregate over the rows of one node."""
        best = self.best.format(self.of.format(call.value))
        return f"{best} FILTER (WHERE {call.is_inside})"

    def tables(self, calls: Sequence[tuple[Call, Self]], grid: TickGrid) -> dict[str, str]:
        parts = "".join(f", {state.part(call)} AS {call.name}" for call, state in calls)
        merged = "".join(
            f", {state.best.format(f'nodes.{call.name}')} AS {call.name}" for call, state in calls
        )
        tiles = tiles_sql([call for call, _ in calls], grid)
        return {
            "nodes": f"SELECT kid, level, node{parts} FROM ({tiles}) GROUP BY kid, level, node",
            "extremes": f"SELECT kid, i{merged} FROM ({climbs_sql(grid)}) "
            "JOIN nodes USING (kid, level, node) GROUP BY kid, i",
        }

    def holds(self, call: Call) -> str:
        return f"{call.name} IS NOT NULL"
