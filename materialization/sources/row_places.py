# ruff: noqa: S608 - names and texts are quoted by sql_text
"""Where in a file a value stands, found by reading it again; only once the value was refused.

Not for which file it is (``sandbox.places``). Only a column of the file itself is looked for, by
how its value is written; what cannot be found so, or not soon, has no row.
"""

from __future__ import annotations

import csv
import io
import time
from itertools import takewhile
from typing import TYPE_CHECKING

import duckdb

from lib.errors import AssayError
from lib.sql_text import identifier, parquet_files, text
from materialization.sources.json_rows import placed_values
from materialization.sources.layouts import open_text, parquet_layouts
from materialization.transforms.casts import SHOWN_LENGTH, shown_sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.spec.sources.files import FormatName

#: What was read before and now is not: its value has no place, and is told of all the same.
_READ_BEFORE = (csv.Error, UnicodeDecodeError, OSError, duckdb.Error)


def row_of(
    connection: duckdb.DuckDBPyConnection,
    path: str,
    format: FormatName,  # noqa: A002 - the word the definitions use
    *,
    column: str,
    shown: str,
    until: float,
) -> str:
    """Return ``line 3``, ``row 3`` or ``object 3``, from 1; empty where it is not found.

    ``until`` is an instant of ``time.monotonic``.
    """
    try:
        if format == "parquet":
            return _parquet_row(connection, path, column, shown)
        is_csv = format == "csv"
        values = (
            _csv_values(path, column) if is_csv else placed_values(connection, path, format, column)
        )
        near = takewhile(lambda _: time.monotonic() < until, values)
        return next((place for place, value in near if value and value[:SHOWN_LENGTH] == shown), "")
    except (*_READ_BEFORE, AssayError):
        return ""


def _parquet_row(connection: duckdb.DuckDBPyConnection, path: str, column: str, shown: str) -> str:
    found = parquet_layouts(connection, [path])[0].get(column)
    if found is None:
        return ""
    number = f"min(file_row_number) FROM {parquet_files([path], 'file_row_number = true')}"
    where = f"{shown_sql(identifier(found.reader))} = {text(shown)}"
    ((row,),) = connection.execute(f"SELECT {number} WHERE {where}").fetchall()
    return "" if row is None else f"row {row + 1}"


def _csv_values(path: str, column: str) -> Iterator[tuple[str, str]]:
    with open_text(path) as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as lines:
        rows = csv.reader(lines, strict=True)
        header = next(rows, [])
        if column not in header:
            return
        field, ended = header.index(column), rows.line_num
        for row in rows:
            if len(row) > field:
                yield f"line {ended + 1}", row[field]
            ended = rows.line_num
