# ruff: noqa: S608 - only numbers and our own names are written into the SQL
"""How often each value is inside, at each candidate. [pure]

Not for what depends on which row a value came with (``rows_again``). The tree keeps counts by value
where the other keeps rows, so that a candidate costs as many steps as there are different values
inside, however often each occurs.
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
class Tallies(State):
    """``over``: one aggregate over the values inside, each once: ``x``, and how often it occurs
    (``n``). Its order must be total.
    """

    over: Callable[[Call], str]

    def tables(self, calls: Sequence[tuple[Call, Self]], ask: Ask) -> Iterator[tuple[str, str]]:
        yield "tiles", tiles_sql([call for call, _ in calls], ask)
        alike: dict[str, list[tuple[Call, Self]]] = {}
        for call, state in calls:
            alike.setdefault(call.shared, []).append((call, state))
        for shared, group in alike.items():
            one = group[0][0]
            counted = (
                f"SELECT kid, level, node, {one.value} AS x, count(*) AS n FROM tiles "
                f"WHERE {one.is_inside} GROUP BY ALL"
            )
            yield f"counted_{shared}", counted
            yield f"tallies_{shared}", _tallied(shared, group, ask)
        joins = " ".join(f"LEFT JOIN tallies_{shared} USING (kid, i)" for shared in alike)
        names = "".join(f", {call.name}" for call, _ in calls)
        yield "tallies", f"SELECT kid, i{names} FROM running {joins}"

    def holds(self, call: Call) -> str:
        return f"{call.name} IS NOT NULL"


def _tallied(shared: str, group: Sequence[tuple[Call, Tallies]], ask: Ask) -> str:
    """Return what the calls of one argument and window make of the values inside."""
    levels = f"range({len(levels_of(f'counted_{shared}', ask))}) AS levels(level)"
    climbs = f"SELECT kid, i, level, {node_above('level')} AS node FROM running, {levels}"
    inside = (
        f"SELECT kid, climbs.i AS i, x, CAST(sum(n) AS HUGEINT) AS n FROM ({climbs}) AS climbs "
        f"JOIN counted_{shared} USING (kid, level, node) GROUP BY kid, climbs.i, x"
    )
    columns = "".join(f", {state.over(call)} AS {call.name}" for call, state in group)
    return f"SELECT kid, i{columns} FROM ({inside}) GROUP BY kid, i"
