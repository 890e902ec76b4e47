# ruff: noqa: S608 - names go through identifier(), types are DuckDB's own
"""Rows of a version made of batches of its source's columns, one batch after the other.

By the SQL that a run has, so that a row becomes the same whichever way it comes. Not for reading a
source: whoever asks has the rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import duckdb
import msgspec
import pyarrow as pa

from lib.errors import AssayError
from lib.sql_text import identifier
from materialization.confined.frames import ARROW, JSON, receive, send
from materialization.errors import (
    EngineLimitExceeded,
    PythonChanged,
    PythonFailed,
    PythonRefused,
    to_report,
    without_example,
)
from materialization.failures import translate
from materialization.sources.json_rows import ROW
from materialization.sources.read_rows import ReadRows
from materialization.sources.reading import open_rows
from materialization.stores.columns import CREATED, EVENT
from materialization.transforms.kinds import relation_of
from materialization.transforms.typed_rows import typed_rows
from materialization.transforms.windows.making import events_made_sql
from registry.spec.carrying import carrying

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.spec.version_spec import VersionSpec

#: What a batch is called, the place of a row in it, and the statement that makes its rows.
_BATCH, _PLACE, _MADE = "assay_batch", "assay_place", "assay_made"
#: Rows that fail, of one batch, before the batch does.
MOST_FAILING = 100
#: A function fails at a batch, and each try is a new interpreter.
_OF_FUNCTION = (PythonChanged, PythonFailed, PythonRefused)
_OF_ROWS = (AssayError, duckdb.Error, pa.ArrowException, OverflowError, ValueError)


class Failing(NamedTuple):
    """Why one row cannot be made, and of which column if that is known."""

    place: int
    column: str
    value: str
    message: str


def transform(
    connection: duckdb.DuckDBPyConnection,
    spec: VersionSpec,
    asked: BinaryIO,
    told: BinaryIO,
) -> None:
    """Answer each batch until there are no more: a frame of Arrow with its rows.

    Before it, where some rows are ``failing``, one of JSON; in its place one with an ``error``.
    """
    work = _Transforming(connection, spec)
    while (frame := receive(asked)) is not None:
        with pa.ipc.open_stream(pa.py_buffer(frame)) as stream:
            batch = stream.read_next_batch()
        try:
            failing, rows = work.rows(batch)
        except _OF_ROWS as exc:
            send(told, JSON, msgspec.json.encode({"error": to_report(work.told(exc))}))
            continue
        if failing:
            send(told, JSON, msgspec.json.encode({"failing": failing}))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        send(told, ARROW, sink.getvalue().to_pybytes())


class _Batches:
    """The batch at hand, as the engine reads it: anew each time that a statement is executed."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return pa.RecordBatchReader.from_batches(
            self.batch.schema, [self.batch]
        ).__arrow_c_stream__(requested_schema)


class _Transforming:
    """One version's rows on one connection; its SQL is written and planned once."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, spec: VersionSpec) -> None:
        """:raises AssayError: its SQL cannot be run on its source's columns."""
        if spec.schema is None:
            raise LookupError(f"{spec.view.name} is not submitted: nobody knows its columns")
        self._connection, self._spec, schema = connection, spec, spec.schema
        self._batches: _Batches | None = None
        types = {
            name: kind
            for name, kind in schema.types.items()
            if spec.columns_read is None or name in spec.columns_read
        }
        # A function sees the row as the source has it, without our column.
        self._place = ROW if spec.view.python is not None else _free(_PLACE, types)
        spec = carrying(spec, self._place)
        nothing = [f"NULL::{kind} AS {identifier(name)}" for name, kind in types.items()]
        nothing.append(f"NULL::BIGINT AS {identifier(self._place)}")
        known = ReadRows(f"(SELECT {', '.join(nothing)} WHERE false)", dict(types), [])
        opened = open_rows(connection, spec, known, schema.format, {})
        columns = [
            f"CAST({identifier(name)} AS {types[name]}) AS {identifier(name)}" for name in types
        ]
        reader = f"(SELECT {', '.join([*columns, identifier(self._place)])} FROM {_BATCH})"
        if spec.stores_events_only:
            made = events_made_sql(
                spec, opened.columns, relation=relation_of(spec, reader), place=self._place
            )
            self._sql = f"{made} ORDER BY {self._place}"
            return
        made = typed_rows(
            spec,
            opened.columns,
            relation=relation_of(spec, reader, [self._place]),
            beside=(self._place,),
        )
        self._sql = f"SELECT {_named(spec, self._place)} FROM ({made}) ORDER BY {self._place}"

    def rows(self, batch: pa.RecordBatch) -> tuple[list[Failing], pa.Table]:
        """Return the rows with their places, the last column, and those that cannot be made.

        :raises _OF_ROWS: all of it fails, or too many of its rows do.
        """
        places = pa.array(range(batch.num_rows), pa.int64())
        batch = batch.append_column(self._place, places)
        failing: list[Failing] = []
        made = list(self._parts(batch, failing))
        return failing, pa.concat_tables(made) if made else self._made(batch.slice(0, 0))

    def told(self, error: Exception) -> AssayError:
        known = self._spec.schema.types if self._spec.schema is not None else {}
        told = translate(error, known=known)
        return without_example(told) if self._spec.has_masks else told

    def _parts(self, batch: pa.RecordBatch, failing: list[Failing]) -> Iterator[pa.Table]:
        """Yield the rows, in halves where some fail, down to those that do."""
        try:
            yield self._made(batch)
        except _OF_ROWS as exc:
            told = self.told(exc)
            if isinstance(told, (EngineLimitExceeded, *_OF_FUNCTION)):
                raise
            if len(failing) == MOST_FAILING:
                raise
            if batch.num_rows > 1:
                half = batch.num_rows // 2
                yield from self._parts(batch.slice(0, half), failing)
                yield from self._parts(batch.slice(half), failing)
                return
            place = batch.column(self._place)[0].as_py()
            column = told.data.get("column") or self._spec.transform.key or "where"
            failing.append(Failing(place, column, told.example, told.message))

    def _made(self, batch: pa.RecordBatch) -> pa.Table:
        if self._batches is None or self._batches.batch.schema != batch.schema:
            self._prepare(batch)
        else:
            self._batches.batch = batch
        table: Any = self._connection.execute(f"EXECUTE {_MADE}").to_arrow_table()
        return table

    def _prepare(self, batch: pa.RecordBatch) -> None:
        """Plan the SQL for batches with this one's columns: planning takes longer than most."""
        self._batches = None
        batches = _Batches(batch)
        self._connection.register(_BATCH, batches)
        self._connection.execute(f"PREPARE {_MADE} AS {self._sql}")
        self._batches = batches


def _named(spec: VersionSpec, place: str) -> str:
    """Return typed rows under the names of the table, the place behind them."""
    return ", ".join(
        [
            *(f"k{i} AS {identifier(key.name)}" for i, key in enumerate(spec.join_keys)),
            f"e AS {EVENT}, c AS {CREATED}",
            *(f"f{i} AS {identifier(feature.name)}" for i, feature in enumerate(spec.features)),
            identifier(place),
        ]
    )


def _free(name: str, taken: dict[str, str]) -> str:
    """Return a name that no column has, however it is written."""
    lower = {each.lower() for each in taken}
    while name in lower:
        name += "_"
    return name
