# ruff: noqa: S608 - names and texts are quoted by sql_text
"""Our stored rows in DuckDB's SQL: the files of a snapshot, and the latest row of each key. [pure]

Not for joining them to entity rows: ``point_in_time_sql`` does that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lib.sql_text import identifier, instant, parquet_files, text
from materialization.stores.columns import CREATED, EVENT, PLACE, SEQUENCE, keys_sql, stored_schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from registry.spec.version_spec import VersionSpec

#: The relation of entities, or rows, that a question is about.
ASKED = "asked"
#: More rows are not ordered, which takes too long, but cut into files by time (``stretches``).
ORDERED_ROWS = 2_000_000
#: A number with more values than these in a row group gets no dictionary: they hardly repeat, and
#: looking for one is a third of the writing.
DICTIONARY_OF_NUMBERS = 2000


def as_staged_files(spec: VersionSpec, *, apart_by: str = "") -> str:
    """Return how a version's rows are written; those of each value of ``apart_by`` in a folder.

    The limit is one for all columns: where one is text or bytes, which do repeat and are long, the
    engine's own holds.
    """
    short = (pa.types.is_primitive(kind) for kind in stored_schema(spec).types)
    limit = f", DICTIONARY_SIZE_LIMIT {DICTIONARY_OF_NUMBERS}" if all(short) else ""
    into = f"PARTITION_BY ({apart_by})" if apart_by else "PER_THREAD_OUTPUT"
    return f"(FORMAT parquet, {into}, RETURN_STATS{limit})"


def stored_rows(files: Sequence[str]) -> str:
    """Return SQL for the files' own columns."""
    return parquet_files(files)


def numbered_rows(files: Sequence[str]) -> str:
    """Return the same with ``file_row_number``, where in its file a row stands."""
    return parquet_files(files, "file_row_number = true")


def renumbered_sql(
    files: Sequence[str],
    spec: VersionSpec,
    *,
    sequence: int,
    to: str,
    ordered: bool,
    stored: Sequence[str] = (),
    since: int = 0,
) -> str:
    """Return SQL that writes the files' rows once more, with another sequence, into a folder.

    Rows that ``stored`` files have with a sequence after ``since`` are left out: whoever stored
    them knew more. Without a created_timestamp of the source, one event of a key is one row.
    """
    columns = ", ".join(
        f"{sequence:d}::BIGINT AS {SEQUENCE}" if name == SEQUENCE else identifier(name)
        for name in stored_schema(spec).names
    )
    order = f" ORDER BY {EVENT}" if ordered else ""
    less = ""
    if stored:
        same = f"{keys_sql(spec)}, {EVENT}"
        same += f", {CREATED}" if spec.rows_from.created_timestamp else ""
        newer = f"SELECT {same} FROM {stored_rows(stored)} WHERE {SEQUENCE} > {since:d}"
        less = f" ANTI JOIN ({newer}) USING ({same})"
    return (
        f"COPY (SELECT {columns} FROM {stored_rows(files)}{less}{order}) TO {text(to)}"
        f" {as_staged_files(spec)}"
    )


def latest_sql(
    files: Sequence[str],
    spec: VersionSpec,
    *,
    as_of: datetime | None,
    sequence: int | None,
    up_to: int | None = None,
    until: datetime | None = None,
    some: bool = False,
) -> str:
    """Return SQL for the greatest row of each key by (event, created, sequence, place).

    With ``as_of`` only rows visible then count, with ``sequence`` only those of it, with ``up_to``
    those of it and earlier ones, with ``until`` those of events up to then; ``some``: only the keys
    of ``ASKED``. Each key's latest event is found first, by narrow columns alone: ordering whole
    rows takes many times as long.
    """
    columns, keys = _columns(spec), keys_sql(spec)
    order = ", ".join(f"{column} DESC" for column in (CREATED, SEQUENCE, *PLACE))
    conditions = [f"{SEQUENCE} = {sequence:d}"] if sequence is not None else []
    if up_to is not None:
        conditions.append(f"{SEQUENCE} <= {up_to:d}")
    if as_of is not None:
        # Apart, row groups of later times are left out.
        conditions += [f"{column} <= {instant(as_of)}" for column in (EVENT, CREATED)]
    if until is not None:
        conditions.append(f"{EVENT} <= {instant(until)}")
    wanted = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    return (
        f"WITH newest AS (SELECT {keys}, max({EVENT}) AS {EVENT} FROM {stored_rows(files)} "
        f"{f'SEMI JOIN {ASKED} USING ({keys}) ' if some else ''}{wanted}GROUP BY {keys}) "
        f"SELECT {columns} FROM {stored_rows(files)} JOIN newest USING ({keys}, {EVENT}) "
        f"{wanted}QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {order}) = 1"
    )


def later_rows_sql(files: Sequence[str], spec: VersionSpec, *, after: datetime) -> str:
    """Return SQL for the rows that are not visible at an instant."""
    later = " OR ".join(f"{column} > {instant(after)}" for column in (EVENT, CREATED))
    return f"SELECT {_columns(spec)} FROM {stored_rows(files)} WHERE {later}"


def sample_sql(files: Sequence[str], spec: VersionSpec, count: int | None) -> str:
    """Return SQL for the keys of ``count`` entities that chance chooses; None: of all."""
    entities = f"SELECT DISTINCT {keys_sql(spec)} FROM {stored_rows(files)}"
    if count is None:
        return entities
    return f"SELECT * FROM ({entities}) USING SAMPLE reservoir({count:d} ROWS)"


def some_rows_sql(files: Sequence[str], spec: VersionSpec, count: int) -> str:
    """Return SQL for ``count`` stored rows that chance chooses."""
    rows = f"SELECT {_columns(spec)} FROM {stored_rows(files)}"
    return f"SELECT * FROM ({rows}) USING SAMPLE reservoir({count:d} ROWS)"


def same_stamps_sql(files: Sequence[str], spec: VersionSpec) -> str:
    """Return SQL for the stored rows that share keys, times and sequence with one of ``ASKED``."""
    same = f"{keys_sql(spec)}, {EVENT}, {CREATED}, {SEQUENCE}"
    return f"SELECT {_columns(spec)} FROM {stored_rows(files)} SEMI JOIN {ASKED} USING ({same})"


def ties_sql(files: Sequence[str], spec: VersionSpec) -> str:
    """Return SQL for one key whose rows are told apart by nothing but their place in the files.

    Rows with the same values are the same wherever they lie. Texts tell 0.0 from -0.0.
    """
    same, rows = f"{keys_sql(spec)}, {EVENT}, {CREATED}, {SEQUENCE}", stored_rows(files)
    features = [identifier(feature.name) for feature in spec.features]
    values = ", ".join(f"{name}, CAST({name} AS VARCHAR)" for name in features)
    shared = f"SELECT {same} FROM {rows} GROUP BY {same} HAVING count(*) > 1"
    return (
        f"SELECT 1 FROM {rows} SEMI JOIN ({shared}) USING ({same})"
        f" GROUP BY {same} HAVING count(DISTINCT row({values})) > 1 LIMIT 1"
    )


def _columns(spec: VersionSpec) -> str:
    return ", ".join(identifier(name) for name in stored_schema(spec).names)
