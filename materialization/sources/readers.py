# ruff: noqa: S608 - names and texts are quoted by sql_text
"""DuckDB's readers of files, with every option said that would else be guessed.

Not for choosing files (``files``) or for what the rows become (``transforms``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from lib.sql_text import identifier, text_list, text_struct
from materialization.errors import SourceDrifted, SourceUnreadable
from materialization.sources.common_types import converted
from materialization.sources.layouts import parquet_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import duckdb

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
_PARTITIONS = "folders"


class DescribedFile(NamedTuple):
    """One file: its own columns, and what the folders it lies in say."""

    path: str
    layout: Layout
    folders: dict[str, str | None]

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.layout, *(key for key in self.folders if key not in self.layout))

    def type_of(self, name: str) -> str:
        return self.layout[name].type if name in self.layout else "VARCHAR"


def csv_sql(paths: Sequence[str], layout: Layout) -> str:
    """Return the table function that reads CSV files of one header as text, guessing nothing."""
    columns = text_struct(dict.fromkeys(_positions(layout), "VARCHAR"))
    options = ", ".join((*_CSV, f"columns = {columns}", "filename = '__file'"))
    return f"read_csv({text_list(paths)}, {options})"


def _positions(layout: Layout) -> Iterator[str]:
    last = max(int(column.reader[1:]) for column in layout.values())
    return (f"c{number}" for number in range(last + 1))


def store_partitions(
    connection: duckdb.DuckDBPyConnection, files: Sequence[DescribedFile], keys: Sequence[str]
) -> None:
    """Make the table of what each file's folders say, which its rows are joined with."""
    if not keys:
        return
    columns: dict[str, list[str | None]] = {"__file": [file.path for file in files]}
    columns |= {f"v{n}": [file.folders.get(key) for file in files] for n, key in enumerate(keys)}
    connection.register(
        "given", pa.table({n: pa.array(v, pa.string()) for n, v in columns.items()})
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {_PARTITIONS} AS SELECT * FROM given")
    connection.unregister("given")


def union_sql(
    format: str,  # noqa: A002 - the word the definitions use
    files: Sequence[DescribedFile],
    types: Mapping[str, str],
    holders: Mapping[str, DescribedFile],
    *,
    agreed: bool,
) -> str:
    """Return the sub-select of all rows, each file read by its own layout and then of ``types``.

    ``agreed`` types are those the version took; ``holders`` has a file for each name, for messages.

    :raises SourceDrifted, SourceUnreadable: a file's column that cannot become the type.
    """
    keys = sorted({key for file in files for key in file.folders if key not in file.layout})
    groups: dict[tuple[object, ...], list[DescribedFile]] = {}
    for file in files:
        own = tuple(file.layout.items()) if format == "csv" else _own(file, types)
        groups.setdefault((own, tuple(sorted(file.folders))), []).append(file)
    selects = [
        _select(format, group, types, keys, holders, agreed=agreed) for group in groups.values()
    ]
    return f"({' UNION ALL '.join(selects)})"


def _own(file: DescribedFile, types: Mapping[str, str]) -> tuple[object, ...]:
    return tuple((name, file.layout.get(name)) for name in types)


def _select(
    format: str,  # noqa: A002
    group: Sequence[DescribedFile],
    types: Mapping[str, str],
    keys: Sequence[str],
    holders: Mapping[str, DescribedFile],
    *,
    agreed: bool,
) -> str:
    first, paths = group[0], [file.path for file in group]
    chosen = []
    for name, want in types.items():
        have = first.type_of(name) if name in first.names else '"NULL"'
        value = converted(_value(first, name, keys), have, want, column=name)
        if value is None:
            raise _other_type(first, name, have, want, holders[name], agreed=agreed)
        chosen.append(f"{value} AS {identifier(name)}")
    reader = csv_sql(paths, first.layout) if format == "csv" else parquet_sql(paths)
    joined = f" JOIN {_PARTITIONS} AS p USING (__file)" if keys else ""
    return f"SELECT {', '.join(chosen)} FROM {reader} AS f{joined}"


def _value(file: DescribedFile, name: str, keys: Sequence[str]) -> str:
    if name in file.layout:
        return f"f.{identifier(file.layout[name].reader)}"
    return f"p.v{keys.index(name)}" if name in file.folders else "NULL"


def _other_type(
    file: DescribedFile, name: str, have: str, want: str, holder: DescribedFile, *, agreed: bool
) -> SourceDrifted | SourceUnreadable:
    if agreed:
        return SourceDrifted(
            f"{file.path}: column {name!r} is {have}; it was {want} when the version was submitted."
            " Write the file again with that type, or submit a new version."
        )
    return SourceUnreadable(
        f"{file.path}: column {name!r} is {have}, in {holder.path} it is {want}; write it with one "
        "type in every file."
    )
