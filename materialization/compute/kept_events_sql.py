# ruff: noqa: S608 - names go through identifier(), the rest are numbers
"""The stored events that windows may reach from now on, and the newest of each key. [pure]

Pushed ones as they are, of which one corrects another; those that runs store, which are a bag, with
how often each is there now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lib.instants import MICROSECOND, to_us
from lib.sql_text import identifier
from materialization.compute.stored_rows_sql import ASKED, stored_rows
from materialization.stores.columns import CREATED, EVENT, INSTANT, SEQUENCE, key_fields, keys_sql
from materialization.transforms.aggregation.events import COUNT
from materialization.transforms.windows.arguments import window_arguments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from registry.spec.version_spec import VersionSpec


def kept_events_sql(
    files: Sequence[str],
    spec: VersionSpec,
    schema: pa.Schema,
    as_of: datetime,
    *,
    some: bool = False,
) -> str:
    """Return events of ``schema``: those inside the longest window at ``as_of`` or later.

    Of older ones, which only tell that there is an entity, the newest that was in time of each key.
    ``some``: only those of the keys of ``ASKED``.
    """
    names = ", ".join(map(identifier, schema.names))
    among = f" SEMI JOIN {ASKED} USING ({keys_sql(spec)})" if some else ""
    stored, since = f"SELECT {names} FROM {stored_rows(files)}{among}", _since(spec, as_of)
    return (
        f"{stored} WHERE {EVENT} >= {since} UNION ALL "
        f"{stored} WHERE {EVENT} < {since} AND {_in_time(spec)} QUALIFY {_is_newest(spec)}"
    )


def counted_schema(spec: VersionSpec) -> pa.Schema:
    """Return the columns of ``counted_events_sql``."""
    stamps = [pa.field(EVENT, INSTANT), pa.field(CREATED, INSTANT)]
    values = [pa.field(each.name, each.type.arrow) for each in window_arguments(spec).arguments]
    keys, number = key_fields(spec), pa.int64()
    return pa.schema([*keys, *stamps, pa.field(SEQUENCE, number), *values, pa.field(COUNT, number)])


def counted_events_sql(
    files: Sequence[str],
    spec: VersionSpec,
    as_of: datetime,
    *,
    sequence: int | None,
    some: bool = False,
) -> str:
    """Return the events of a bag, with how often each is there now: keys, stamps, arguments, count.

    An event is told by since when it is known, too. Of those of which some were found to be gone
    all that are left are known since the last of them was (``as_of_events`` has the same rule); the
    others are there no time. ``sequence``: only what that run has changed anything of; ``some``:
    only those of the keys of ``ASKED``.
    """
    arguments = window_arguments(spec).arguments
    keys = keys_sql(spec)
    same = f"{keys}, {EVENT}{''.join(f', {each.name}' for each in arguments)}"
    among = f" SEMI JOIN {ASKED} USING ({keys})" if some else ""
    stored = f"SELECT {same}, {CREATED}, {SEQUENCE}, {COUNT} FROM {stored_rows(files)}{among}"
    since = _since(spec, as_of)
    touched = of_run = ""
    if sequence is not None:
        found = f"SELECT {keys}, {EVENT} FROM {stored_rows(files)} WHERE {SEQUENCE} = {sequence:d}"
        of_run = f" AND {SEQUENCE} = {sequence:d}"
        touched = f" AND ({keys}, {EVENT}) IN ({found})"
    there = _there_sql(f"{stored} WHERE {EVENT} >= {since}{touched}", same)
    count = f"CASE WHEN NOT gone THEN n WHEN {CREATED} = known THEN rest ELSE 0 END"
    cast = "".join(
        f", CAST({each.name} AS {each.type.duckdb}) AS {each.name}" for each in arguments
    )
    selected = f"{keys}, {EVENT}, {CREATED}"
    return (
        f"SELECT {selected}, CASE WHEN gone THEN top ELSE s END AS {SEQUENCE}{cast}, "
        f"CAST({count} AS BIGINT) AS {COUNT} FROM ({there}) UNION ALL "
        f"SELECT {selected}, {SEQUENCE}{cast}, {COUNT} FROM ({stored}) WHERE {EVENT} < {since} "
        f"AND {COUNT} > 0 AND {_in_time(spec)}{of_run} QUALIFY {_is_newest(spec)}"
    )


def _there_sql(stored: str, same: str) -> str:
    """Return the events that are the ``same``, by since when they are known: ``n`` of them.

    Of all the same together: whether any was ``gone``, how many are left (``rest``), since when
    the last of those is ``known``, and the last run that changed any (``top``; of one, ``s``).
    """
    summed = (
        f"SELECT {same}, {CREATED}, max({SEQUENCE}) AS s, sum({COUNT}) AS n, "
        f"bool_or({COUNT} < 0) AS g FROM ({stored}) GROUP BY ALL"
    )
    all_of, so_far = f"OVER (PARTITION BY {same})", f"OVER (PARTITION BY {same} ORDER BY {CREATED})"
    there = (
        f"SELECT *, sum(n) {so_far} AS there, sum(n) {all_of} AS rest, bool_or(g) {all_of} AS gone,"
        f" max(s) {all_of} AS top FROM ({summed})"
    )
    before = (
        f"OVER (PARTITION BY {same} ORDER BY {CREATED} "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    )
    new = f"SELECT *, there > coalesce(max(there) {before}, 0) AS is_new FROM ({there})"
    return f"SELECT *, max({CREATED}) FILTER (is_new) {all_of} AS known FROM ({new})"


def _longest_us(spec: VersionSpec) -> int:
    return spec.view.longest_window // MICROSECOND


def _since(spec: VersionSpec, as_of: datetime) -> str:
    """Return the instant that the longest window reaches back to."""
    return f"make_timestamptz({to_us(as_of) - _longest_us(spec)})"


def _in_time(spec: VersionSpec) -> str:
    """Return the condition for an event that was known before it left the longest window."""
    return f"epoch_us(greatest({EVENT}, {CREATED})) < epoch_us({EVENT}) + {_longest_us(spec)}"


def _is_newest(spec: VersionSpec) -> str:
    keys = keys_sql(spec)
    return f"row_number() OVER (PARTITION BY {keys} ORDER BY {EVENT} DESC, {SEQUENCE}) = 1"
