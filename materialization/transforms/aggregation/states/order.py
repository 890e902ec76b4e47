# ruff: noqa: S608 - only numbers and our own names are written into the SQL
"""The values of given ranks inside, found by halving: rows and candidates × log(values). [pure]

Not for the least and the greatest alone (``extremes``). The values of a key are numbered in their
order, and each is put under nodes of 2^level neighbours. How many of a node are inside changes only
where one of its rows enters or leaves, so a candidate that looks for a rank asks the left of two
nodes how many it holds, and goes on there or, that many ranks further, to the right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from materialization.transforms.aggregation.function import State
from materialization.transforms.aggregation.states.totals import count_name, counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from materialization.transforms.aggregation.function import Ask, Call, Column


def _place(call: Call) -> str:
    """Return the column of a row that has the number of its value among those of its key."""
    return f"{call.value}_place"


@dataclass(frozen=True)
class Order(State):
    """``ranks``: SQL of each rank to find, from 0, by that of how many values are inside.

    What is found is in the columns ``found(call, 0)``, ``found(call, 1)``, ….
    """

    ranks: Callable[[Call, str], Sequence[str]]

    def prepared(self, call: Call) -> dict[str, str]:
        place = f"dense_rank() OVER (PARTITION BY kid ORDER BY {call.value}) - 1"
        return {_place(call): f"CASE WHEN {call.value} IS NOT NULL THEN {place} END"}

    def running(self, call: Call) -> dict[str, Column]:
        return counted(call)

    def tables(self, calls: Sequence[tuple[Call, Self]], ask: Ask) -> Iterator[tuple[str, str]]:
        alike: dict[str, list[tuple[Call, Self]]] = {}
        for call, state in calls:
            alike.setdefault(call.shared, []).append((call, state))
        for shared, group in alike.items():
            one = group[0][0]
            yield "moves", _moves(one)
            yield "sought", _sought(group)
            most = ask(f"SELECT max({_place(one)}) FROM rows") or 0
            for level in reversed(range(most.bit_length())):
                yield "held", _held(level)
                yield "sought", _HALVED
            yield f"order_{shared}", _found(one, group)
        joins = " ".join(f"LEFT JOIN order_{shared} USING (kid, i)" for shared in alike)
        names = "".join(
            f", {found(call, number)}"
            for call, state in calls
            for number, _ in enumerate(state.ranks(call, ""))
        )
        yield "ordered", f"SELECT kid, i{names} FROM running {joins}"

    def holds(self, call: Call) -> str:
        return f"{count_name(call)} > 0"


def found(call: Call, number: int) -> str:
    """Return the column that has the value of a call's rank."""
    return f"{call.name}_{number}"


def _moves(call: Call) -> str:
    """Return how many of each value enter, less those that leave, at each candidate."""
    inside, place = call.is_inside, _place(call)
    moves = (
        f"SELECT kid, enter AS i, {place} AS place, 1 AS d FROM spans WHERE {inside} UNION ALL "
        f"SELECT kid, leave AS i, {place} AS place, -1 AS d FROM spans WHERE {inside}"
    )
    return f"SELECT kid, i, place, sum(d) AS d FROM ({moves}) GROUP BY ALL"


def _sought(group: Sequence[tuple[Call, Order]]) -> str:
    """Return each rank that a candidate looks for, by its number ``t``, under the highest node."""
    count = count_name(group[0][0])
    ranks = [rank for call, state in group for rank in state.ranks(call, count)]
    listed = ", ".join(f"CAST({rank} AS BIGINT)" for rank in ranks)
    return (
        f"SELECT kid, i, unnest([{listed}]) AS rank, unnest(range({len(ranks)})) AS t, "
        f"0::BIGINT AS node FROM running WHERE {count} > 0"
    )


def _held(level: int) -> str:
    """Return how many each left node of a level holds from a candidate on."""
    node = f"place >> {level}"
    return (
        "SELECT kid, node, i, CAST(sum(d) OVER (PARTITION BY kid, node ORDER BY i) AS BIGINT) AS n "
        f"FROM (SELECT kid, {node} AS node, i, sum(d) AS d FROM moves WHERE ({node}) % 2 = 0 "
        "GROUP BY ALL)"
    )


_N = "coalesce(held.n, 0)"
_HALVED = (
    "SELECT sought.kid, sought.i, t, "
    f"CASE WHEN rank < {_N} THEN rank ELSE rank - {_N} END AS rank, "
    f"CASE WHEN rank < {_N} THEN 2 * sought.node ELSE 2 * sought.node + 1 END AS node "
    "FROM sought ASOF LEFT JOIN held ON held.kid = sought.kid "
    "AND held.node = 2 * sought.node AND held.i <= sought.i"
)


def _found(one: Call, group: Sequence[tuple[Call, Order]]) -> str:
    """Return the values that were found, a column a rank."""
    names = [
        found(call, number)
        for call, state in group
        for number, _ in enumerate(state.ranks(call, ""))
    ]
    columns = "".join(f", any_value(x) FILTER (t = {t}) AS {name}" for t, name in enumerate(names))
    place = _place(one)
    values = (
        f"SELECT DISTINCT kid, {place} AS node, {one.value} AS x FROM rows "
        f"WHERE {place} IS NOT NULL"
    )
    return f"SELECT kid, i{columns} FROM sought JOIN ({values}) USING (kid, node) GROUP BY kid, i"
