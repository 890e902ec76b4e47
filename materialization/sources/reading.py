# ruff: noqa: S608 - names and texts are quoted by sql_text
"""A source as the sandbox sees it: the sub-select a view reads from, and its columns' types.

Not for choosing files (``files``) or casting (``casts``).
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, NamedTuple

import duckdb

from lib.sql_text import identifier
from materialization.errors import SourceUnreadable
from materialization.failures import translate
from materialization.sources.readers import csv_columns_sql, csv_lines_sql, reader_sql
from materialization.transforms.casts import family
from materialization.transforms.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from materialization.sources.inputs import SourceFiles
    from registry.spec.model import VersionSpec

_NO_CSV = re.compile(r'Error when sniffing file "([^"]+)"')
_OTHER_DELIMITERS = (";", "\t", "|")


class OpenedSource(NamedTuple):
    """``columns``: what ``relation`` gives, name → DuckDB type; ``found``: what the files hold."""

    relation: str
    columns: dict[str, str]
    found: dict[str, str]


def open_files(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec, source: SourceFiles
) -> OpenedSource:
    """Look at the files' columns and return the relation the view reads.

    :raises RowSqlRefused: the view's SQL is not one SELECT.
    :raises SourceUnreadable: a CSV file whose lines do not fit its header.
    """
    kind = kind_of(spec)
    found = _found(connection, source)
    if source.format == "csv":
        _refuse_other_delimiters(spec, found)
    if _is_empty_json(connection, source, found):
        return _empty(spec)
    relation = kind.relation(spec, _reader(spec, source, found))
    try:
        columns = describe(connection, relation)
    except duckdb.Error as exc:
        raise translate(exc, known=found) from exc
    return OpenedSource(relation, columns, found)


def describe(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    rows = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return {name: kind for name, kind, *_ in rows}


def _found(connection: duckdb.DuckDBPyConnection, source: SourceFiles) -> dict[str, str]:
    """Return the columns the reader finds.

    :raises duckdb.Error: or names the CSV line that does not fit, which finding columns does not.
    """
    try:
        return describe(connection, reader_sql(source.paths, source.format))
    except duckdb.InvalidInputException as exc:
        if (unlike := _NO_CSV.search(str(exc))) is None:
            raise
        _read_by_header(connection, unlike[1])
        raise SourceUnreadable(
            f"{unlike[1]} cannot be read as CSV. The first line names the columns, fields are "
            'separated by "," and quoted by "…", with "" for a quote inside.'
        ) from exc


def _read_by_header(connection: duckdb.DuckDBPyConnection, path: str) -> None:
    """Read a file with just as many columns as its first line has: the error names the line."""
    first = connection.execute(f"SELECT * FROM {csv_lines_sql(path)} LIMIT 1").fetchone()
    columns = len(next(csv.reader([first[0]]), [])) if first else 0
    if columns:
        connection.execute(f"SELECT count(COLUMNS(*)) FROM {csv_columns_sql(path, columns)}")


def _refuse_other_delimiters(spec: VersionSpec, found: Mapping[str, str]) -> None:
    """Name the reason: to the reader a header without a comma is the name of one column.

    Beside other files such a column would only make rows that have no key.
    """
    needed = {*(key.name for key in spec.join_keys), spec.rows_from.event_timestamp.column}
    for name in found:
        for delimiter in _OTHER_DELIMITERS:
            if needed & {part.strip(' "') for part in name.split(delimiter)} - {name}:
                raise SourceUnreadable(
                    f"the header {name!r} is separated by {delimiter!r}; a CSV source is separated "
                    'by ",". Write it again with commas.'
                )


def _reader(spec: VersionSpec, source: SourceFiles, found: Mapping[str, str]) -> str:
    texts = _texts(spec)
    if source.format == "csv" and kind_of(spec).wants_types:
        return _csv_for_sql(source, found, texts)
    types = _types(spec, source, found, texts)
    return reader_sql(source.paths, source.format, all_text=source.format == "csv", types=types)


def _csv_for_sql(source: SourceFiles, found: Mapping[str, str], texts: set[str]) -> str:
    """Return a CSV with the types the reader found, so that the view's SQL can compute with them.

    Times are read by ISO 8601 alone: the reader would guess the order of day and month from the
    rows at hand, and another one when they change.
    """
    times = {name: kind for name, kind in found.items() if _is_time(kind) and name not in texts}
    types = {name: "VARCHAR" for name in found if name in texts or name in times}
    reader = reader_sql(source.paths, source.format, types=types)
    casts = ", ".join(
        f"CAST({identifier(name)} AS {kind}) AS {identifier(name)}" for name, kind in times.items()
    )
    return f"(SELECT * REPLACE ({casts}) FROM {reader})" if casts else reader


def _is_time(kind: str) -> bool:
    return kind == "DATE" or family(kind) == "time"


def _texts(spec: VersionSpec) -> set[str]:
    """Return the columns declared as text."""
    texts = {key.name for key in spec.join_keys if key.type == "string"}
    return texts | {feature.source_column for feature in spec.features if feature.type == "string"}


def _types(
    spec: VersionSpec, source: SourceFiles, found: Mapping[str, str], texts: set[str]
) -> dict[str, str]:
    """Return the types to read JSON with instead of those the reader guessed.

    Text must stay as it is written: "00123" is not a number and "2024-01" not a date.
    """
    if source.format not in ("json", "jsonl"):
        return {}
    row_wise = not kind_of(spec).wants_types
    return {
        name: "VARCHAR" if _guessed(kind, name in texts, row_wise=row_wise) else kind
        for name, kind in found.items()
    }


def _guessed(kind: str, is_text: bool, *, row_wise: bool) -> bool:
    """Say whether a JSON column's type was made out of a text, or of nothing at all.

    What is to be text and came as numbers keeps their digits, which a float would not.
    """
    from_text = kind in ("TIME", "UUID") or _is_time(kind)
    is_digits = is_text and row_wise and family(kind) == "float"
    return family(kind) == "null" or is_digits or (from_text and (row_wise or is_text))


def _is_empty_json(
    connection: duckdb.DuckDBPyConnection, source: SourceFiles, found: Mapping[str, str]
) -> bool:
    """A JSON file without a row has no columns; DuckDB gives it one of its own."""
    if source.format not in ("json", "jsonl") or dict(found) != {"json": "JSON"}:
        return False
    reader = reader_sql(source.paths, source.format)
    return not connection.execute(f"SELECT 1 FROM {reader} LIMIT 1").fetchall()


def _empty(spec: VersionSpec) -> OpenedSource:
    names = {key.name: None for key in spec.join_keys}
    names[spec.rows_from.event_timestamp.column] = None
    if spec.rows_from.created_timestamp:
        names[spec.rows_from.created_timestamp.column] = None
    names |= dict.fromkeys(spec.transform.source_columns(spec.view))
    nothing = ", ".join(f"NULL AS {identifier(name)}" for name in names)
    return OpenedSource(f"(SELECT {nothing} WHERE FALSE)", dict.fromkeys(names, "NULL"), {})
