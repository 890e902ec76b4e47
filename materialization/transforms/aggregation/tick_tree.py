# ruff: noqa: S608 - only numbers and our own names are written into the SQL
"""The segment tree over the ticks: which rows are inside a window at a tick, found by equality.

Not for what is made of the rows (``states``). [pure]

A row is put on the few nodes that tile its stay; a candidate meets every row inside exactly once
on the nodes above it, and none of those outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.transforms.aggregation.function import Call
    from materialization.transforms.aggregation.tick_grid import TickGrid


def tiles_sql(calls: Sequence[Call], grid: TickGrid) -> str:
    """Return the rows of the calls' windows, once for each node (level, node) of their stay.

    At each level the stay is ``[low, high)`` in nodes of 2^level ticks; an odd end stands out of
    the parent and is taken at this level.
    """
    values = "".join(f", {name}" for name in sorted({call.value for call in calls}))
    windows = ", ".join(sorted({str(call.window) for call in calls}))
    levels = (
        f"SELECT kid, w, e, c{values}, level, leave >> level AS high, "
        "(enter + (1::BIGINT << level) - 1) >> level AS low "
        f"FROM spans, {_levels(grid)} WHERE w IN ({windows})"
    )
    ends = (
        "SELECT *, unnest([CASE WHEN low % 2 = 1 THEN low END, "
        f"CASE WHEN high % 2 = 1 THEN high - 1 END]) AS node FROM ({levels}) WHERE low < high"
    )
    return f"SELECT kid, w, e, c{values}, level, node FROM ({ends}) WHERE node IS NOT NULL"


def climbs_sql(grid: TickGrid) -> str:
    """Return the nodes above each candidate: (kid, i, level, node)."""
    return f"SELECT kid, i, level, i >> level AS node FROM running, {_levels(grid)}"


def _levels(grid: TickGrid) -> str:
    return f"range({grid.count.bit_length() + 1}) AS levels(level)"
