# ruff: noqa: S608 - names go through identifier(), the rest are numbers and names of our own
"""Which ticks of an aggregation are stored: changes, and those the TTL asks for. [pure]

Not for the values (``stages``). The stored ticks answer every question within the TTL as
a row at every tick would, up to the one at which a key has emptied: that one is the last, however
long nothing happens after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.sql_text import identifier, key_list, numbered
from materialization.stores.columns import CREATED, EVENT

if TYPE_CHECKING:
    from materialization.transforms.aggregation.tick_grid import TickGrid
    from registry.spec.version_spec import VersionSpec


def kept_sql(spec: VersionSpec, grid: TickGrid, *, is_empty: str | None) -> str:
    """Return the candidates whose values differ from the tick before, and keys' states (i = -1).

    ``following`` is the next such tick of the key, or the count of ticks; ``is_empty`` what is true
    of features without a value. None: values do not say, ``computed`` and ``emptied`` do.
    """
    features = numbered("f", spec.features)
    compared = [f"f{n}" for n, _ in enumerate(spec.features)]
    state = f"FROM state JOIN keys USING ({key_list(spec.join_keys)})"
    if is_empty is None:
        is_empty, compared = "was_empty", [*compared, "was_empty"]
        computed, stored = ", is_empty AS was_empty", ", emptied.is_empty"
        state += " LEFT JOIN emptied USING (kid)"
    else:
        computed = stored = ""
    differs = " OR ".join(f"{each} IS DISTINCT FROM lag({each}) OVER k" for each in compared)
    known = (
        f"SELECT kid, i, NULL::BIGINT AS s{features}{computed} FROM computed UNION ALL "
        f"SELECT kid, -1, s{features}{stored} {state}"
    )
    changed = (
        f"SELECT *, (i = -1 OR lag(i) OVER k IS NULL OR {differs}) AS differs FROM ({known}) "
        "WINDOW k AS (PARTITION BY kid ORDER BY i)"
    )
    following = f"coalesce(lead(i) OVER (PARTITION BY kid ORDER BY i), {grid.count})"
    return (
        f"SELECT *, {following} AS following, {is_empty} AS is_empty FROM ({changed}) WHERE differs"
    )


def beats_sql(spec: VersionSpec, grid: TickGrid) -> str | None:
    """Return the ticks to store though nothing changed: the TTL would lapse before the next.

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
        "SELECT kept.kid, kept.i AS origin, "
        f"CASE WHEN kept.i < 0 THEN {first} ELSE {after_change} END AS i, "
        f"following FROM kept {late_join} {change_join} WHERE NOT is_empty"
    )
    return (
        f"WITH RECURSIVE beats AS (SELECT * FROM ({begin}) WHERE i < following UNION ALL "
        f"SELECT * FROM (SELECT beats.kid, origin, {step} AS i, following FROM beats {step_join}) "
        "WHERE i < following) SELECT kid, origin, i FROM beats"
    )


def stored_sql(spec: VersionSpec, grid: TickGrid, *, with_beats: bool) -> str:
    """Return the rows of the run as they are stored: keys, the tick as both times, features."""
    features = numbered("f", spec.features)
    rows = f"SELECT kid, i{features} FROM kept WHERE i >= 0"
    if with_beats:
        of_kept = numbered("f", spec.features, "kept.")
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
