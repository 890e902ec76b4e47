# ruff: noqa: S608 - names go through identifier(), the rest are names of our own
"""Ticks that are computed again: which of the stored ones are other now. [pure]

Not for computing them (``run``). A tick is stored where a value differs from the tick before, so a
correction may need rows where the new history has none, and the other way round: at every tick that
either history has, what a reader finds there is compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.sql_text import identifier, instant, numbered
from materialization.compute.stored_rows_sql import stored_rows
from materialization.stores.columns import CREATED, EVENT, SEQUENCE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from registry.spec.model import VersionSpec


def fresh_sql(spec: VersionSpec, query: str) -> str:
    """Return ticks as they are computed now: ``k0…``, ``e``, ``f0…``."""
    return f"SELECT {_columns(spec)} FROM ({query})"


def stored_sql(
    spec: VersionSpec, files: Sequence[str], start: datetime | None, end: datetime
) -> str:
    """Return each stored tick of ``(start, end]`` as it is read now: ``k0…``, ``e``, ``f0…``."""
    keys = ", ".join(identifier(key.name) for key in spec.join_keys)
    since = f" AND {EVENT} > {instant(start)}" if start is not None else ""
    return (
        f"SELECT {_columns(spec)} FROM {stored_rows(files)}"
        f" WHERE {EVENT} <= {instant(end)}{since}"
        f" QUALIFY row_number() OVER (PARTITION BY {keys}, {EVENT}"
        f" ORDER BY {CREATED} DESC, {SEQUENCE} DESC) = 1"
    )


def compared_sql(spec: VersionSpec) -> str:
    """Return every tick of ``fresh`` and ``stored``, with what each says of it.

    ``f0…`` are the values as they are computed now, of which a tick has none before its entity's
    first (``is_gone``); ``is_new``: none is stored of this tick; ``is_equal``: it says the same.
    """
    keys = [f"k{i}" for i, _ in enumerate(spec.join_keys)]
    moment = ", ".join([*keys, "e"])
    same_key = " AND ".join(f"ticks.{key} = carried.{key}" for key in keys)
    features = numbered("f", spec.features)
    carried = (
        f"SELECT {moment}{features} FROM fresh UNION ALL"
        f" SELECT {', '.join(keys)}, make_timestamptz(s) AS e{features} FROM state"
    )
    of_ticks = ", ".join(f"ticks.{name}" for name in (*keys, "e"))
    of_carried = numbered("f", spec.features, "carried.")
    now = (
        f"SELECT {of_ticks}{of_carried}, carried.e IS NULL AS is_gone"
        f" FROM (SELECT {moment} FROM fresh UNION SELECT {moment} FROM stored) AS ticks"
        f" ASOF LEFT JOIN ({carried}) AS carried ON {same_key} AND ticks.e >= carried.e"
    )
    same_tick = " AND ".join(f"now.{name} = stored.{name}" for name in (*keys, "e"))
    equal = " AND ".join(
        f"now.f{i} IS NOT DISTINCT FROM stored.f{i}" for i, _ in enumerate(spec.features)
    )
    return (
        f"SELECT now.*, stored.e IS NULL AS is_new, stored.e IS NOT NULL AND {equal} AS is_equal"
        f" FROM ({now}) AS now LEFT JOIN stored ON {same_tick}"
    )


#: Of the ticks in ``compared``: new, corrected, equal, gone.
COUNTS = (
    "SELECT count(*) FILTER (NOT is_gone AND is_new), "
    "count(*) FILTER (NOT is_gone AND NOT is_new AND NOT is_equal), "
    "count(*) FILTER (NOT is_gone AND is_equal), count(*) FILTER (is_gone) FROM compared"
)


def corrections_sql(spec: VersionSpec, known_since: datetime) -> str:
    """Return the rows to store under the names of the table: known since the correction."""
    columns = [
        *(f"k{i} AS {identifier(key.name)}" for i, key in enumerate(spec.join_keys)),
        f"e AS {EVENT}, {instant(known_since)} AS {CREATED}",
        *(f"f{i} AS {identifier(feature.name)}" for i, feature in enumerate(spec.features)),
    ]
    return f"SELECT {', '.join(columns)} FROM compared WHERE NOT is_gone AND NOT is_equal"


def _columns(spec: VersionSpec) -> str:
    return ", ".join(
        [
            *(f"{identifier(key.name)} AS k{i}" for i, key in enumerate(spec.join_keys)),
            f"{EVENT} AS e",
            *(f"{identifier(each.name)} AS f{i}" for i, each in enumerate(spec.features)),
        ]
    )
