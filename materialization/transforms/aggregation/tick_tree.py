# ruff: noqa: S608 - numbers and names of our own are written into the SQL
"""What running totals cannot keep: extremes and deviations of the rows inside a window. [pure]

Not for sums, counts and the newest value (``stages``).

Extremes come from a segment tree over the ticks: a row is put on the few nodes that tile its stay,
a candidate looks at the nodes above it: rows × log(ticks), late and skewed rows included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.sql_text import numbered
from materialization.transforms.aggregation.aggregates import (
    EXTREMES,
    Aggregates,
    Output,
    part_name,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.transforms.aggregation.tick_grid import TickGrid


def nodes_sql(aggregates: Aggregates, grid: TickGrid) -> str:
    """Return the segment tree: per node the extremes of the stays that it helps to tile.

    At each level the stay is ``[low, high)`` in nodes of 2^level ticks; an odd end stands out of
    the parent and is taken at this level.
    """
    outputs = aggregates.with_function(*EXTREMES)
    parts = {part_name(output): _extreme(output) for output in outputs}
    columns = "".join(f", {sql} AS {name}" for name, sql in parts.items())
    arguments = numbered("a", aggregates.arguments)
    levels = (
        f"SELECT kid, w, e, c{arguments}, level, leave >> level AS high, "
        f"(enter + (1::BIGINT << level) - 1) >> level AS low FROM spans, {_levels(grid)}"
    )
    ends = (
        f"SELECT *, unnest([CASE WHEN low % 2 = 1 THEN low END, "
        f"CASE WHEN high % 2 = 1 THEN high - 1 END]) AS node FROM ({levels}) WHERE low < high"
    )
    return (
        f"SELECT kid, w, level, node{columns} FROM ({ends}) "
        "WHERE node IS NOT NULL GROUP BY kid, w, level, node"
    )


def _levels(grid: TickGrid) -> str:
    return f"range({grid.count.bit_length() + 1}) AS levels(level)"


def _extreme(output: Output) -> str:
    """Return the aggregate of one node; ties of ``first`` fall to the value, as ``last``'s do."""
    argument = f"a{output.argument}"
    inside = f"FILTER (WHERE w = {output.window} AND {argument} IS NOT NULL)"
    if output.function in ("min", "max"):
        return f"{output.function}({argument}) {inside}"
    return f"min({{'e': e, 'c': c, 'x': {argument}}}) {inside}"


def extremes_sql(aggregates: Aggregates, grid: TickGrid) -> str:
    """Return, for each candidate, the extremes over the nodes above it."""
    columns = {}
    for output in aggregates.with_function(*EXTREMES):
        name = part_name(output)
        value = f"{'max' if output.function == 'max' else 'min'}(nodes.{name})"
        columns[name] = f"{value}.x" if output.function == "first" else value
    chosen = "".join(f", {sql} AS {name}" for name, sql in columns.items())
    climbs = f"SELECT kid, i, level, i >> level AS node FROM running, {_levels(grid)}"
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
