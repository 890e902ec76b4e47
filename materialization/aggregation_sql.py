# ruff: noqa: S608 - names go through identifier(), the rest are numbers and names of our own
"""Rolling-window aggregations at ticks, stored sparsely: the SQL of each stage. [pure]

Not for running the stages (``aggregation_run``), nor for what each function adds (``aggregates``).

A row is inside a window from the first tick that sees it until the first tick at or after event +
window. Values change at those ticks only, the *candidates*, so nothing is computed in between.
Sums and counts are running totals over what enters and leaves; extremes (min, max, first, last)
come from a segment tree over the ticks: a row is put on the few nodes that tile its stay, a
candidate looks at the nodes above it. Both cost rows × log(ticks), late and skewed rows included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.aggregates import (
    EXTREMES,
    Aggregates,
    Found,
    Output,
    amounts,
    distinct_name,
    part_name,
    value_sql,
)
from materialization.casts import cast
from materialization.columns import CREATED, EVENT, RUN
from materialization.sql_text import identifier, text_list
from materialization.ticks import MICROSECOND

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from materialization.sql import Base
    from materialization.tick_grid import TickGrid
    from registry.spec import VersionSpec


def _keys(spec: VersionSpec, prefix: str = "") -> str:
    return ", ".join(f"{prefix}k{i}" for i, _ in enumerate(spec.join_keys))


def _names(letter: str, things: Sequence[object], prefix: str = "") -> str:
    return "".join(f", {prefix}{letter}{i}" for i, _ in enumerate(things))


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
    """Return the latest stored row of each key at or before the run's start: the state it continues."""
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
        f"SELECT {keys}, epoch_us({EVENT}) AS s{features} FROM read_parquet({text_list(files)}) "
        f"WHERE epoch_us({EVENT}) <= {before_us} QUALIFY row_number() OVER "
        f"(PARTITION BY {by} ORDER BY {EVENT} DESC, {CREATED} DESC, {RUN} DESC) = 1"
    )


def keys_sql(spec: VersionSpec) -> str:
    """Return every key of the run under a number, so that later stages join on one integer."""
    keys = _keys(spec)
    known = " AND ".join(f"k{i} IS NOT NULL" for i, _ in enumerate(spec.join_keys))
    rows = f"SELECT {keys} FROM raw WHERE e IS NOT NULL AND {known}"
    return (
        f"SELECT row_number() OVER () AS kid, {keys} FROM ({rows} UNION SELECT {keys} FROM state)"
    )


def spans_sql(spec: VersionSpec, aggregates: Aggregates, grid: TickGrid) -> str:
    """Return a row's stay in each window: ticks ``[enter, leave)``; ``leave`` = count: beyond the run."""
    windows = ", ".join(f"({i}, {w // MICROSECOND})" for i, w in enumerate(aggregates.windows))
    arguments = _names("a", aggregates.arguments)
    enter, enter_join = grid.ordinal("q.v", "entering")
    leave, leave_join = grid.ordinal("q.gone", "leaving")
    return (
        f"SELECT * FROM (SELECT kid, w, e, c{arguments}, {enter} AS enter, {leave} AS leave FROM "
        f"(SELECT *, e + us AS gone FROM raw JOIN keys USING ({_keys(spec)}) "
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
            f"OVER (PARTITION BY kid, x ORDER BY enter, leave ROWS UNBOUNDED PRECEDING) AS island FROM "
            f"({starts} WHERE w = {output.window} AND {value} IS NOT NULL)"
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
    arguments = _names("a", aggregates.arguments)
    nothing = "".join(", NULL" for _ in aggregates.arguments)
    sides = " UNION ALL ".join(
        [
            f"SELECT kid, enter AS i, 1 AS sign, w{arguments} FROM spans",
            f"SELECT kid, leave, -1, w{arguments} FROM spans WHERE leave < {grid.count}",
            f"SELECT kid, enter, 1, w{nothing} FROM islands",
            f"SELECT kid, leave, -1, w{nothing} FROM islands WHERE leave < {grid.count}",
            f"SELECT kid, 0, 0, -1{nothing} FROM state JOIN keys USING ({_keys(spec)})",
        ]
    )
    moves = "".join(
        f", coalesce(sum(CASE WHEN sign < 0 THEN -({amount}) ELSE {amount} END) "
        f"FILTER (WHERE w = {lane}), 0) AS {name}"
        for name, (lane, amount) in counted.items()
    )
    totals = "".join(f", sum({name}) OVER k AS {name}" for name in counted)
    return (
        f"SELECT kid, i{totals} FROM (SELECT kid, i{moves} FROM ({sides}) GROUP BY kid, i) "
        "WINDOW k AS (PARTITION BY kid ORDER BY i ROWS UNBOUNDED PRECEDING)"
    )


def nodes_sql(aggregates: Aggregates, grid: TickGrid) -> str:
    """Return the segment tree: per node the extremes of the stays that it helps to tile.

    At each level the stay is ``[low, high)`` in nodes of 2^level ticks; an odd end stands out of
    the parent and is taken at this level.
    """
    outputs = aggregates.with_function(*EXTREMES)
    parts = {part_name(output): _extreme(output) for output in outputs}
    columns = "".join(f", {sql} AS {name}" for name, sql in parts.items())
    arguments = _names("a", aggregates.arguments)
    levels = (
        f"SELECT kid, w, e, c{arguments}, level, (enter + (1::BIGINT << level) - 1) >> level AS low, "
        f"leave >> level AS high FROM spans, range({grid.count.bit_length() + 1}) AS levels(level)"
    )
    ends = (
        f"SELECT *, unnest([CASE WHEN low % 2 = 1 THEN low END, "
        f"CASE WHEN high % 2 = 1 THEN high - 1 END]) AS node FROM ({levels}) WHERE low < high"
    )
    return f"SELECT kid, w, level, node{columns} FROM ({ends}) WHERE node IS NOT NULL GROUP BY kid, w, level, node"


def _extreme(output: Output) -> str:
    """Return the aggregate of one node; ties of first and last fall to the value, never to chance."""
    argument = f"a{output.argument}"
    inside = f"FILTER (WHERE w = {output.window} AND {argument} IS NOT NULL)"
    if output.function in ("min", "max"):
        return f"{output.function}({argument}) {inside}"
    lowest = "min" if output.function == "first" else "max"
    return f"{lowest}({{'e': e, 'c': c, 'x': {argument}}}) {inside}"


def extremes_sql(aggregates: Aggregates, grid: TickGrid) -> str:
    """Return, for each candidate, the extremes over the nodes above it."""
    columns = {}
    for output in aggregates.with_function(*EXTREMES):
        name = part_name(output)
        merge = "min" if output.function in ("min", "first") else "max"
        value = f"{merge}(nodes.{name})"
        columns[name] = f"{value}.x" if output.function in ("first", "last") else value
    chosen = "".join(f", {sql} AS {name}" for name, sql in columns.items())
    climbs = f"SELECT kid, i, level, i >> level AS node FROM running, range({grid.count.bit_length() + 1}) AS levels(level)"
    return (
        f"SELECT kid, i{chosen} FROM ({climbs}) JOIN nodes USING (kid, level, node) GROUP BY kid, i"
    )


def spread_sql(outputs: Sequence[Output]) -> str:
    """Return, for each candidate, the standard deviations over the rows inside.

    A deviation cannot be kept as a running total without losing digits, so the rows are looked at
    again, in one order: the same rows give the same digits in every run.
    """
    columns = {}
    for output in outputs:
        value = f"CAST(a{output.argument} AS DOUBLE)"
        columns[part_name(output)] = (
            f"stddev_samp({value} ORDER BY e, c, {value}) "
            f"FILTER (WHERE w = {output.window} AND a{output.argument} IS NOT NULL)"
        )
    chosen = "".join(f", {sql} AS {name}" for name, sql in columns.items())
    windows = ", ".join(sorted({str(output.window) for output in outputs}))
    return (
        f"SELECT running.kid, running.i{chosen} FROM running JOIN spans ON spans.kid = running.kid "
        f"AND spans.enter <= running.i AND running.i < spans.leave WHERE spans.w IN ({windows}) "
        "GROUP BY running.kid, running.i"
    )


def values_sql(aggregates: Aggregates, facts: Mapping[int, Found], parts: Sequence[str]) -> str:
    """Return the features at each candidate, cast to their declared types; ``parts`` are joined in."""
    values = "".join(
        f", {value_sql(output, facts)} AS x{n}" for n, output in enumerate(aggregates.outputs)
    )
    joins = " ".join(f"LEFT JOIN {part} USING (kid, i)" for part in parts)
    typed = "".join(
        f", {_typed(output, aggregates, n)} AS f{n}" for n, output in enumerate(aggregates.outputs)
    )
    return f"SELECT kid, i{typed} FROM (SELECT kid, i{values} FROM running {joins})"


def _typed(output: Output, aggregates: Aggregates, number: int) -> str:
    if output.function in EXTREMES:
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


def kept_sql(spec: VersionSpec, grid: TickGrid) -> str:
    """Return the candidates whose values differ from the tick before, and each key's state (i = -1).

    ``following`` is the next such tick of the key, or the count of ticks.
    """
    features = _names("f", spec.features)
    differs = " OR ".join(
        f"f{n} IS DISTINCT FROM lag(f{n}) OVER k" for n, _ in enumerate(spec.features)
    )
    known = (
        f"SELECT kid, i, NULL::BIGINT AS s{features} FROM computed UNION ALL "
        f"SELECT kid, -1, s{features} FROM state JOIN keys USING ({_keys(spec)})"
    )
    changed = (
        f"SELECT *, (i = -1 OR lag(i) OVER k IS NULL OR {differs}) AS differs FROM ({known}) "
        "WINDOW k AS (PARTITION BY kid ORDER BY i)"
    )
    following = f"coalesce(lead(i) OVER (PARTITION BY kid ORDER BY i), {grid.count})"
    return f"SELECT *, {following} AS following FROM ({changed}) WHERE differs"


def beats_sql(spec: VersionSpec, grid: TickGrid) -> str | None:
    """Return the ticks to store though nothing changed, because the TTL would lapse before the next.

    None without a TTL.
    """
    if spec.ttl is None:
        return None
    first, late_join = grid.first_hop("kept.s", spec.ttl)
    if grid.period is None:
        after_change, change_join = "coalesce(hops.j, 0)", "LEFT JOIN hops ON hops.i = kept.i"
        step, step_join = "hops.j", "JOIN hops ON hops.i = beats.i"
    else:
        after_change, change_join = grid.hop("kept.i", spec.ttl), ""
        step, step_join = grid.hop("beats.i", spec.ttl), ""
    begin = (
        f"SELECT kept.kid, kept.i AS origin, CASE WHEN kept.i < 0 THEN {first} ELSE {after_change} END AS i, "
        f"following FROM kept {late_join} {change_join}"
    )
    return (
        f"WITH RECURSIVE beats AS (SELECT * FROM ({begin}) WHERE i < following UNION ALL "
        f"SELECT * FROM (SELECT beats.kid, origin, {step} AS i, following FROM beats {step_join}) "
        "WHERE i < following) SELECT kid, origin, i FROM beats"
    )


def stored_sql(spec: VersionSpec, grid: TickGrid, *, with_beats: bool) -> str:
    """Return the rows of the run as they are stored: keys, the tick as both times, features."""
    features = _names("f", spec.features)
    rows = f"SELECT kid, i{features} FROM kept WHERE i >= 0"
    if with_beats:
        of_kept = _names("f", spec.features, "kept.")
        rows += (
            f" UNION ALL SELECT beats.kid, beats.i{of_kept} FROM beats JOIN kept "
            "ON kept.kid = beats.kid AND kept.i = beats.origin"
        )
    tick = f"make_timestamptz({grid.instant('stored.i')})"
    columns = [
        *(f"keys.k{i} AS {identifier(key.name)}" for i, key in enumerate(spec.join_keys)),
        f"{tick} AS {EVENT}, {tick} AS {CREATED}",
        *(f"stored.f{i} AS {identifier(feature.name)}" for i, feature in enumerate(spec.features)),
    ]
    ticks = "" if grid.period else "JOIN ticks ON ticks.i = stored.i"
    return f"SELECT {', '.join(columns)} FROM ({rows}) AS stored JOIN keys USING (kid) {ticks}"
