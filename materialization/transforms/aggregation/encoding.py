# ruff: noqa: S608 - names of our own; what encodings are made of goes through their kinds
"""Encodings of what a view aggregates, laid over its values at ticks and at instants. [pure]

Not for the steps (``transforms.encoding``), nor for which ticks are stored (``sparse_ticks``).

Windows are made of what the steps take, so what is stored may no longer say whether an entity has
emptied: zero purchases have a bucket, and a mean may stand where there is none. Where the TTL makes
that matter, ``is_empty`` goes beside the values; of a stored row it is asked of the source, as of
the last tick before the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.sql_text import numbered
from materialization.ticks import last_tick
from materialization.transforms.encoding.staging import encoded

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from materialization.transforms.aggregation.tick_grid import TickGrid
    from registry.spec.version_spec import VersionSpec

#: What says of each key with a stored row whether it was empty then.
EMPTIED = "emptied"


def marks_empty(spec: VersionSpec) -> bool:
    """Return whether values alone do not say that an entity has emptied, where that matters."""
    return spec.ttl is not None and spec.has_encodings


def tick_before(spec: VersionSpec, start: datetime | None) -> datetime | None:
    """Return the tick before a run, if its windows are looked at too."""
    schedule = spec.view.schedule
    if start is None or schedule is None or not marks_empty(spec):
        return None
    return last_tick(schedule, start)


def emptied_sql(values: str, is_empty: str) -> str:
    """Return ``kid, is_empty`` of aggregates (kid, i, f…) at one tick."""
    return f"SELECT kid, {is_empty} AS is_empty FROM ({values}) WHERE i = 0"


def at_ticks_sql(spec: VersionSpec, grid: TickGrid, is_empty: str) -> str:
    """Return ``computed`` as it is stored: kid, i, f… and, if it ``marks_empty``, that."""
    tick = f"make_timestamptz({grid.instant('computed.i')}) AS e"
    keys = numbered("k", spec.join_keys)
    more = ["kid", "i"]
    if marks_empty(spec):
        more.append("is_empty")
        is_empty = f", {is_empty} AS is_empty"
    else:
        is_empty = ""
    ticks = "" if grid.period else "JOIN ticks USING (i)"
    rows = (
        f"SELECT kid, i{keys}, {tick}{is_empty}{numbered('f', spec.features)}"
        f" FROM computed JOIN keys USING (kid) {ticks}"
    )
    return encoded(spec, rows, beside=more)


def at_instants_sql(spec: VersionSpec, features: Collection[str]) -> str:
    """Return ``computed`` with encodings at the instants asked about: kid, i, f…"""
    keys = numbered("k", spec.join_keys)
    values = "".join(f", f{n}" for n, each in enumerate(spec.features) if each.name in features)
    rows = (
        f"SELECT kid, i{keys}, make_timestamptz(t) AS e{values}"
        " FROM computed JOIN all_keys USING (kid) JOIN asked USING (kid, i)"
    )
    return encoded(spec, rows, beside=["kid", "i"], features=features)
