# ruff: noqa: S608 - names and texts are quoted by sql_text
"""JSON objects as rows of text: each value as it is written, none guessed, none rewritten.

Not for types: what is declared casts the text. Engines read numbers as floats, texts that look like
instants as such, and objects as a struct that has every key any of them had.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import duckdb
import msgspec
import pyarrow as pa

from lib.sql_text import identifier, text
from materialization.errors import SourceUnreadable
from materialization.sources.file_faults import AGAIN, DAMAGED, text_fault
from materialization.sources.layouts import open_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from materialization.sources.inputs import SourceFiles
    from registry.spec.value_types import ValueType

#: One object, as DuckDB has it as well.
MAX_OBJECT_BYTES = 16_777_216
_BATCH_ROWS = 50_000
_TABLE = "json_rows"

_Object = dict[str, msgspec.Raw]
_decode = msgspec.json.Decoder(_Object).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Shape(NamedTuple):
    """How a value is written down: ``depth`` lists of texts, or of JSON where ``raw``."""

    depth: int
    raw: bool

    @property
    def arrow(self) -> pa.DataType:
        kind = pa.string()
        for _ in range(self.depth):
            kind = pa.list_(kind)
        return kind


TEXT = Shape(0, raw=False)


def shape_of(declared: ValueType) -> Shape:
    depth = 0
    while declared.kind in ("list", "vector"):
        depth += 1
        if declared.item is None:
            return Shape(depth, raw=False)
        declared = declared.item
    return Shape(depth, raw=declared.kind == "json")


class JsonRows(NamedTuple):
    """``relation``: the table of the rows; ``names``: the keys of any object of each file."""

    relation: str
    names: dict[str, set[str]]

    def all_names(self, source: SourceFiles) -> set[str]:
        """Return the keys of all rows, and those of the folders they lie in; "" is no name."""
        folders = {key for said in source.partitions for key, _ in said}
        return folders.union(*self.names.values()) - {""}


def store_json(
    connection: duckdb.DuckDBPyConnection,
    source: SourceFiles,
    columns: Mapping[str, Shape],
) -> JsonRows:
    """Write the rows of JSON files into a temporary table of the connection, in batches.

    :raises SourceUnreadable: naming file and line: what is no object, or says one key twice.
    """
    schema = pa.schema(
        [(name, shape.arrow) for name, shape in columns.items()] + [(ROW, pa.int64())]
    )
    _insert(connection, pa.Table.from_batches([], schema), first=True)
    names: dict[str, set[str]] = {}
    folders = source.partitions or ((),) * len(source.paths)
    # A statement for each of many small files would cost more than they do.
    waiting: list[pa.RecordBatch] = []
    count = 0
    for path, said in zip(source.paths, folders, strict=True):
        names[path] = set()
        reader = _Reader(path, source.format, columns, dict(said), names[path])
        for batch in reader.batches(connection, schema):
            waiting.append(batch)
            count += batch.num_rows
            if count >= _BATCH_ROWS:
                _insert(connection, pa.Table.from_batches(waiting))
                waiting, count = [], 0
    _insert(connection, pa.Table.from_batches(waiting, schema))
    return JsonRows(_TABLE, names)


def placed_values(
    connection: duckdb.DuckDBPyConnection,
    path: str,
    format: str,  # noqa: A002 - the word the definitions use
    column: str,
) -> Iterator[tuple[str, str | None]]:
    """Yield where each object of a file stands, and the text of one of its columns."""
    for place, (value, _) in _Reader(path, format, {column: TEXT}, {}, set()).rows(connection):
        yield place, value


#: A hash of all that a row has, whatever of it the view reads.
ROW = "__whole_row"


def _insert(connection: duckdb.DuckDBPyConnection, rows: pa.Table, *, first: bool = False) -> None:
    connection.register("given", rows)
    words = f"CREATE OR REPLACE TEMP TABLE {_TABLE} AS" if first else f"INSERT INTO {_TABLE}"
    connection.execute(f"{words} SELECT * FROM given")
    connection.unregister("given")


class _Reader:
    """One file's objects as batches of text; the keys they have are added to ``names``."""

    def __init__(
        self,
        path: str,
        format: str,  # noqa: A002 - the word the definitions use
        columns: Mapping[str, Shape],
        folders: dict[str, str | None],
        names: set[str],
    ) -> None:
        self._path, self._format = path, format
        self._columns, self._folders, self._names = columns, folders, names
        self._keys = [(name, f'"{name}"') for name in columns]

    def batches(
        self, connection: duckdb.DuckDBPyConnection, schema: pa.Schema
    ) -> Iterator[pa.RecordBatch]:
        rows: list[list[Any]] = []
        for _, row in self.rows(connection):
            rows.append(row)
            if len(rows) == _BATCH_ROWS:
                yield _batch(rows, schema)
                rows = []
        if rows:
            yield _batch(rows, schema)

    def rows(self, connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, list[Any]]]:
        """Yield where each object stands and what its columns have."""
        objects = self._lines() if self._format == "jsonl" else self._objects(connection)
        for place, written in objects:
            yield place, self._row(place, written)

    def _lines(self) -> Iterator[tuple[str, str]]:
        number = 0
        try:
            with open_text(self._path) as stream:
                while line := stream.readline(MAX_OBJECT_BYTES + 1):
                    number += 1
                    if len(line) > MAX_OBJECT_BYTES:
                        self._refuse(f"line {number}", f"has more than {MAX_OBJECT_BYTES} bytes")
                    line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                    if line.strip():
                        yield f"line {number}", line.decode()
        except UnicodeDecodeError:
            self._refuse(f"line {number}", "has bytes that are not UTF-8")
        except DAMAGED as exc:
            said = f"{self._path} cannot be read as its name says: {str(exc)[:200]}."
            raise text_fault(self._path, exc) or SourceUnreadable(said) from exc

    def _objects(self, connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, str]]:
        """Yield the objects of an array, or those that follow each other, as they are written."""
        options = f"format = 'auto', maximum_object_size = {MAX_OBJECT_BYTES}"
        query = f"SELECT json FROM read_json_objects({text(self._path)}, {options})"
        number = 0
        try:
            for batch in connection.cursor().sql(query).to_arrow_reader(_BATCH_ROWS):
                for value in batch.column(0):
                    number += 1
                    yield f"object {number}", str(value.as_py())
        except duckdb.Error as exc:
            raise text_fault(self._path, exc) or exc from exc

    def _row(self, place: str, written: str) -> list[Any]:
        try:
            values: Mapping[str, Any] = _decode(written)
        except msgspec.DecodeError:
            values = self._as_python_writes(place, written)
        self._names.update(values)
        if "\\" in written or any(written.count(key) > 1 for _, key in self._keys):
            self._refuse_twice(place, written)
        whole = hash((written, *self._folders.items()))
        return [*(self._column(place, name, values) for name in self._columns), whole]

    def _column(self, place: str, name: str, values: Mapping[str, Any]) -> Any:
        if name not in values:
            return self._folders.get(name)
        try:
            return self._value(place, bytes(values[name]), self._columns[name])
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            self._refuse(place, f"{name!r} cannot be read: {exc}", whose="its")

    def _value(self, place: str, raw: bytes, shape: Shape) -> Any:
        if raw == b"null":
            return None
        if shape.depth:
            inside = Shape(shape.depth - 1, shape.raw)
            return [self._value(place, bytes(item), inside) for item in _decode_list(raw)]
        if raw[:1] == b'"' and not shape.raw:
            return _decode_text(raw)
        written = raw.decode()
        if raw[:1] in b"{[":
            self._refuse_twice(place, written)
        return written

    def _as_python_writes(self, place: str, written: str) -> dict[str, bytes]:
        """Read an object with NaN or Infinity, which are not JSON and are often written."""
        try:
            found = json.loads(written, parse_int=_Number, parse_float=_Number)
        except json.JSONDecodeError as exc:
            why = f"{exc.msg[:1].lower()}{exc.msg[1:]}, at its character {exc.pos + 1}"
            is_cut = exc.msg.startswith("Unterminated") or exc.pos >= len(written.rstrip())
            cut = f". Where that is its last one, it is cut off. {AGAIN}" if is_cut else ""
            self._refuse(place, f"is no JSON object: {why}{cut}")
        except (ValueError, RecursionError) as exc:
            self._refuse(place, f"is no JSON object: {str(exc)[:200]}")
        if not isinstance(found, dict):
            self._refuse(place, "is no JSON object")
        return {
            key: (value if isinstance(value, _Number) else json.dumps(value)).encode()
            for key, value in found.items()
        }

    def _refuse_twice(self, place: str, written: str) -> None:
        def once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
            found = dict(pairs)
            if len(found) < len(pairs):
                keys = [key for key, _ in pairs]
                twice = next(key for key in found if keys.count(key) > 1)
                self._refuse(place, f"has the key {twice!r} twice; which one counts is not known")
            return found

        try:
            json.loads(written, object_pairs_hook=once, parse_int=str, parse_float=str)
        except (ValueError, RecursionError) as exc:
            self._refuse(place, f"cannot be read: {str(exc)[:200]}")

    def _refuse(self, place: str, why: str, *, whose: str = "it") -> NoReturn:
        raise SourceUnreadable(f"{self._path}, {place}: {whose} {why.rstrip('.')}.")


class _Number(str):
    """A number as it is written."""

    __slots__ = ()


def _batch(rows: list[list[Any]], schema: pa.Schema) -> pa.RecordBatch:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def json_relation(
    rows: JsonRows, columns: Mapping[str, Shape], unread: Sequence[str], *, whole: bool
) -> str:
    """Return the sub-select of the rows; ``unread`` keys stand in it, empty, to be told of.

    Where they are asked for ``whole``, ``ROW`` tells those apart that differ in an unread key.
    """
    chosen = [identifier(name) for name in columns]
    chosen += [f"NULL AS {identifier(name)}" for name in unread]
    chosen += [ROW] if whole or not chosen else []
    return f"(SELECT {', '.join(chosen)} FROM {rows.relation})"
