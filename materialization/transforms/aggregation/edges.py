# ruff: noqa: S608 - only numbers and our own names are written into the SQL
"""Totals as of any instants: what was visible by then, less what had left by then. [pure]

Not for what no total can give (``as_of`` has the stays of rows for it), nor for ticks (``stages``).

An event counts from ``v``, when it is visible, until ``e + w``. So a total at ``t`` is that of all
``v`` up to ``t`` less that of all ``e`` up to ``t - w``. Events and these edges are sorted together
once, for all windows, and a total that runs over all of them, keys one after the other, is read at
each edge: within a key the differences are the same, and exact, because the totals are. What is
late counts from ``e`` on as the others do, and what is not seen yet is taken off by a second pass
over the late ones; those that come too late for a window, or were found to be gone, are set right
by another. One sum a pass is what adding up costs.
"""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

from lib.instants import MICROSECOND
from materialization.transforms.aggregation.packing import Packed, packed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from materialization.transforms.aggregation.aggregates import Aggregates
    from materialization.transforms.aggregation.function import Amount

    _Step = dict[str, Any]

#: What is at one instant comes in this order; with it an instant is one number, and sorted as such.
_COUNTS, _IS_ASKED = 0, 1
_CODES = 2
#: Bits of an edge's number that say which of an instant's it is.
_PLACES = 20
#: Of more late events than these (a share) all are sorted twice: by when they were, and were seen.
_FEW_LATE = 0.4
#: Of rows as they come, which is the order that the engine has just sorted them into (as long as
#: ``is_streamed``); and of rows in an order that is asked for, whatever the engine does.
_AS_THEY_COME, _IN_ORDER = (
    f"OVER ({order}ROWS UNBOUNDED PRECEDING)" for order in ("", "ORDER BY kid, moment ")
)


class Strays(NamedTuple):
    """What is there beside events that are visible at once: how many (a share) come late; and
    whether some are not inside every window from ``v`` until ``e + w``.
    """

    late: float
    others: bool


class _Pass(NamedTuple):
    """Events that are sorted and added up together, and at which places that is read.

    ``since``, ``until``: the instants between which an event counts; None: for ever. ``edges``: how
    long before the instant that is asked about, by the number of the place. Of what counts for a
    while little does at most instants: those are not read, and the place is zero without them.
    """

    where: str
    since: str
    until: str | None
    edges: dict[int, int]


def parted(aggregates: Aggregates, fits: Callable[[int], bool]) -> tuple[Aggregates, Aggregates]:
    """Return the calls that are totals, and the others; ``fits``: whether an argument's total does.

    That is the total over all keys.
    """
    totals = {
        call.number
        for call in aggregates.calls
        if call.function.state.amounts(call) is not None and fits(call.source)
    }
    return aggregates.of(totals), aggregates.of({c.number for c in aggregates.calls} - totals)


def strays_sql(aggregates: Aggregates, end_of_time: int) -> str:
    """Return a query of ``Strays`` over ``raw``."""
    shortest = aggregates.windows[0] // MICROSECOND
    return (
        "SELECT coalesce(avg(CAST(v > e AS INTEGER)), 0), "
        f"coalesce(bool_or(v > e + {shortest} OR until < {end_of_time}), FALSE) FROM raw"
    )


def is_streamed(plan: str) -> bool:
    """Return whether a plan (as JSON) adds up rows one after the other as an order gives them.

    SQL promises that of no window without an order of its own.
    """
    found = [step for top in json.loads(plan) for step in _steps(top) if _adds_up(step)]
    return bool(found) and all(_comes_in_order(step) for step in found)


def _steps(step: _Step) -> Iterator[_Step]:
    yield step
    for below in step["children"]:
        yield from _steps(below)


def _adds_up(step: _Step) -> bool:
    return "WINDOW" in step["name"]


def _comes_in_order(step: _Step) -> bool:
    below = step
    while len(below["children"]) == 1 and below["name"] in ("STREAMING_WINDOW", "PROJECTION"):
        (below,) = below["children"]
    return bool(step["name"] == "STREAMING_WINDOW" and below["name"] == "ORDER_BY")


def running_sql(
    aggregates: Aggregates,
    *,
    strays: Strays,
    latest: int,
    rows: int,
    streams: int = 1,
    in_order: bool = False,
) -> str:
    """Return the instants asked about (kid, i) with every total as of them.

    ``latest`` is the last of them, ``rows`` how many events there are at most. ``streams``: what is
    added up one after the other keeps one thread busy, so the keys are parted among so many; a
    power of two. ``in_order``: by an order of the sums' own, which takes longer, where the plan
    without is not ``is_streamed``.
    """
    totals, prepared = _amounts(aggregates)
    numbers = packed(dict.fromkeys(amount for amount, _ in totals.values()), rows)
    named = "".join(f", {number.added} AS m{n}" for n, number in enumerate(numbers))
    columns = [f"m{n}" for n, _ in enumerate(numbers)]
    windows = sorted({call.window for call in aggregates.calls})
    us = [aggregates.windows[window] // MICROSECOND for window in windows]
    # Nothing that is carried beside what is sorted by makes for the narrowest rows.
    edge = "m0" if numbers[0].is_whole else "edge"
    so_far = _IN_ORDER if in_order else _AS_THEY_COME
    passes = list(_passes(us, strays, latest))
    is_ever = f"v < least(e + {us[-1]}, until)" if strays.others else "TRUE"
    edges = []
    for stream, each in product(range(streams), passes):
        of_stream = f"kid & {streams - 1} = {stream}" if streams > 1 else "TRUE"
        events = (
            f"SELECT kid, e, v, until{named} FROM ({prepared}) "
            f"WHERE {of_stream} AND {is_ever} AND {each.where}"
        )
        asked = f"SELECT * FROM asked WHERE {of_stream}"
        moves = _moves_sql(each, events, asked, columns, edge)
        sql = _edges_sql(moves, columns, edge, so_far)
        if each.until is not None:
            sql += f" AND ({' OR '.join(f'x_{name} <> 0' for name in columns)})"
        edges.append(sql)
    at = [place for each in passes for place in each.edges]
    read = _read_sql(" UNION ALL ".join(edges), columns, at)
    places = {window: _places(place, us, strays) for place, window in enumerate(windows, 1)}
    return _parted_sql(read, numbers, totals, places)


def _amounts(aggregates: Aggregates) -> tuple[dict[str, tuple[Amount, int]], str]:
    """Return what is to be added up in which window, and the events with what that is made of."""
    totals: dict[str, tuple[Amount, int]] = {}
    prepared: dict[str, str] = {}
    for call in aggregates.calls:
        state = call.function.state
        prepared |= state.prepared(call)
        for name, amount in (state.amounts(call) or {}).items():
            totals[name] = (amount, call.window)
    more = "".join(f", {sql} AS {name}" for name, sql in prepared.items())
    return totals, f"SELECT *{more} FROM raw"


def _passes(us: list[int], strays: Strays, latest: int) -> Iterator[_Pass]:
    """Yield what is to be read: at place 0, at those of windows (from 1 on) and what corrects them.

    What corrects the window of place ``p`` is at ``p + len(us)``, what is late at the last.
    """
    windows = dict(enumerate(us, 1))
    if strays.late > _FEW_LATE:
        yield _Pass("TRUE", "v", None, {0: 0})
        yield _Pass("TRUE", "e", None, windows)
    else:
        yield _Pass("TRUE", "e", None, {0: 0, **windows})
        if strays.late:  # what was, and was not seen yet
            yield _Pass("v > e", "e", "v", {2 * len(us) + 1: 0})
    for place, length in windows.items() if strays.others else ():
        leaves, meant = f"greatest(v, least(e + {length}, until))", f"e + {length}"
        # Of each key both are there, so that none of it is left for the next.
        since, until = (f"least({instant}, {latest + 1})" for instant in (meant, leaves))
        yield _Pass(f"{leaves} <> {meant}", since, until, {len(us) + place: 0})


def _places(place: int, us: list[int], strays: Strays) -> list[tuple[str, int]]:
    """Return of which places the total of a window is made, with their signs."""
    places = [("", 0), ("- ", place)]
    if 0 < strays.late <= _FEW_LATE:
        places.append(("- ", 2 * len(us) + 1))
    return [*places, ("+ ", len(us) + place)] if strays.others else places


def _moves_sql(each: _Pass, events: str, asked: str, columns: list[str], edge: str) -> str:
    """Return events and edges; ``moment`` is an instant with its code.

    The column ``edge`` has an edge's ``i`` and its place.
    """
    kid, instant, sums = "CAST(kid AS UINTEGER) AS kid", each.since, columns
    if each.until is not None:
        events = f"SELECT * FROM ({events}), (VALUES (FALSE), (TRUE)) AS sides(is_over)"
        instant = f"CASE WHEN is_over THEN {each.until} ELSE {each.since} END"
        sums = [f"CASE WHEN is_over THEN -{name} ELSE {name} END AS {name}" for name in columns]
    number = f"i << {_PLACES} | place"
    if edge == "edge":
        sums, asks = ["NULL::BIGINT AS edge", *sums], [number, *("NULL" for _ in columns)]
    else:
        asks = [f"CAST({number} AS HUGEINT)", *("NULL" for _ in columns[1:])]
    edges = ", ".join(f"({place}, {length})" for place, length in each.edges.items())
    return (
        f"SELECT {kid}, ({instant}) * {_CODES} + {_COUNTS} AS moment, {', '.join(sums)} "
        f"FROM ({events}) UNION ALL "
        f"SELECT {kid}, (t - us) * {_CODES} + {_IS_ASKED}, {', '.join(asks)} "
        f"FROM ({asked}), (VALUES {edges}) AS windows(place, us)"
    )


def _edges_sql(moves: str, columns: list[str], edge: str, so_far: str) -> str:
    """Return each edge (kid, i, place) with what has been added up there."""
    running = "".join(
        f", sum(CASE WHEN code = {_COUNTS} THEN {name} END) {so_far} AS x_{name}"
        for name in columns
    )
    # What follows from the moment is not carried through the sort.
    code = f"moment & {_CODES - 1} AS code"
    coded = f"SELECT *, {code} FROM (SELECT * FROM ({moves}) ORDER BY kid, moment, {edge})"
    number = f"TRY_CAST({edge} AS BIGINT)"
    place = f"{number} & {(1 << _PLACES) - 1} AS place"
    read = "".join(f", x_{name}" for name in columns)
    return (
        f"SELECT kid, {number} >> {_PLACES} AS i, {place}{read} "
        f"FROM (SELECT kid, {edge}, code{running} FROM ({coded})) WHERE code = {_IS_ASKED}"
    )


def _read_sql(edges: str, columns: list[str], places: Iterable[int]) -> str:
    """Return the instants (kid, i) with what has been added up at each place: ``x…_m``."""
    read = "".join(
        f", coalesce(max(x_{name}) FILTER (WHERE place = {place}), 0) AS x{place}_{name}"
        for name, place in product(columns, places)
    )
    return f"SELECT kid, i{read} FROM ({edges}) GROUP BY kid, i"


def _parted_sql(
    read: str,
    numbers: list[Packed],
    totals: dict[str, tuple[Amount, int]],
    places: dict[int, list[tuple[str, int]]],
) -> str:
    """Return each total, parted from those that were added up beside it."""
    raised = ""
    parted: dict[tuple[Amount, int], str] = {}
    for n, number in enumerate(numbers):
        of = {field.amount for field in number.fields}
        for window in {window for amount, window in totals.values() if amount in of}:
            total = "".join(f" {sign}x{place}_m{n}" for sign, place in places[window])
            name = f"r{window}_m{n}"
            raised += f", {number.raised(total)} AS {name}"
            parted |= {(amount, window): sql for amount, sql in number.parted(name)}
    values = "".join(f", {parted[each]} AS {name}" for name, each in totals.items())
    return (
        f"SELECT CAST(kid AS BIGINT) AS kid, i{values} FROM (SELECT kid, i{raised} FROM ({read}))"
    )
