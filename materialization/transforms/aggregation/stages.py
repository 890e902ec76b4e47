# ruff: noqa: S608 - names go through identifier(), the rest are numbers and names of our own
"""Rolling-window aggregations at ticks: the SQL from the source's rows to the features. [pure]

Not for running the stages (``run``), for what each function adds (``aggregates``), nor
for which ticks are stored (``sparse_ticks``).

A row is inside a window from the first tick that sees it until the first tick at or after event +
window. Values change at those ticks only, the *candidates*, so nothing is computed in between.
Sums and counts are running totals over what enters and leaves; ``tick_tree`` finds extremes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.instants import MICROSECOND
from lib.sql_text import identifier, key_list, numbered, text_list
from materialization.stores.columns import CREATED, EVENT, SEQUENCE
from materialization.transforms.aggregation.aggregates import (
    CHOICES,
    Aggregates,
    Found,
    Output,
    amounts,
    distinct_name,
    part_name,
    value_sql,
)
from materialization.transforms.casts import cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from materialization.transforms.aggregation.tick_grid import TickGrid
    from materialization.transforms.base import Base
    from registry.spec.model import VersionSpec


def raw_sql(
    base: Base, aggregates: Aggregates, *, relation: str, last: int, first: int | None
) -> str:
    """Return the source's rows that a tick of the run can see; times in µs, visible from ``v``.

    ``first`` and ``last`` are the run's ticks in µs; without ``first`` all earlier rows count.
    """
    inner = ", ".join(
        [
            *(f"{key.strict} AS k{i}" for i, key in enumerate(base.keys)),
            f"epoch_us({base.event.strict}) AS e",
            f"epoch_us({base.created_sql}) AS c",
            *(f"{argument.sql} AS a{i}" for i, argument in enumerate(aggregates.arguments)),
        ]
    )
    longest = aggregates.windows[-1] // MICROSECOND
    wanted = f"greatest(e, c) <= {last}" + (
        f" AND e > {first - longest}" if first is not None else ""
    )
    return (
        f"SELECT *, greatest(e, c) AS v FROM (SELECT {inner} FROM {relation}) "
        f"WHERE e IS NULL OR ({wanted})"
    )


def state_sql(spec: VersionSpec, files: Sequence[str], before_us: int) -> str:
    """Return each key's latest stored row at or before the run's start: what it continues."""
    keys = ", ".join(f"{identifier(key.name)} AS k{i}" for i, key in enumerate(spec.join_keys))
    if not files:
        empty = [
            *(f"NULL::{key.value_type.duckdb} AS k{i}" for i, key in enumerate(spec.join_keys)),
            "NULL::BIGINT AS s",
            *(
                f"NULL::{feature.value_type.duckdb} AS f{i}"
                for i, feature in enumerate(spec.features)
            ),
        ]
        return f"SELECT {', '.join(empty)} WHERE FALSE"
    features = "".join(
        f", {identifier(feature.name)} AS f{i}" for i, feature in enumerate(spec.features)
    )
    by = ", ".join(identifier(key.name) for key in spec.join_keys)
    return (
        f"SELECT {keys}, epoch_us({EVENT}) AS s{features} "
        f"FROM read_parquet({text_list(files)}, hive_partitioning = false) "
        f"WHERE epoch_us({EVENT}) <= {before_us} QUALIFY row_number() OVER "
        f"(PARTITION BY {by} ORDER BY {EVENT} DESC, {CREATED} DESC, {SEQUENCE} DESC) = 1"
    )


def keys_sql(spec: VersionSpec) -> str:
    """Return every key of the run under a number, so that later stages join on one integer."""
    keys = key_list(spec.join_keys)
    known = " AND ".join(f"k{i} IS NOT NULL" for i, _ in enumerate(spec.join_keys))
    rows = f"SELECT {keys} FROM raw WHERE e IS NOT NULL AND {known}"
    return (
        f"SELECT row_number() OVER () AS kid, {keys} FROM ({rows} UNION SELECT {keys} FROM state)"
    )


def spans_sql(spec: VersionSpec, aggregates: Aggregates, grid: TickGrid) -> str:
    """Return a row's stay in each window: ticks ``[enter, leave)``; at the count: beyond it."""
    windows = ", ".join(f"({i}, {w // MICROSECOND})" for i, w in enumerate(aggregates.windows))
    arguments = numbered("a", aggregates.arguments)
    enter, enter_join = grid.ordinal("q.v", "entering")
    leave, leave_join = grid.ordinal("q.gone", "leaving")
    return (
        f"SELECT * FROM (SELECT kid, w, e, c{arguments}, {enter} AS enter, {leave} AS leave FROM "
        f"(SELECT *, e + us AS gone FROM raw JOIN keys USING ({key_list(spec.join_keys)}) "
        f"CROSS JOIN (VALUES {windows}) AS windows(w, us) WHERE e IS NOT NULL) AS q "
        f"{enter_join} {leave_join}) WHERE enter < leave"
    )


def islands_sql(outputs: Sequence[Output], windows: int) -> str:
    """Return when each distinct value is inside: overlapping stays of one value become one.

    ``lane`` numbers go on where the windows' end, one an output.
    """
    lanes = []
    for lane, output in enumerate(outputs, start=windows):
        value = f"a{output.argument}"
        before = (
            f"max(leave) OVER (PARTITION BY kid, {value} ORDER BY enter, leave "
            "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
        )
        starts = f"SELECT kid, {value} AS x, enter, leave, {before} AS before FROM spans"
        numbered = (
            "SELECT *, sum(CAST(before IS NULL OR enter > before AS INTEGER)) "
            "OVER (PARTITION BY kid, x ORDER BY enter, leave ROWS UNBOUNDED PRECEDING) AS island "
            f"FROM ({starts} WHERE w = {output.window} AND {value} IS NOT NULL)"
        )
        lanes.append(
            f"SELECT kid, {lane} AS w, min(enter) AS enter, max(leave) AS leave "
            f"FROM ({numbered}) GROUP BY kid, x, island"
        )
    return (
        " UNION ALL ".join(lanes) or "SELECT 0 AS kid, 0 AS w, 0 AS enter, 0 AS leave WHERE FALSE"
    )


def running_sql(
    spec: VersionSpec, aggregates: Aggregates, facts: Mapping[int, Found], grid: TickGrid
) -> str:
    """Return the candidates (kid, i) with every running total as of that tick.

    A key with a stored state is a candidate at the first tick: what changed unseen in the source
    (rows replaced, or late without a created time) enters there.
    """
    counted = amounts(aggregates, facts)
    for lane, output in enumerate(
        aggregates.with_function("count_distinct"), start=len(aggregates.windows)
    ):
        counted[distinct_name(output)] = (lane, "1")
    arguments = numbered("a", aggregates.arguments)
    nothing = "".join(", NULL" for _ in aggregates.arguments)
    within = f"leave < {grid.count}"
    keys = key_list(spec.join_keys)
    sides = " UNION ALL ".join(
        [
            f"SELECT kid, enter AS i, 1 AS sign, w, e, c, leave{arguments} FROM spans",
            f"SELECT kid, leave, -1, w, e, c, leave{arguments} FROM spans WHERE {within}",
            f"SELECT kid, enter, 1, w, NULL, NULL, NULL{nothing} FROM islands",
            f"SELECT kid, leave, -1, w, NULL, NULL, NULL{nothing} FROM islands WHERE {within}",
            f"SELECT kid, 0, 0, -1, NULL, NULL, NULL{nothing} FROM state JOIN keys USING ({keys})",
        ]
    )
    newest = {part_name(output): _newest(output) for output in aggregates.with_function("last")}
    moves = "".join(
        f", coalesce(sum(CASE WHEN sign < 0 THEN -({amount}) ELSE {amount} END) "
        f"FILTER (WHERE w = {lane}), 0) AS {name}"
        for name, (lane, amount) in counted.items()
    ) + "".join(f", {sql} AS {name}" for name, sql in newest.items())
    totals = "".join(f", sum({name}) OVER k AS {name}" for name in counted)
    totals += "".join(f", max({name}) OVER k AS {name}" for name in newest)
    return (
        f"SELECT kid, i{totals} FROM (SELECT kid, i{moves} FROM ({sides}) GROUP BY kid, i) "
        "WINDOW k AS (PARTITION BY kid ORDER BY i ROWS UNBOUNDED PRECEDING)"
    )


def _newest(output: Output) -> str:
    """Return the newest row that enters; ties fall to the value, never to chance."""
    argument = f"a{output.argument}"
    inside = f"FILTER (WHERE sign = 1 AND w = {output.window} AND {argument} IS NOT NULL)"
    return f"max({{'e': e, 'c': c, 'x': {argument}, 'leave': leave}}) {inside}"


def values_sql(aggregates: Aggregates, facts: Mapping[int, Found], parts: Sequence[str]) -> str:
    """Return the features at each candidate, in their declared types; ``parts`` are joined in."""
    values = "".join(
        f", {value_sql(output, facts)} AS x{n}" for n, output in enumerate(aggregates.outputs)
    )
    joins = " ".join(f"LEFT JOIN {part} USING (kid, i)" for part in parts)
    typed = "".join(
        f", {_typed(output, aggregates, n)} AS f{n}" for n, output in enumerate(aggregates.outputs)
    )
    return f"SELECT kid, i{typed} FROM (SELECT kid, i{values} FROM running {joins})"


def _typed(output: Output, aggregates: Aggregates, number: int) -> str:
    if output.function in CHOICES:
        return f"x{number}"
    argument = aggregates.arguments[output.argument]
    if output.function in ("mean", "stddev") or (
        output.function == "sum" and argument.adds == "float"
    ):
        have = "DOUBLE"
    else:
        have = argument.exact_type if output.function == "sum" else "HUGEINT"
    feature = output.feature
    return cast(
        f"x{number}", have=have, want=feature.value_type, column=feature.source_column
    ).strict
