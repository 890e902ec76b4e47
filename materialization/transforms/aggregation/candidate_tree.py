# ruff: noqa: S608 - only numbers and our own names are written into the SQL
"""The segment tree over a key's candidates: which rows are inside a window, found by equality.

Not for what is made of the rows (``states``). [pure]

The leaves are the candidates of a key by rank, so the tree is as small as what happens, however
many ticks lie between. A row is put on the few nodes that tile its stay; a candidate meets every
row inside exactly once on the nodes above it, and none of those outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.transforms.aggregation.function import Ask, Call


def tiles_sql(calls: Sequence[Call], ask: Ask) -> str:
    """Return the rows of the calls' windows, once for each node (level, node) of their stay."""
    windows = ", ".join(sorted({str(call.window) for call in calls}))
    return tiles_of(f"SELECT * FROM spans WHERE w IN ({windows})", ask)


def tiles_of(stays: str, ask: Ask) -> str:
    """Return what stays from candidate ``enter`` until ``leave``, once for each node of its stay.

    At each level the stay is ``[low, high)`` in nodes of 2^level candidates; an odd end stands out
    of the parent and is taken at this level.
    """
    root = (ask("SELECT max(r) FROM running") or 0).bit_length()
    ranked = (
        f"SELECT stays.*, entered.r AS first, coalesce(gone.r, {1 << root}) AS beyond "
        f"FROM ({stays}) AS stays "
        "JOIN running AS entered ON entered.kid = stays.kid AND entered.i = enter "
        "LEFT JOIN running AS gone ON gone.kid = stays.kid AND gone.i = leave"
    )
    levels = (
        "SELECT *, beyond >> level AS high, (first + (1::BIGINT << level) - 1) >> level AS low "
        f"FROM ({ranked}), range({root + 1}) AS levels(level)"
    )
    ends = (
        "SELECT *, unnest([CASE WHEN low % 2 = 1 THEN low END, "
        f"CASE WHEN high % 2 = 1 THEN high - 1 END]) AS node FROM ({levels}) WHERE low < high"
    )
    return f"SELECT * FROM ({ends}) WHERE node IS NOT NULL"


def levels_of(table: str, ask: Ask) -> range:
    """Return the levels that the nodes of ``table`` are on."""
    return range((ask(f"SELECT max(level) FROM {table}") or 0) + 1)


def node_above(level: int | str) -> str:
    """Return SQL for the node above a candidate at a level."""
    return f"r >> {level}"
