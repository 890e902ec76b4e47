# ruff: noqa: S608 - names and texts are quoted by sql_text
"""A source as the sandbox sees it: the sub-select a view reads from, and its columns' types.

Not for choosing files (``files``) or casting (``casts``). Columns are matched by their exact names
and read with the types that the version took at submit, or would take now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import duckdb

from materialization.errors import (
    RowSqlFailed,
    RowSqlRefused,
    SourceDrifted,
    SourceUnreadable,
    UnknownColumn,
)
from materialization.failures import translate
from materialization.sources.joining import enriching
from materialization.sources.read_rows import describe
from materialization.sources.readers import OPTIONS
from materialization.sources.reading_json import read_json
from materialization.sources.reading_tables import read_tables
from materialization.sources.walking import require_readable
from materialization.transforms.kinds import relation_of
from materialization.transforms.row_sql import refuse_other_than_expression
from registry.spec.row_sql import BadSql, columns_under, paths_named, select_of
from registry.spec.sources.base import SourceColumn, SourceSchema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lib.errors import AssayError
    from materialization.sources.inputs import SourceFiles
    from materialization.sources.read_rows import ReadRows
    from registry.spec.version_spec import VersionSpec


#: What reading a file raises.
_OF_FILES = (duckdb.IOException, duckdb.HTTPException)


class OpenedSource(NamedTuple):
    """``columns``: what ``relation`` gives, name → DuckDB type; ``found``: what the files hold.

    ``schema`` is what a version would take of it now, ``notes`` what its owner should know.
    """

    relation: str
    columns: dict[str, str]
    found: dict[str, str]
    schema: SourceSchema | None = None
    notes: tuple[str, ...] = ()
    #: What puts rows of joined sources beside those of a sub-select like the source's.
    enrich: Callable[[str], str] = str
    #: The source's rows with all that stands beside them, before anything is made of them.
    rows: str = ""
    #: As ``schema``, of the sources that are joined.
    joined: tuple[SourceSchema, ...] = ()


def open_files(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, source: SourceFiles
) -> OpenedSource:
    """Look at the files' columns and return the relation the view reads.

    :raises RowSqlRefused: the view's SQL is not one SELECT.
    :raises SourceFileUnreadable: a file that this process may not read; names it.
    :raises UnknownColumn: its SQL names a column otherwise than the source does.
    :raises SourceUnreadable: a file that is not what its name says, or that lacks a column which
        the view reads and other files have; names it.
    :raises SourceDrifted: the files are not what the version took at submit.
    """
    refuse_other_sql(spec)
    require_readable(source.paths)
    if spec.schema is not None and spec.schema.format != source.format:
        raise SourceDrifted(
            f"the source was {spec.schema.format} when the version was submitted and is "
            f"{source.format} now; submit a new version, or put the files back."
        )
    read = read_json if source.format in ("json", "jsonl") else read_tables
    rows = read(connection, spec, source)
    rows.notes.extend(_left_out(source))
    return open_rows(connection, spec, rows, source.format, OPTIONS[source.format])


def open_rows(
    connection: duckdb.DuckDBPyConnection,
    spec: VersionSpec,
    rows: ReadRows,
    format: str,  # noqa: A002 - the word the definitions use
    options: dict[str, str],
) -> OpenedSource:
    """Return the relation the view reads of rows, and what a version would take of their source.

    :raises UnknownColumn, RowSqlRefused: the view's SQL is none of these rows'.
    """
    for path, where in spec.view.conditions().items():
        try:
            _refuse_no_condition(connection, where, rows.reader, rows.found)
        except (UnknownColumn, RowSqlRefused) as exc:
            exc.data["in_definition"] = list(path)
            raise
    _refuse_other_case(spec, rows.found)
    joined = enriching(connection, spec, rows.reader, rows.found)
    reader = joined.enrich(rows.reader)
    relation = relation_of(spec, reader)
    try:
        columns = describe(connection, relation)
    except duckdb.Error as exc:
        raise _unbound(exc, rows.found) from exc
    taken = tuple(SourceColumn(name=name, type=kind) for name, kind in sorted(rows.found.items()))
    schema = SourceSchema(format=format, options=options, columns=taken)
    notes = (*rows.notes, *joined.notes)
    return OpenedSource(relation, columns, rows.found, schema, notes, joined.enrich, reader)


def refuse_other_sql(spec: VersionSpec) -> None:
    """What reached us was checked; here it may still be anything."""
    try:
        _ = spec.columns_read
    except BadSql as exc:
        raise RowSqlRefused(f"sql: {exc.message}") from exc


def _refuse_no_condition(
    connection: duckdb.DuckDBPyConnection, where: str, reader: str, found: Mapping[str, str]
) -> None:
    """:raises RowSqlRefused, UnknownColumn: it is neither true nor false of a row of the source."""
    refuse_other_than_expression(where)
    for name in columns_under(where):
        if name not in found:
            raise UnknownColumn(name, found)
    try:
        (kind,) = describe(connection, f"(SELECT (\n{where}\n) AS truth FROM {reader})").values()
    except duckdb.Error as exc:
        told = _unbound(exc, found)
        if isinstance(told, RowSqlRefused):
            said = str(exc).splitlines()[0].partition(": ")[2][:300]
            told = RowSqlRefused(f"it cannot be asked of a row of the source: {said}.{_text(said)}")
        raise told from exc
    if kind != "BOOLEAN":
        raise RowSqlRefused(
            f"{where[:80]!r} gives {kind}, which is neither true nor false; compare it with"
            " something, as in status = 'paid'."
        )


def _text(said: str) -> str:
    """Return what to do where a text is taken for something else."""
    if "VARCHAR" not in said or "cast" not in said:
        return ""
    return " Columns of CSV and JSON are text; CAST them, as in CAST(amount AS DOUBLE) > 10."


def _unbound(error: duckdb.Error, found: Mapping[str, str]) -> AssayError:
    """Return why SQL cannot be bound; its constants were tried by then, and no row was read."""
    told = translate(error, known=found)
    if isinstance(told, (RowSqlFailed, SourceUnreadable)) and not isinstance(error, _OF_FILES):
        return RowSqlRefused(f"sql cannot be run on the source: {str(error).splitlines()[0][:300]}")
    return told


def _left_out(source: SourceFiles) -> list[str]:
    if not (count := len(source.left_out)):
        return []
    names = ", ".join(source.left_out[:3])
    return [f"{count} hidden or temporary names match the path and are left out: {names}."]


def _refuse_other_case(spec: VersionSpec, found: Mapping[str, str]) -> None:
    """Names mean what is written: to an engine "A" would be a, also where the SQL gives an "A"."""
    named = spec.columns_read or frozenset()
    if spec.view.sql is not None:  # names beside a * too
        beside = {*(join.name for join in spec.view.sources), *(read.name for read in spec.reads)}
        named |= {path[0] for path in paths_named(select_of(spec.view.sql))} - beside
    taken = spec.schema.types if spec.schema is not None else found
    known = {name.lower() for name in found if name in taken}
    for name in sorted(named - found.keys()):
        if name.lower() in known:
            raise UnknownColumn(name, found)
