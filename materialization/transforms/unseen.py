# ruff: noqa: S608 - names go through identifier(), the rest are names of our own
"""Which rows of a source the table does not have yet. [pure]

Not for which rows are looked at (``arrival``). Rows are told apart by keys, event time, created
time where the source says it, and values: rows equal in all are one row. Of rows that share all but
the values, which are corrections of each other, the newest stored one counts. It has to be one the
source still has: a value that was changed and changed back is stored a third time.

Rows are tables of keys ``k0…``, ``e``, ``c`` (as the source says it, may be null), ``f0…``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.sql_text import identifier, key_list
from materialization.compute.stored_rows_sql import stored_rows
from materialization.stores.columns import CREATED, EVENT, PLACE, SEQUENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.spec.version_spec import VersionSpec


def near_sql(spec: VersionSpec, rows: str, files: Sequence[str]) -> str:
    """Return the stored rows that share keys and event time with one of ``rows``.

    ``c`` is never null here; it, ``n`` and ``place…`` order them.
    """
    features = [f"{identifier(each.name)} AS f{i}" for i, each in enumerate(spec.features)]
    columns = ", ".join(
        [
            *(f"{identifier(key.name)} AS k{i}" for i, key in enumerate(spec.join_keys)),
            f"{EVENT} AS e, {CREATED} AS c, {SEQUENCE} AS n",
            *(f"{name} AS place{i}" for i, name in enumerate(PLACE)),
            *features,
        ]
    )
    moment = f"{key_list(spec.join_keys)}, e"
    return (
        f"SELECT s.* FROM (SELECT {columns} FROM {stored_rows(files)}) s "
        f"SEMI JOIN (SELECT DISTINCT {moment} FROM {rows}) USING ({moment})"
    )


def marked_sql(spec: VersionSpec, rows: str, near: str) -> str:
    """Return each of ``rows`` once, with ``had``: whether one of ``near`` equals it."""
    stored = f"SELECT 1 FROM {near} s WHERE {_fits(spec)} AND {_same_values(spec, 's', 'm')}"
    return f"SELECT m.*, EXISTS ({stored}) AS had FROM (SELECT DISTINCT * FROM {rows}) m"


def newest_sql(spec: VersionSpec, marked: str, near: str) -> str:
    """Return the newest stored values of each moment of ``marked`` that has nothing new."""
    moment = ", ".join([*(f"m.k{i}" for i, _ in enumerate(spec.join_keys)), "m.e", "m.c"])
    features = "".join(f", s.f{i}" for i, _ in enumerate(spec.features))
    order = ", ".join(["s.c DESC", "s.n DESC", *(f"s.place{i} DESC" for i, _ in enumerate(PLACE))])
    groups = f"SELECT {moment} FROM {marked} m GROUP BY ALL HAVING bool_and(had)"
    return (
        f"SELECT {moment}{features} FROM ({groups}) m JOIN {near} s ON {_fits(spec)} "
        f"QUALIFY row_number() OVER (PARTITION BY {moment} ORDER BY {order}) = 1"
    )


def gone_sql(spec: VersionSpec, newest: str, rows: str) -> str:
    """Return those of ``newest`` that are not among ``rows`` of the source."""
    alike = f"{_same_moment(spec, 'o', 'r')} AND {_same_values(spec, 'o', 'r')}"
    return f"SELECT * FROM {newest} r WHERE NOT EXISTS (SELECT 1 FROM {rows} o WHERE {alike})"


def unseen_sql(spec: VersionSpec, marked: str, gone: str) -> str:
    """Return the rows of ``marked`` that are to be stored."""
    back = f"SELECT 1 FROM {gone} r WHERE {_same_moment(spec, 'r', 'm')}"
    return f"SELECT * EXCLUDE (had) FROM {marked} m WHERE NOT had OR EXISTS ({back})"


def corrected_sql(spec: VersionSpec, unseen: str, near: str) -> str:
    """Return how many of ``unseen`` are of an entity and a time that has a stored row."""
    alike = f"{_same_keys(spec, 's', 'u')} AND s.e = u.e"
    return f"SELECT count(*) FROM {unseen} u WHERE EXISTS (SELECT 1 FROM {near} s WHERE {alike})"


def lost_sql(spec: VersionSpec, rows: str, files: Sequence[str], within: str) -> str:
    """Return how many stored entities and times have no row among ``rows``; ``within`` says which.

    It is a condition on ``e`` and ``c``, the two times of a stored row.
    """
    moment = f"{key_list(spec.join_keys)}, e"
    names = [f"{identifier(key.name)} AS k{i}" for i, key in enumerate(spec.join_keys)]
    columns = ", ".join([*names, f"{EVENT} AS e, {CREATED} AS c"])
    return (
        f"SELECT count(*) FROM (SELECT DISTINCT {moment} FROM"
        f" (SELECT {columns} FROM {stored_rows(files)}) WHERE {within}) AS stored"
        f" ANTI JOIN {rows} USING ({moment})"
    )


def _fits(spec: VersionSpec) -> str:
    """Say that ``s`` is of the moment of ``m``; a row that does not say its created fits any."""
    return f"{_same_keys(spec, 's', 'm')} AND s.e = m.e AND (m.c IS NULL OR s.c = m.c)"


def _same_moment(spec: VersionSpec, one: str, other: str) -> str:
    same = _same_keys(spec, one, other)
    return f"{same} AND {one}.e = {other}.e AND {one}.c IS NOT DISTINCT FROM {other}.c"


def _same_keys(spec: VersionSpec, one: str, other: str) -> str:
    return " AND ".join(f"{one}.k{i} = {other}.k{i}" for i, _ in enumerate(spec.join_keys))


def _same_values(spec: VersionSpec, one: str, other: str) -> str:
    same = (f"{one}.f{i} IS NOT DISTINCT FROM {other}.f{i}" for i, _ in enumerate(spec.features))
    return " AND ".join(same) or "TRUE"
