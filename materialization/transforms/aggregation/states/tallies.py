# ruff: noqa: S608 - only numbers and our own names are written into the SQL
"""The values that occur most, at each candidate. [pure]

Not for what depends on which row a value came with (``best_rows``). How often a value is inside
changes only where one of its rows enters or leaves; in between it stays as often, and such a stay
is put on the candidates' tree as that of a row is. A node keeps as many as are asked for, so it
costs rows × log(candidates of a key), however many different values a window holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from materialization.transforms.aggregation.candidate_tree import (
    levels_of,
    node_above,
    tiles_of,
)
from materialization.transforms.aggregation.function import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from materialization.transforms.aggregation.function import Ask, Call


@dataclass(frozen=True)
class Tallies(State):
    """The parameter ``k`` of the call says how many; the column is a list, the most frequent first:
    ``x``, and how often it occurs as a number that is lower (``less``), so that of equally frequent
    ones the lesser is first.
    """

    def tables(self, calls: Sequence[tuple[Call, Self]], ask: Ask) -> Iterator[tuple[str, str]]:
        alike: dict[str, list[Call]] = {}
        for call, _ in calls:
            alike.setdefault(call.shared, []).append(call)
        for shared, group in alike.items():
            yield "tallied", _tallied(group[0])
            most = "".join(f", {_best(call)}" for call in group)
            tiles = tiles_of("SELECT * FROM tallied", ask)
            yield "most_of", f"SELECT kid, level, node{most} FROM ({tiles}) GROUP BY ALL"
            yield f"tallies_{shared}", _chosen(group, ask)
        joins = " ".join(f"LEFT JOIN tallies_{shared} USING (kid, i)" for shared in alike)
        names = "".join(f", {call.name}" for call, _ in calls)
        yield "tallies", f"SELECT kid, i{names} FROM running {joins}"

    def holds(self, call: Call) -> str:
        return f"{call.name} IS NOT NULL"


def _best(call: Call) -> str:
    return f"min({{'less': -n, 'x': x}}, {call.parameters['k']}) AS {call.name}"


def _tallied(call: Call) -> str:
    """Return the stays of each value: how often (``n``) it is inside, from when until when."""
    inside, x = call.is_inside, call.value
    moves = (
        f"SELECT kid, {x} AS x, enter AS i, 1 AS d FROM spans WHERE {inside} UNION ALL "
        f"SELECT kid, {x} AS x, leave AS i, -1 AS d FROM spans WHERE {inside}"
    )
    changes = f"SELECT kid, x, i, sum(d) AS d FROM ({moves}) GROUP BY ALL HAVING sum(d) <> 0"
    tallies = (
        "SELECT kid, x, i AS enter, lead(i) OVER value AS leave, "
        f"CAST(sum(d) OVER (value ROWS UNBOUNDED PRECEDING) AS BIGINT) AS n FROM ({changes}) "
        "WINDOW value AS (PARTITION BY kid, x ORDER BY i)"
    )
    return f"SELECT * FROM ({tallies}) WHERE n > 0"


def _chosen(group: Sequence[Call], ask: Ask) -> str:
    """Return the best of those of the nodes above each candidate."""
    levels = f"range({len(levels_of('most_of', ask))}) AS levels(level)"
    climbs = f"SELECT kid, i, level, {node_above('level')} AS node FROM running, {levels}"
    best = "".join(
        f", list_slice(list_sort(flatten(list({call.name})), 'ASC'), 1, {call.parameters['k']}) "
        f"AS {call.name}"
        for call in group
    )
    return (
        f"SELECT kid, climbs.i AS i{best} FROM ({climbs}) AS climbs "
        "JOIN most_of USING (kid, level, node) GROUP BY kid, climbs.i"
    )
