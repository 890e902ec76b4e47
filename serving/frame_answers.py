"""Training sets as they leave: Feast's JSON, Parquet, Arrow stream, CSV. [pure]

Not for what is in them: ``historical`` says that.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet

from serving.frames import ARROW, CSV, JSON, PARQUET
from serving.values import EPOCH_TEXT, column_ready, json_text_ready

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.historical import TrainingSet

_encode = msgspec.json.Encoder().encode


def write_answer(answer: TrainingSet, media_type: str) -> bytes:
    """Return the training set as ``media_type``, one of ``ANSWERS``."""
    return _WRITERS[media_type](answer)


def _write_json(answer: TrainingSet) -> bytes:
    """Return one result a column, in order: values, statuses, event_timestamps.

    PRESENT, NULL_VALUE (the row taken has null) or NOT_FOUND (no row within the TTL was known).
    """
    metadata: dict[str, Any] = {"feature_names": answer.table.column_names}
    if answer.warnings:
        metadata["warnings"] = answer.warnings
    if any(part.differing is not None for part in answer.parts):
        metadata["explain"] = [part.counts() for part in answer.parts]
    return b'{"metadata":%b,"results":[%b]}' % (_encode(metadata), b",".join(_results(answer)))


def _results(answer: TrainingSet) -> list[bytes]:
    table, entity_columns = answer.table, answer.table.num_columns - len(answer.columns)
    stamps = [_encode(_stamp_texts(part.found)) for part in answer.parts]
    epochs = _encode([EPOCH_TEXT] * table.num_rows)
    results = [
        _result(column_json(column), _statuses(column, None), epochs)
        for column in table.columns[:entity_columns]
    ]
    for place, asked in enumerate(answer.columns, start=entity_columns):
        found = answer.parts[asked.part].found
        values = column_json(table.column(place), is_json=asked.type == "json")
        results.append(_result(values, _statuses(table.column(place), found), stamps[asked.part]))
    return results


def _result(values: list[Any], statuses: pa.ChunkedArray, stamps: bytes) -> bytes:
    return b'{"values":%b,"statuses":%b,"event_timestamps":%b}' % (
        _encode(values),
        _encode(statuses.to_pylist()),
        stamps,
    )


def _statuses(column: pa.ChunkedArray, found: pa.ChunkedArray | None) -> pa.ChunkedArray:
    statuses = pc.if_else(column.is_null(), "NULL_VALUE", "PRESENT")
    return statuses if found is None else pc.if_else(found.is_null(), "NOT_FOUND", statuses)


def _stamp_texts(found: pa.ChunkedArray) -> list[str]:
    return instant_texts(found).fill_null(EPOCH_TEXT).to_pylist()  # type: ignore[no-any-return]


def instant_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return ``values.instant_text`` of a column of instants; naive ones are UTC."""
    utc = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)
    texts = utc.cast(pa.timestamp("us", "UTC")).cast(pa.string())
    return pc.replace_substring(texts, " ", "T", max_replacements=1)


def column_json(column: pa.ChunkedArray, *, is_json: bool = False) -> list[Any]:
    """Return a column's values ready for JSON; in bulk where its type allows."""
    kind = column.type
    if is_json:
        return [json_text_ready(text) for text in column.to_pylist()]
    if pa.types.is_timestamp(kind):
        return instant_texts(column).to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_date(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.string()).to_pylist()  # type: ignore[no-any-return]
    plain = pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind)
    if plain or (pa.types.is_floating(kind) and pc.all(pc.is_finite(column)).as_py() is not False):
        return column.to_pylist()  # type: ignore[no-any-return]
    return column_ready(column.to_pylist())


def _write_parquet(answer: TrainingSet) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(answer.table, sink)
    return sink.getvalue()


def _write_arrow(answer: TrainingSet) -> bytes:
    sink = io.BytesIO()
    with pyarrow.ipc.new_stream(sink, answer.table.schema) as stream:
        stream.write_table(answer.table)
    return sink.getvalue()


def _write_csv(answer: TrainingSet) -> bytes:
    """Return CSV with a header; null is an empty cell, ``""`` the empty string."""
    columns = [_csv_column(column) for column in answer.table.columns]
    sink = io.BytesIO()
    pyarrow.csv.write_csv(pa.table(columns, names=answer.table.column_names), sink)
    return sink.getvalue()


def _csv_column(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column CSV can hold: instants as ISO 8601, bytes as base64, lists as JSON."""
    kind = column.type
    if pa.types.is_timestamp(kind):
        return instant_texts(column)
    if pa.types.is_nested(kind):
        texts = [None if v is None else _encode(v).decode() for v in column_json(column)]
        return pa.chunked_array([pa.array(texts, pa.string())])
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return pa.chunked_array([pa.array(column_json(column), pa.string())])
    return column


_WRITERS: dict[str, Callable[[TrainingSet], bytes]] = {
    JSON: _write_json,
    PARQUET: _write_parquet,
    ARROW: _write_arrow,
    CSV: _write_csv,
}
#: What an answer may be asked for as, best known first.
ANSWERS = tuple(_WRITERS)
