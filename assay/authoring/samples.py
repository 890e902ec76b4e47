"""The first rows of data files, column by column, as they are written there.
Not for what a column is for; see columns and proposals.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from assay.errors import Invalid, why_unreadable
from assay.extras import OTHER_TYPES, require
from assay.value_types import declared_type

#: What is looked at of one source, at most.
MAX_ROWS = 100_000
MAX_BYTES = 64 * 2**20
_JSON_ROW = 16 * 2**20
_CHUNK = 2**20
_BETWEEN = re.compile(r"[\s,]*")
#: The endings that sources of the kind ``file`` may have.
TEXT = (".csv", ".json", ".jsonl", ".ndjson")
FORMATS = (".parquet", *TEXT, *(each + packed for each in TEXT for packed in (".gz", ".zst")))


@dataclass(frozen=True)
class Sample:
    """The rows that were looked at, by column; ``types`` where the file says them.

    ``is_text``: values are the texts that stand there, as in CSV; None where nothing does.
    """

    columns: dict[str, list[Any]]
    types: dict[str, str]
    rows: int
    is_whole: bool
    is_text: bool = False


def format_of(path: Path) -> str | None:
    """Give the ending that says how a file is read; None: it is no data file."""
    name = path.name.lower()
    return next((ending for ending in FORMATS if name.endswith(ending)), None)


def take(path: Path) -> Sample:
    """Read the first rows of one file.

    :raises Invalid: it cannot be read; says why.
    :raises MissingExtra: Parquet, without pyarrow.
    """
    ending = format_of(path)
    if ending is None:
        raise Invalid(f"{path}: no data file; its name has to end in {', '.join(FORMATS)}")
    try:
        if ending == ".parquet":
            return _parquet(path)
        with _opened(path, ending) as stream:
            is_text = ending.startswith(".csv")
            return _of_rows(_csv(stream) if is_text else _json(stream), is_text=is_text)
    except (OSError, UnicodeDecodeError, EOFError) as exc:
        why = why_unreadable(exc) if isinstance(exc, OSError | UnicodeDecodeError) else "cut short"
        raise Invalid(f"{path} cannot be read: {why}", path=str(path)) from exc
    except ValueError as exc:
        raise Invalid(f"{path} cannot be read: {exc}", path=str(path)) from exc


def _parquet(path: Path) -> Sample:
    pq: Any = require("pyarrow.parquet", "reading Parquet")
    pa: Any = require("pyarrow", "reading Parquet")
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            batches = list(itertools.islice(file.iter_batches(MAX_ROWS // 10), 10))
            whole = file.metadata.num_rows <= MAX_ROWS
    except pa.ArrowNotImplementedError as exc:
        message = f"{path} has a column of a type that Arrow does not read: {exc}. {OTHER_TYPES}"
        raise Invalid(message, path=str(path)) from exc
    except pa.ArrowException as exc:
        raise Invalid(f"{path} is no Parquet file: {exc}", path=str(path)) from exc
    table = pa.Table.from_batches(batches, schema).slice(0, MAX_ROWS)
    types = {field.name: declared_type(field.type, pa) for field in schema}
    columns = {name: _python(table[name], pa) for name in table.column_names}
    return Sample(columns, types, table.num_rows, whole)


def _python(column: Any, pa: Any) -> list[Any]:
    """Give a column's values; nanoseconds are cut, as the server does."""
    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    values: list[Any] = column.to_pylist()
    return values


def _opened(path: Path, ending: str) -> IO[str]:
    if ending.endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    if ending.endswith(".zst"):
        pa: Any = require("pyarrow", "reading .zst")
        return io.TextIOWrapper(
            pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"), "utf-8-sig", newline=""
        )
    return path.open(encoding="utf-8-sig", newline="")


def _csv(stream: IO[str]) -> Iterator[dict[str, Any]]:
    # A look ahead tells other separators, which the server does not read.
    reader = csv.DictReader(stream, strict=True)
    try:
        header = reader.fieldnames or []
        if len(header) == 1 and (other := _separator(header[0])):
            raise ValueError(
                f"its fields seem to be separated by {other}, the server reads commas; write it"
                " anew with commas"
            )
        for row in reader:
            yield {name: value or None for name, value in row.items() if name}
    except csv.Error as exc:
        raise ValueError(f"line {reader.line_num}: {exc}") from exc


def _separator(header: str) -> str | None:
    names = {";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
    return next((said for mark, said in names.items() if mark in header.strip()), None)


def _json(stream: IO[str]) -> Iterator[dict[str, Any]]:
    """Give the objects of a file: one a line, one list of them, or one after the other."""
    decoder = json.JSONDecoder()
    text, at = stream.read(_CHUNK), 0
    at = _BETWEEN.match(text).end()  # type: ignore[union-attr]
    at += text[at : at + 1] == "["
    while True:
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
        if at == len(text):
            text, at = stream.read(_CHUNK), 0
            if not text:
                return
        elif text[at] == "]":
            return
        else:
            try:
                value, at = decoder.raw_decode(text, at)
            except ValueError:
                more = stream.read(_CHUNK)
                if not more or len(text) - at > _JSON_ROW:
                    raise
                text, at = text[at:] + more, 0
                continue
            if not isinstance(value, dict):
                raise ValueError(f"rows are objects, not {type(value).__name__}")
            yield value


def _of_rows(rows: Iterator[Mapping[str, Any]], *, is_text: bool) -> Sample:
    columns: dict[str, list[Any]] = {}
    count, size, whole = 0, 0, True
    for row in rows:
        if count == MAX_ROWS or size > MAX_BYTES:
            whole = False
            break
        for name, value in row.items():
            filled = columns.setdefault(name, [])
            filled.extend([None] * (count - len(filled)))
            filled.append(value)
            size += len(value) if isinstance(value, str) else 8
        count += 1
    for filled in columns.values():
        filled.extend([None] * (count - len(filled)))
    return Sample(columns, {}, count, whole, is_text)
