# ruff: noqa: S608 - only numbers and our own names are written into the SQL
"""The least or greatest inside, from parts on the tree of the candidates. [pure]

Not for the tree itself (``candidate_tree``). A row adds to the parts of the few nodes that tile its
stay, a candidate merges the parts of the nodes above it: rows × log(candidates of a key), late and
skewed rows included.
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
from materialization.transforms.aggregation.states.by_age import age, looked_up, ranked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from materialization.transforms.aggregation.function import Ask, Call


@dataclass(frozen=True)
class Extremes(State):
    """The greatest of the values inside, or the least; or the value of the newest, or oldest."""

    greatest: bool
    by_age: bool = False

    def prepared(self, call: Call) -> dict[str, str]:
        return ranked(call) if self.by_age else {}

    def lookup(self, call: Call) -> str:
        return looked_up(call) if self.by_age else ""

    def part(self, call: Call) -> str:
        """Return the aggregate over the rows of one node."""
        best = "max" if self.greatest else "min"
        of = age(call) if self.by_age else call.value
        return f"{best}({of}) FILTER (WHERE {call.is_inside})"

    def merged(self, parts: Sequence[str]) -> str:
        """Return the best of several, of which some may be NULL."""
        return f"{'greatest' if self.greatest else 'least'}({', '.join(parts)})"

    def tables(self, calls: Sequence[tuple[Call, Self]], ask: Ask) -> Iterator[tuple[str, str]]:
        parts = "".join(f", {state.part(call)} AS {call.name}" for call, state in calls)
        tiles = tiles_sql([call for call, _ in calls], ask)
        yield "nodes", f"SELECT kid, level, node{parts} FROM ({tiles}) GROUP BY kid, level, node"
        levels = levels_of("nodes", ask)
        joins = " ".join(
            f"LEFT JOIN nodes AS n{level} ON n{level}.kid = running.kid AND "
            f"n{level}.level = {level} AND n{level}.node = {node_above(level)}"
            for level in levels
        )
        best = "".join(
            f", {state.merged([f'n{level}.{call.name}' for level in levels])} AS {call.name}"
            for call, state in calls
        )
        yield "extremes", f"SELECT running.kid, i{best} FROM running {joins}"

    def holds(self, call: Call) -> str:
        return f"{call.name} IS NOT NULL"
