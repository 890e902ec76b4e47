"""Training sets as they leave: Feast's JSON, Parquet, Arrow stream, CSV. [pure]

Not for what is in them: ``training_set`` says that.
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

from lib.errors import Invalid
from registry.spec.value_types import SCALARS
from serving.historical.media_types import ARROW, CSV, JSON, PARQUET
from serving.historical.plain_columns import decoded, first_line, plain
from serving.values import EPOCH_TEXT, column_ready, json_text_ready

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.historical.training_set import TrainingSet

_encode = msgspec.json.Encoder().encode
#: What writers say of values they cannot hold: Arrow's errors, and Python's of dates out of range
#: (overflow), zones nobody knows (lookup) and JSON nested too deep (recursion).
_UNWRITABLE = (pa.ArrowException, ValueError, OverflowError, LookupError, RecursionError)


_TYPE_NAMES = {arrow: name for name, (arrow, _) in SCALARS.items() if name != "json"}


class UnwritableColumn(Invalid):
    code = "unwritable_column"


def write_answer(answer: TrainingSet, media_type: str) -> bytes:
    """Return the training set as ``media_type``, one of ``ANSWERS``.

    :raises UnwritableColumn: a column of the entity frame has no form there; names it and the media
        types that have one.
    """
    try:
        return _WRITERS[media_type](answer)
    except _UNWRITABLE:
        _refuse_column(answer, media_type)
        raise  # every column can be written alone: the fault is ours


def _refuse_column(answer: TrainingSet, media_type: str) -> None:
    """Raise for the first column that cannot be written alone; return if each can."""
    for field in answer.table.schema:
        alone = answer._replace(table=answer.table.select([field.name]), columns=(), parts=())
        if (reason := _refusal(alone, media_type)) is not None:
            others = [one for one in ANSWERS if _refusal(alone, one) is None]
            raise UnwritableColumn(
                f"column {field.name!r} of type {field.type} cannot be written as {media_type}:"
                f" {reason}. Ask for {' or '.join(others)}, or leave the column out.",
                column=field.name,
                valid=others,
            )


def _refusal(answer: TrainingSet, media_type: str) -> str | None:
    try:
        _WRITERS[media_type](answer)
    except _UNWRITABLE as exc:
        return first_line(exc)
    return None


def _write_json(answer: TrainingSet) -> bytes:
    """Return one result a column, in order: values, statuses, event_timestamps.

    PRESENT, NULL_VALUE (the row taken has null) or NOT_FOUND (no row within the TTL was known).
    """
    own = answer.table.num_columns - len(answer.columns)
    types = [_type_name(kind) for kind in answer.table.schema.types[:own]]
    metadata: dict[str, Any] = {
        "feature_names": answer.table.column_names,
        "value_types": [*types, *(column.type for column in answer.columns)],
    }
    if answer.warnings:
        metadata["warnings"] = answer.warnings
    if answer.next is not None:
        metadata["next"] = answer.next
    if any(part.differing is not None for part in answer.parts):
        metadata["explain"] = [part.counts() for part in answer.parts]
    return b'{"metadata":%b,"results":[%b]}' % (_encode(metadata), b",".join(_results(answer)))


def _type_name(kind: pa.DataType) -> str | None:
    """Return what definitions call the type of a frame's own column; None where they have none."""
    if pa.types.is_decimal128(kind):
        return f"decimal({kind.precision},{kind.scale})"
    return _TYPE_NAMES.get(kind)


def _results(answer: TrainingSet) -> list[bytes]:
    table, entity_columns = answer.table, answer.table.num_columns - len(answer.columns)
    stamps = [_encode(_stamp_texts(part.found)) for part in answer.parts]
    epochs = _encode([EPOCH_TEXT] * table.num_rows)
    results = [
        _result(column_json(column), _statuses(column, None), epochs)
        for column in map(decoded, table.columns[:entity_columns])
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
    """Return ``values.instant_text`` of a column of instants; naive ones are UTC.

    :raises OverflowError: an instant is too far away to be written.
    """
    utc = _cut(column, pa.timestamp("us", getattr(column.type, "tz", None)))
    texts = _time_texts(utc.cast(pa.timestamp("us", "UTC")))
    return pc.replace_substring(texts, " ", "T", max_replacements=1)


def _time_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of dates or instants as text."""
    texts = column.cast(pa.string())
    if pc.any(pc.starts_with(texts, "<")).as_py():  # Arrow's "<value out of range: …>"
        raise OverflowError("a time is beyond the years -32767 to 32767")
    return texts


def column_json(column: pa.ChunkedArray, *, is_json: bool = False) -> list[Any]:
    """Return a column's values ready for JSON; in bulk where its type allows."""
    kind = column.type
    if is_json:
        return [json_text_ready(text) for text in column.to_pylist()]
    if pa.types.is_timestamp(kind):
        return instant_texts(column).to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_date(kind):
        return _time_texts(column).to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_decimal(kind):
        return column.cast(pa.string()).to_pylist()  # type: ignore[no-any-return]
    ready = pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind)
    if ready or (pa.types.is_floating(kind) and pc.all(pc.is_finite(column)).as_py() is not False):
        return column.to_pylist()  # type: ignore[no-any-return]
    return column_ready(_cut(column, _python_type(kind)).to_pylist())


def _python_type(kind: pa.DataType) -> pa.DataType:
    """Return the type with times as Python has them: no nanoseconds, no zones it may not know."""
    if pa.types.is_timestamp(kind):
        return pa.timestamp("us", "UTC" if kind.tz else None)
    if pa.types.is_duration(kind):
        return pa.duration("us")
    if pa.types.is_time64(kind):
        return pa.time64("us")
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_python_type(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_python_type(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_python_type(field.type)) for field in kind])
    return kind


def _cut(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Cast times, cutting finer digits; those that do not fit are an error, never another time."""
    if column.type == kind:
        return column
    return column.cast(options=pc.CastOptions(kind, allow_time_truncate=True))


def _write_parquet(answer: TrainingSet) -> bytes:
    table, sink = answer.table, io.BytesIO()
    for place, field in enumerate(table.schema):
        if _is_decoded_for_parquet(field.type):
            table = table.set_column(place, field.name, decoded(table.column(place)))
    pyarrow.parquet.write_table(table, sink)
    return sink.getvalue()


def _is_decoded_for_parquet(kind: pa.DataType) -> bool:
    """Return whether Parquet takes the values only without their encoding."""
    if pa.types.is_dictionary(kind):
        of = kind.value_type
        return bool(pa.types.is_string_view(of) or pa.types.is_nested(of))
    return bool(pa.types.is_run_end_encoded(kind))


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
    column = decoded(column)
    if isinstance(column.type, pa.UuidType):
        return _texts(column_json(column))
    if isinstance(column.type, pa.Bool8Type):
        return column.cast(pa.bool_())
    column = plain(column)
    kind = column.type
    if pa.types.is_timestamp(kind):
        return instant_texts(column)
    if pa.types.is_date(kind):
        _time_texts(column)  # to be refused; Arrow writes the same text
    if pa.types.is_nested(kind) or pa.types.is_interval(kind):
        return _texts([None if v is None else _encode(v).decode() for v in column_json(column)])
    if pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _texts(column_json(column))
    return column


def _texts(values: list[str | None]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, pa.string())])


_WRITERS: dict[str, Callable[[TrainingSet], bytes]] = {
    JSON: _write_json,
    PARQUET: _write_parquet,
    ARROW: _write_arrow,
    CSV: _write_csv,
}
#: What an answer may be asked for as, best known first.
ANSWERS = tuple(_WRITERS)
