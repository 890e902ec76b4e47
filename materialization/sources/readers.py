# ruff: noqa: S608 - names and texts are quoted by sql_text
"""DuckDB's readers of files, with every option said that would else be guessed.

Not for choosing files (``files``) or for what the rows become (``transforms``).
"""

from __future__ import annotations

import hashlib
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pyarrow as pa

from lib.sql_text import identifier, text_list, text_struct
from materialization.sources.common_types import NOTHING, converted
from materialization.sources.layouts import parquet_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import duckdb
    import numpy as np

    from materialization.sources.layouts import Layout

#: What a CSV file is. All of it is said, because what is not is guessed from the first rows, and
#: differently once they change: quotes would stay in the text, rows behind a # would be no rows.
_CSV = (
    "auto_detect = false",
    "header = true",
    "skip = 0",
    "delim = ','",
    "quote = '\"'",
    "escape = '\"'",
    "comment = ''",
    "decimal_separator = '.'",
    # Nothing at all is NULL, "" is the empty text.
    "nullstr = ''",
    "allow_quoted_nulls = false",
    # A line that is longer or shorter than the header is an error, never a shifted or dropped row.
    "strict_mode = true",
    "null_padding = false",
    "ignore_errors = false",
)
#: The same as a version embeds it, for each format.
OPTIONS: dict[str, dict[str, str]] = {
    "csv": {"delimiter": ",", "quote": '"', "encoding": "utf-8", "null": "", "types": "text"},
    "json": {"values": "as written"},
    "jsonl": {"values": "as written"},
    "parquet": {},
}
#: What a reader calls the number of a row in its file.
ROW_NUMBER = "file_row_number"


class DescribedFile(NamedTuple):
    """One file: its own columns, and what the folders it lies in say; ``given`` are their types.

    ``deleted`` has the numbers of rows that are left out.
    """

    path: str
    layout: Layout
    folders: dict[str, str | None]
    given: Mapping[str, str] = MappingProxyType({})
    deleted: np.ndarray | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.layout, *(key for key in self.folders if key not in self.layout))

    def type_of(self, name: str) -> str:
        return self.layout[name].type if name in self.layout else self.given.get(name, "VARCHAR")


def csv_sql(paths: Sequence[str], layout: Layout) -> str:
    """Return the table function that reads CSV files of one header as text, guessing nothing."""
    columns = text_struct(dict.fromkeys(_positions(layout), "VARCHAR"))
    options = ", ".join((*_CSV, f"columns = {columns}", "filename = '__file'"))
    return f"read_csv({text_list(paths)}, {options})"


def _positions(layout: Layout) -> Iterator[str]:
    last = max(int(column.reader[1:]) for column in layout.values())
    return (f"c{number}" for number in range(last + 1))


class Unlike(NamedTuple):
    """A file's column that has one type and becomes no other as files do; ``stored`` is its SQL."""

    file: DescribedFile
    name: str
    have: str
    want: str
    stored: str


class Otherwise(Protocol):
    """Return the SQL that makes of a column what it has to be all the same, or raise."""

    def __call__(self, column: Unlike) -> str: ...


class Beside(NamedTuple):
    """Tables of what files do not say themselves, which their rows are joined with.

    They are another for other files: what was opened before is still read by its own.
    """

    keys: tuple[str, ...]
    folders: str
    deleted: str


def store_beside(connection: duckdb.DuckDBPyConnection, files: Sequence[DescribedFile]) -> Beside:
    """Make the tables of what each file's folders say and of the rows that are left out."""
    keys = tuple(sorted({key for file in files for key in file.folders if key not in file.layout}))
    said = "\n".join([*keys, *(file.path for file in files)])
    mark = hashlib.sha256(said.encode(errors="surrogateescape")).hexdigest()[:16]
    beside = Beside(keys, f"folders_{mark}", f"deleted_{mark}")
    if keys:
        columns: dict[str, list[str | None]] = {"__file": [file.path for file in files]}
        for number, key in enumerate(keys):
            columns[f"v{number}"] = [file.folders.get(key) for file in files]
        texts = {name: pa.array(values, pa.string()) for name, values in columns.items()}
        _store(connection, beside.folders, pa.table(texts))
    with_deleted = [file for file in files if file.deleted is not None]
    if with_deleted:
        _store(connection, beside.deleted, pa.concat_tables(map(_deleted_rows, with_deleted)))
    return beside


def _deleted_rows(file: DescribedFile) -> pa.Table:
    rows = pa.array(file.deleted, pa.int64())
    return pa.table({"__file": pa.repeat(file.path, len(rows)), "number": rows})


def _store(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> None:
    connection.register("given", rows)
    connection.execute(f"CREATE TEMP TABLE IF NOT EXISTS {name} AS SELECT * FROM given")
    connection.unregister("given")


def union_sql(
    format: str,  # noqa: A002 - the word the definitions use
    files: Sequence[DescribedFile],
    types: Mapping[str, str],
    beside: Beside,
    *,
    otherwise: Otherwise,
) -> str:
    """Return the sub-select of all rows, each file read by its own layout and then of ``types``.

    :raises AssayError: that of ``otherwise``.
    """
    groups: dict[tuple[object, ...], list[DescribedFile]] = {}
    for file in files:
        own = tuple(file.layout.items()) if format == "csv" else _own(file, types)
        by = (own, tuple(sorted(file.folders)), file.deleted is None)
        groups.setdefault(by, []).append(file)
    selects = [_select(format, group, types, beside, otherwise) for group in groups.values()]
    return f"({' UNION ALL '.join(selects) or _no_rows(types)})"


def _no_rows(types: Mapping[str, str]) -> str:
    nulls = ", ".join(f"CAST(NULL AS {kind}) AS {identifier(n)}" for n, kind in types.items())
    return f"SELECT {nulls} WHERE false"


def _own(file: DescribedFile, types: Mapping[str, str]) -> tuple[object, ...]:
    return tuple((name, file.layout.get(name)) for name in types)


def _select(
    format: str,  # noqa: A002
    group: Sequence[DescribedFile],
    types: Mapping[str, str],
    beside: Beside,
    otherwise: Otherwise,
) -> str:
    first, paths = group[0], [file.path for file in group]
    chosen = []
    for name, want in types.items():
        have = first.type_of(name) if name in first.names else NOTHING
        stored = _value(first, name, beside.keys)
        value = converted(stored, have, want, column=name)
        if value is None:
            value = otherwise(Unlike(first, name, have, want, stored))
        chosen.append(f"{value} AS {identifier(name)}")
    numbered = first.deleted is not None
    reader = (
        csv_sql(paths, first.layout) if format == "csv" else parquet_sql(paths, numbered=numbered)
    )
    joined = f" JOIN {beside.folders} AS p USING (__file)" if beside.keys else ""
    if numbered:
        joined += (
            f" ANTI JOIN {beside.deleted} AS d ON d.__file = f.__file AND d.number = f.{ROW_NUMBER}"
        )
    return f"SELECT {', '.join(chosen)} FROM {reader} AS f{joined}"


def _value(file: DescribedFile, name: str, keys: Sequence[str]) -> str:
    if name in file.layout:
        return f"f.{identifier(file.layout[name].reader)}"
    if name not in file.folders:
        return "NULL"
    said, kind = f"p.v{keys.index(name)}", file.type_of(name)
    return said if kind == "VARCHAR" else f"CAST({said} AS {kind})"
