# ruff: noqa: S608 - names and texts are quoted by sql_text
"""The columns each file has: exactly as it calls them, and how the reader does. No row is read.

Not for what the files have in common (``common_types``), nor for JSON, whose rows each have
columns of their own (``json_rows``).
"""

from __future__ import annotations

import csv
import gzip
import io
from typing import TYPE_CHECKING, NamedTuple, cast

import pyarrow as pa

from lib.delimiters import other_delimiter
from lib.sql_text import parquet_files, text_list
from materialization.errors import SourceUnreadable
from materialization.sources.arrow_types import SCHEMA_KEY, foreign_types, refusal
from materialization.sources.file_faults import DAMAGED, text_fault

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import duckdb

#: What a header may be long; beyond it a file is something else.
MAX_HEADER_BYTES = 1_000_000
#: First bytes of files that are no UTF-8 text → what they are, and what to do.
_FOREIGN = {
    b"\xff\xfe": "is UTF-16 text; write it again as UTF-8",
    b"\xfe\xff": "is UTF-16 text; write it again as UTF-8",
    b"PK\x03\x04": "is a zip archive, as spreadsheets are; save it as CSV in UTF-8",
    b"\x1f\x8b": "is compressed by gzip; let its name end in .gz",
    b"\x28\xb5\x2f\xfd": "is compressed by zstd; let its name end in .zst",
    b"PAR1": "is Parquet; let its name end in .parquet",
}


class Column(NamedTuple):
    """``reader``: what the reader calls it; ``type``: DuckDB's; ``twice``: another has its name."""

    reader: str
    type: str
    twice: bool = False


#: Name → column, in the file's order; names are told apart by case.
Layout = dict[str, Column]


def parquet_layouts(connection: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> list[Layout]:
    """Return each file's layout from its footer.

    :raises duckdb.Error: a file that is no Parquet file, naming it.
    """
    elements: dict[str, list[tuple[str, int, str]]] = {path: [] for path in paths}
    # Wider decimals than 38 digits would be read as floats.
    kind = (
        "CASE WHEN precision > 38 THEN format('DECIMAL({},{})', precision, scale)"
        " ELSE duckdb_type END"
    )
    query = (
        f"SELECT file_name, name, coalesce(num_children, 0), {kind}"
        f" FROM parquet_schema({text_list(paths)}) ORDER BY file_name, column_id"
    )
    for path, *element in connection.execute(query).fetchall():
        elements[path].append((element[0], element[1], element[2]))
    foreign = _foreign_types(connection, paths)
    return [_parquet_layout(connection, path, elements[path], foreign[path]) for path in paths]


def _foreign_types(
    connection: duckdb.DuckDBPyConnection, paths: Sequence[str]
) -> dict[str, dict[str, str]]:
    """Return for each file the columns that are not what they are stored as.

    :raises SourceUnreadable: a file with types that nobody here knows.
    """
    query = f"SELECT file_name, value FROM parquet_kv_metadata({text_list(paths)}) WHERE key = ?"
    found: dict[str, dict[str, str]] = {path: {} for path in paths}
    for path, encoded in connection.execute(query, [SCHEMA_KEY]).fetchall():
        try:
            found[path] = foreign_types(encoded)
        except pa.ArrowException as exc:
            raise SourceUnreadable(
                _wide_integers(connection, path)
                or f"{path} has a column of a type that cannot be read: {str(exc)[:200]}. Write it"
                " as numbers of at most 64 bits, decimals, text, times or lists."
            ) from exc
    return found


def _wide_integers(connection: duckdb.DuckDBPyConnection, path: str) -> str:
    """Say which columns are whole numbers of 128 bits, stored as bare bytes; empty: none is.

    No file with one is read: what its other columns are was written beside it, for Arrow alone.
    """
    rows = connection.execute(
        f"SELECT name FROM parquet_schema({text_list([path])})"
        " WHERE type = 'FIXED_LEN_BYTE_ARRAY' AND type_length = '16' AND logical_type IS NULL"
        " AND converted_type IS NULL ORDER BY column_id"
    ).fetchall()
    if not rows:
        return ""
    names = ", ".join(repr(name) for (name,) in rows[:5])
    return (
        f"{path}: column {names} is of whole numbers of 128 bits (Polars' Int128), which cannot be"
        " read. Write it as int64, as a decimal of at most 38 digits, or as text."
    )


def _parquet_layout(
    connection: duckdb.DuckDBPyConnection,
    path: str,
    elements: list[tuple[str, int, str]],
    foreign: dict[str, str],
) -> Layout:
    named = list(_top(elements))
    readers = [name for name, _ in named]
    if len({name.lower() for name in readers}) < len(readers):
        # The reader renames what it cannot tell apart; positions are the same.
        rows = connection.execute(f"DESCRIBE SELECT * FROM {parquet_sql([path])}").fetchall()
        readers = [row[0] for row in rows][: len(named)]
    return _layout(
        (name, reader, foreign.get(name, kind))
        for (name, kind), reader in zip(named, readers, strict=True)
    )


def parquet_sql(paths: Sequence[str], *, numbered: bool = False) -> str:
    """Return the table function that reads the files; folders' names are no columns to it.

    Rows are ``numbered`` in ``file_row_number``, from 0 in each file.
    """
    number = ("file_row_number = true",) if numbered else ()
    return parquet_files(paths, "union_by_name = true", "filename = '__file'", *number)


def _top(elements: list[tuple[str, int, str]]) -> Iterator[tuple[str, str]]:
    """Yield name and type of the columns: a schema is listed depth first, its root before all.

    A nested column is of the type that cannot be read, where one inside it is.
    """
    position, end = 1, len(elements)
    while position < end:
        name, _, kind = elements[position]
        inside, open_elements = [], 1
        while open_elements:
            inside.append(elements[position][2])
            open_elements += elements[position][1] - 1
            position += 1
        yield name, next((each for each in inside if refusal(each)), kind)


def csv_layouts(paths: Sequence[str], needed: set[str]) -> list[Layout]:
    """Return each file's layout from its first line: all columns are text.

    :raises SourceUnreadable: the line is not one of names separated by commas, as far as can be
        told; ``needed`` are names that must be there.
    """
    return [_csv_layout(path, needed) for path in paths]


def _csv_layout(path: str, needed: set[str]) -> Layout:
    header = csv_header(path)
    if header[0].startswith("sep="):
        raise SourceUnreadable(
            f"{path} begins with {header[0]!r}, a word for spreadsheets; its first line must name "
            "the columns."
        )
    if several := other_delimiter(header, needed):
        name, delimiter = several
        raise SourceUnreadable(
            f"{path}: the header {name[:200]!r} is separated by {delimiter}; a CSV source is"
            ' separated by ",". Write it again with commas.'
        )
    return _layout((name, f"c{number}", "VARCHAR") for number, name in enumerate(header))


def csv_header(path: str) -> list[str]:
    """Return the names in a file's first line.

    :raises SourceUnreadable: there is none, or the file is not UTF-8 text.
    """
    start = _start(path)
    for magic, what in _FOREIGN.items():
        if start.startswith(magic):
            raise SourceUnreadable(f"{path} {what}.")
    line = start.removeprefix(b"\xef\xbb\xbf")
    rows = csv.reader(io.StringIO(line.decode(errors="replace"), newline=""), strict=True)
    try:
        header = next(rows, [])
    except csv.Error as exc:
        raise SourceUnreadable(f"{path}, line 1: a header that cannot be read: {exc}.") from exc
    if not header:
        raise SourceUnreadable(f"{path}, line 1: it is empty; it must name the columns.")
    if any("\x00" in name for name in header):
        raise SourceUnreadable(f"{path} has bytes of zero; write it again as UTF-8 text.")
    if any("�" in name for name in header):
        raise SourceUnreadable(
            f"{path}, line 1: it has bytes that are not UTF-8. Write the file again as UTF-8."
        )
    return header


def open_text(path: str) -> io.BufferedReader:
    """Open a text file, compressed or not, as its name's ending says."""
    ending = path.lower().rpartition(".")[2]
    if ending == "gz":
        return io.BufferedReader(cast("io.RawIOBase", gzip.open(path)))
    return io.BufferedReader(pa.input_stream(path, compression="zstd" if ending == "zst" else None))


def _start(path: str) -> bytes:
    try:
        with open_text(path) as stream:
            return stream.read(MAX_HEADER_BYTES)
    except DAMAGED as exc:
        said = f"{path} cannot be read as its name says: {str(exc)[:200]}."
        raise text_fault(path, exc) or SourceUnreadable(said) from exc


def _layout(columns: Iterator[tuple[str, str, str]]) -> Layout:
    found: Layout = {}
    for name, reader, kind in columns:
        found[name] = Column(reader, kind, twice=name in found)
    return found
