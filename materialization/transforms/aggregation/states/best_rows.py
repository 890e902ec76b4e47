# ruff: noqa: S608 - only numbers and our own names are written into the SQL
"""The newest or oldest few rows inside, from the few of each node of the candidates' tree. [pure]

Not for one row (``extremes``). A node keeps as many as are asked for, a candidate chooses among
those of the nodes above it: rows × log(candidates of a key), however many rows a window holds.
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
    from collections.abc import Iterator, Sequence

    from materialization.transforms.aggregation.function import Ask, Call


@dataclass(frozen=True)
class BestRows(State):
    """The parameter ``k`` of the call says how many; the column is a list, the best row first."""

    newest: bool

    def part(self, call: Call) -> str:
        """Return the aggregate over the rows of one node; ties fall to the value, not to chance."""
        row = f"{{'e': e, 'c': c, 'x': {call.value}}}"
        best = "max" if self.newest else "min"
        return f"{best}({row}, {call.parameters['k']}) FILTER (WHERE {call.is_inside})"

    def chosen(self, call: Call) -> str:
        """Return the best of those of several nodes."""
        order = "DESC" if self.newest else "ASC"
        rows = f"flatten(list({call.name}) FILTER (WHERE {call.name} IS NOT NULL))"
        return f"list_slice(list_sort({rows}, '{order}'), 1, {call.parameters['k']})"

    def tables(self, calls: Sequence[tuple[Call, Self]], ask: Ask) -> Iterator[tuple[str, str]]:
        parts = "".join(f", {state.part(call)} AS {call.name}" for call, state in calls)
        tiles = tiles_sql([call for call, _ in calls], ask)
        yield "best_of", f"SELECT kid, level, node{parts} FROM ({tiles}) GROUP BY kid, level, node"
        chosen = "".join(f", {state.chosen(call)} AS {call.name}" for call, state in calls)
        levels = f"range({len(levels_of('best_of', ask))}) AS levels(level)"
        climbs = f"SELECT kid, i, level, {node_above('level')} AS node FROM running, {levels}"
        yield (
            "best_rows",
            f"SELECT kid, climbs.i{chosen} FROM ({climbs}) AS climbs "
            "JOIN best_of USING (kid, level, node) GROUP BY kid, climbs.i",
        )

    def holds(self, call: Call) -> str:
        return f"{call.name} IS NOT NULL"
