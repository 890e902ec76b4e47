# ruff: noqa: S608 - names go through identifier(), the rest are names of our own
"""Ticks that are computed again: which of the stored ones are other now. [pure]

Not for computing them (``run``). A tick is stored where a value differs from the tick before, so a
correction may need rows where the new history has none, and the other way round: at every tick that
either history has, what a reader finds there is compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lib.instants import MICROSECOND
from lib.sql_text import identifier, instant, numbered
from materialization.compute.stored_rows_sql import stored_rows
from materialization.stores.columns import CREATED, EVENT, SEQUENCE, keys_sql

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from registry.spec.version_spec import VersionSpec


class Whole(NamedTuple):
    """Since when the source has all of every window; the first ``tick`` then, None: none yet."""

    since: datetime
    tick: datetime | None


def fresh_sql(spec: VersionSpec, query: str) -> str:
    """Return ticks as they are computed now: ``k0…``, ``e``, ``f0…``."""
    return f"SELECT {_columns(spec)} FROM ({query})"


def stored_sql(
    spec: VersionSpec, files: Sequence[str], start: datetime | None, end: datetime
) -> str:
    """Return each stored tick of ``(start, end]`` as it is read now: ``k0…``, ``e``, ``f0…``."""
    since = f" AND {EVENT} > {instant(start)}" if start is not None else ""
    return (
        f"SELECT {_columns(spec)} FROM {stored_rows(files)}"
        f" WHERE {EVENT} <= {instant(end)}{since}"
        f" QUALIFY row_number() OVER (PARTITION BY {keys_sql(spec)}, {EVENT}"
        f" ORDER BY {CREATED} DESC, {SEQUENCE} DESC) = 1"
    )


def first_sql(files: Sequence[str]) -> str:
    """Return when the first stored tick is, in µs."""
    return f"SELECT epoch_us(min({EVENT})) FROM {stored_rows(files)}"


def compared_sql(spec: VersionSpec, whole: Whole | None, *, carries: bool) -> str:
    """Return every tick of ``fresh`` and ``stored``, with what each says of it.

    ``f0…`` are the values as they are computed now. A tick has none (``is_gone``) before its
    entity's first, nor before the source is ``whole``: of its windows the source has lost a part.
    ``is_new``: none is stored of this tick. ``is_equal``: the one that is says the same; or, where
    a stored row ``carries``, the one before does that is not past its TTL, as a reader finds it. It
    may not where corrections are stored: one before would come between.

    At the first tick of a whole source nothing may come or go, and yet those before, which stay, be
    others than those from then on: each entity is compared there, and what differs is new. None
    before it is corrected, so a row carries up to there.
    """
    keys = [f"k{i}" for i, _ in enumerate(spec.join_keys)]
    moment = ", ".join([*keys, "e"])
    features = numbered("f", spec.features)
    before = f"SELECT {', '.join(keys)}, make_timestamptz(s) AS e{features} FROM state"
    carried = f"SELECT {moment}{features} FROM fresh UNION ALL {before}"
    read = f"SELECT {moment}{features} FROM stored UNION ALL {before}"
    ticks = f"SELECT {moment} FROM fresh UNION SELECT {moment} FROM stored"
    if whole is not None and whole.tick is not None:
        ticks += f" UNION SELECT {', '.join(keys)}, {instant(whole.tick)} FROM ({carried})"
    of_ticks = ", ".join(f"ticks.{name}" for name in (*keys, "e"))
    of_carried = numbered("f", spec.features, "carried.")
    lost = "" if whole is None else f" OR ticks.e < {instant(whole.since)}"
    now = (
        f"SELECT {of_ticks}{of_carried}, carried.e AS since, carried.e IS NULL{lost} AS is_gone"
        f" FROM ({ticks}) AS ticks"
        f" ASOF LEFT JOIN ({carried}) AS carried ON {_latest(keys, 'ticks', 'carried')}"
    )
    found, alive = "read.e IS NOT NULL", "since IS NOT NULL"
    if spec.ttl is not None:
        found = f"epoch_us(now.e) - epoch_us(read.e) <= {_us(spec)}"
        alive = f"epoch_us(e) - epoch_us(since) <= {_us(spec)}"
    if not carries:
        edge = "" if whole is None or whole.tick is None else f" OR now.e = {instant(whole.tick)}"
        found = f"(read.e = now.e{edge}) AND {found}"
    equal = " AND ".join(
        f"now.f{i} IS NOT DISTINCT FROM read.f{i}" for i, _ in enumerate(spec.features)
    )
    compared = (
        f"SELECT now.*, read.e IS NULL OR read.e <> now.e AS is_new,"
        f" coalesce({found}, FALSE) AND {equal} AS is_equal"
        f" FROM ({now}) AS now ASOF LEFT JOIN ({read}) AS read ON {_latest(keys, 'now', 'read')}"
    )
    return (
        f"SELECT * EXCLUDE (since) FROM ({compared})"
        f" WHERE NOT is_new OR since = e OR (NOT is_equal AND {alive})"
    )


def _latest(keys: Sequence[str], of: str, among: str) -> str:
    same = " AND ".join(f"{of}.{key} = {among}.{key}" for key in keys)
    return f"{same} AND {of}.e >= {among}.e"


def _us(spec: VersionSpec) -> int:
    return 0 if spec.ttl is None else spec.ttl // MICROSECOND


#: Of the ticks in ``compared``: new, corrected, equal, gone.
COUNTS = (
    "SELECT count(*) FILTER (NOT is_gone AND is_new AND NOT is_equal), "
    "count(*) FILTER (NOT is_gone AND NOT is_new AND NOT is_equal), "
    "count(*) FILTER (NOT is_gone AND is_equal), count(*) FILTER (is_gone AND NOT is_new)"
    " FROM compared"
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
