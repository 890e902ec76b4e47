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
    """The parameter ``k`` of a call says how many; the column is a list, the best row first.

    Calls over one argument and window share it, with as many rows as any of them asks for.
    """

    newest: bool

    @property
    def is_nested(self) -> bool:
        return self.newest

    def best(self, call: Call) -> str:
        """Return the column of the best rows of the window that is looked at."""
        return f"{call.shared}_{'newest' if self.newest else 'oldest'}"

    def inside(self, call: Call) -> str:
        """Return those of them that the call's own window holds."""
        if not self.newest:
            return self.best(call)
        return f"list_filter({self.best(call)}, lambda row: {call.holds_at('row.e')})"

    def part(self, call: Call) -> str:
        """Return the aggregate over the rows of one node; ties fall to the value, not to chance."""
        row = f"{{'e': e, 'c': c, 'x': {call.value}}}"
        best = "max" if self.newest else "min"
        return f"{best}({row}, {call.parameters['k']}) FILTER (WHERE {call.is_inside})"

    def chosen(self, call: Call) -> str:
        """Return the best of those of several nodes."""
        best, order = self.best(call), "DESC" if self.newest else "ASC"
        rows = f"flatten(list({best}) FILTER (WHERE {best} IS NOT NULL))"
        return f"list_slice(list_sort({rows}, '{order}'), 1, {call.parameters['k']})"

    def tables(self, calls: Sequence[tuple[Call, Self]], ask: Ask) -> Iterator[tuple[str, str]]:
        # The last of those over one argument and window asks for most.
        asked = sorted(calls, key=lambda each: each[0].parameters["k"])
        most = {state.best(call): (call, state) for call, state in asked}
        parts = "".join(f", {state.part(call)} AS {best}" for best, (call, state) in most.items())
        tiles = tiles_sql([call for call, _ in most.values()], ask)
        yield "best_of", f"SELECT kid, level, node{parts} FROM ({tiles}) GROUP BY kid, level, node"
        chosen = "".join(
            f", {state.chosen(call)} AS {best}" for best, (call, state) in most.items()
        )
        levels = f"range({len(levels_of('best_of', ask))}) AS levels(level)"
        climbs = f"SELECT kid, i, level, {node_above('level')} AS node FROM running, {levels}"
        yield (
            "best_rows",
            f"SELECT kid, climbs.i{chosen} FROM ({climbs}) AS climbs "
            "JOIN best_of USING (kid, level, node) GROUP BY kid, climbs.i",
        )

    def holds(self, call: Call) -> str:
        best = self.best(call)
        return call.holds_at(f"{best}[1].e") if self.newest else f"{best} IS NOT NULL"
