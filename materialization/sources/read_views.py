# ruff: noqa: S608 - names and texts are quoted by sql_text
"""What a version reads of other views, as rows that stand beside those of its source.

Not for finding the stored files (``edges`` gives them to an engine), nor for which row is found
(``newest_known``) or how it comes beside another (``joining``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.instants import MICROSECOND
from lib.sql_text import identifier
from materialization.compute.stored_rows_sql import stored_rows
from materialization.sources.newest_known import Beside, Held
from materialization.stores.columns import CREATED, EVENT, PLACE, SEQUENCE
from materialization.transforms.rows import declared
from registry.spec.fingerprints import canonical_json, text_fingerprint
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

    from materialization.sources.newest_known import RowTimes
    from registry.spec.version_spec import VersionSpec
    from registry.spec.view_reads import ReadVersion

#: What decides between stored rows of one key and both times.
_ORDER = (SEQUENCE, *PLACE)


def keep_read(
    connection: duckdb.DuckDBPyConnection,
    read: ReadVersion,
    files: tuple[str, ...],
    reader: str,
    columns: Mapping[str, str],
    times: RowTimes,
) -> Beside:
    """Write the stored rows that those of ``reader`` can find into a table, and return how.

    What a connection has of them already stays: whoever opens other parts has it forgotten first.
    Nothing is ever found where no file is given: nothing is stored yet, or nobody is to compute.

    :raises UnknownColumn, SourceValueInvalid: the source lacks a column that it is found by, or no
        value of it can be a key.
    """
    ours = [declared(key.column, key.value_type, columns).strict for key in read.keys]
    fields, held = tuple(read.features), _held(read, files)
    if not _has(connection, held.known):  # the last that is made of it
        typed = _none(read)
        if files:
            asked = ", ".join(f"{sql} AS a{i}" for i, sql in enumerate(ours))
            same = " AND ".join(f"s.k{i} = a.a{i}" for i, _ in enumerate(ours))
            stored = _stored(read, files, _bounds(connection, read, reader, times))
            rows = f"(SELECT {asked} FROM {reader})"
            typed = f"SELECT s.* FROM ({stored}) s SEMI JOIN {rows} a ON {same}"
        for statement in held.made_of(typed):
            connection.execute(statement)
    ttl = read.ttl_duration
    return Beside(
        held, read.name, fields, tuple((sql, f"k{i}") for i, sql in enumerate(ours)),
        times.at, times.known, None if ttl is None else ttl // MICROSECOND, times.prefix,
    )  # fmt: skip


def forget_read(connection: duckdb.DuckDBPyConnection, spec: VersionSpec) -> None:
    """Drop what the connection keeps of all that a version reads."""
    for read in spec.reads:
        held = _held(read, spec.read_files.get(read.name, ()))
        for table in (held.name, held.known):
            connection.execute(f"DROP TABLE IF EXISTS {table}")


def _held(read: ReadVersion, files: tuple[str, ...]) -> Held:
    name = f"read_{text_fingerprint(canonical_json([read, files]))[:20]}"
    order = tuple(f"o{i}" for i, _ in enumerate(_ORDER))
    return Held(name, len(read.keys), len(read.features), order)


def _has(connection: duckdb.DuckDBPyConnection, table: str) -> bool:
    named = "SELECT 1 FROM duckdb_tables() WHERE table_name = ?"
    return bool(connection.execute(named, [table]).fetchall())


def _stored(read: ReadVersion, files: tuple[str, ...], bounds: str) -> str:
    columns = [
        *(f"{identifier(key.name)} AS k{i}" for i, key in enumerate(read.keys)),
        f"{EVENT} AS e",
        f"{CREATED} AS c",
        *(f"{name} AS o{i}" for i, name in enumerate(_ORDER)),
        *(f"{identifier(name)} AS v{i}" for i, name in enumerate(read.features)),
    ]
    return f"SELECT {', '.join(columns)} FROM {stored_rows(files)} WHERE {bounds}"


def _none(read: ReadVersion) -> str:
    """Return SQL for no row, with the types that stored ones have."""
    columns = [
        *(f"NULL::{key.value_type.duckdb} AS k{i}" for i, key in enumerate(read.keys)),
        "NULL::TIMESTAMPTZ AS e",
        "NULL::TIMESTAMPTZ AS c",
        *(f"NULL::BIGINT AS o{i}" for i, _ in enumerate(_ORDER)),
        *(
            f"NULL::{parse_type(kind).duckdb} AS v{i}"
            for i, kind in enumerate(read.features.values())
        ),
    ]
    return f"SELECT {', '.join(columns)} WHERE false"


def _bounds(
    connection: duckdb.DuckDBPyConnection, read: ReadVersion, reader: str, times: RowTimes
) -> str:
    """Return a condition that no stored row fails which some row of ``reader`` could find."""
    first, last = connection.execute(
        f"SELECT epoch_us(min({times.at})), epoch_us(max({times.at})) FROM {reader}"
        f" WHERE isfinite({times.at})"
    ).fetchall()[0]
    if last is None:
        return "false"
    bounds = [f"{EVENT} <= make_timestamptz({last})"]
    if (ttl := read.ttl_duration) is not None:
        bounds.append(f"{EVENT} >= make_timestamptz({first - ttl // MICROSECOND})")
    return " AND ".join(bounds)
