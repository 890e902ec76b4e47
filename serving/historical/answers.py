"""Training sets as they leave: Feast's JSON, Parquet, Arrow stream, CSV. [pure]

Not for what is in them: ``training_set`` says that.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet

from lib.errors import Invalid
from lib.media_types import ARROW, CSV, JSON, PARQUET
from serving.historical.answer_json import (
    column_json,
    encode,
    instant_texts,
    time_texts,
    write_json,
)
from serving.historical.plain_columns import decoded, first_line, plain
from serving.historical.slices import rows_at_a_time, slices

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.historical.training_set import TrainingSet

#: What writers say of values they cannot hold: Arrow's errors, and Python's of dates out of range
#: (overflow), zones nobody knows (lookup) and JSON nested too deep (recursion).
_UNWRITABLE = (pa.ArrowException, ValueError, OverflowError, LookupError, RecursionError)


class UnwritableColumn(Invalid):
    code = "unwritable_column"


def write_answer(
    answer: TrainingSet, media_type: str, sink: IO[bytes], *, int64_as_text: bool = False
) -> None:
    """Write the training set as ``media_type``, one of ``ANSWERS``, piece by piece.

    ``int64_as_text`` is for JSON: 64-bit whole numbers become text, wherever they stand.

    :raises UnwritableColumn: a column of the entity frame has no form there; names it and the media
        types that have one. What was written is worthless.
    """
    try:
        _write(answer, media_type, sink, int64_as_text=int64_as_text)
    except _UNWRITABLE:
        _refuse_column(answer, media_type, int64_as_text=int64_as_text)
        raise  # every column can be written alone: the fault is ours


def _write(answer: TrainingSet, media_type: str, sink: IO[bytes], *, int64_as_text: bool) -> None:
    if media_type == JSON:
        write_json(answer, sink, int64_as_text=int64_as_text)
    else:
        _WRITERS[media_type](answer, sink)


def _refuse_column(answer: TrainingSet, media_type: str, *, int64_as_text: bool) -> None:
    """Raise for the first column that cannot be written alone; return if each can."""
    for field in answer.table.schema:
        alone = answer._replace(table=answer.table.select([field.name]), columns=(), parts=())
        reason = _refusal(alone, media_type, int64_as_text=int64_as_text)
        if reason is not None:
            rest = [one for one in ANSWERS if one != media_type]
            others = [one for one in rest if _refusal(alone, one) is None]
            raise UnwritableColumn(
                f"column {field.name!r} of type {field.type} cannot be written as {media_type}:"
                f" {reason}. Ask for {' or '.join(others)}, or leave the column out.",
                column=field.name,
                valid=others,
            )


def _refusal(answer: TrainingSet, media_type: str, *, int64_as_text: bool = False) -> str | None:
    try:
        _write(answer, media_type, pa.MockOutputStream(), int64_as_text=int64_as_text)
    except _UNWRITABLE as exc:
        return first_line(exc)
    return None


def _write_parquet(answer: TrainingSet, sink: IO[bytes]) -> None:
    schema = for_parquet(answer.table.slice(0, 0)).schema
    with pyarrow.parquet.ParquetWriter(sink, schema) as writer:
        for each in slices(answer.table):
            writer.write_table(for_parquet(each))


def for_parquet(table: pa.Table) -> pa.Table:
    """Return a table without the encodings that Parquet does not take."""
    for place, field in enumerate(table.schema):
        if _is_decodedfor_parquet(field.type):
            table = table.set_column(place, field.name, decoded(table.column(place)))
    return table


def _is_decodedfor_parquet(kind: pa.DataType) -> bool:
    """Return whether Parquet takes the values only without their encoding."""
    if pa.types.is_dictionary(kind):
        of = kind.value_type
        return bool(pa.types.is_string_view(of) or pa.types.is_nested(of))
    return bool(pa.types.is_run_end_encoded(kind))


def _write_arrow(answer: TrainingSet, sink: IO[bytes]) -> None:
    with pyarrow.ipc.new_stream(sink, answer.table.schema) as stream:
        stream.write_table(answer.table, max_chunksize=rows_at_a_time(answer.table))


def _write_csv(answer: TrainingSet, sink: IO[bytes]) -> None:
    """Write CSV with a header; null is an empty cell, ``""`` the empty string."""
    schema = _for_csv(answer.table.slice(0, 0)).schema
    with pyarrow.csv.CSVWriter(sink, schema) as writer:
        for each in slices(answer.table):
            writer.write_table(_for_csv(each))


def _for_csv(table: pa.Table) -> pa.Table:
    return pa.table([_csv_column(column) for column in table.columns], names=table.column_names)


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
        time_texts(column)  # to be refused; Arrow writes the same text
    if pa.types.is_nested(kind) or pa.types.is_interval(kind):
        return _texts([None if v is None else encode(v).decode() for v in column_json(column)])
    if pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _texts(column_json(column))
    return column


def _texts(values: list[str | None]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(values, pa.string())])


_WRITERS: dict[str, Callable[[TrainingSet, IO[bytes]], None]] = {
    JSON: write_json,
    PARQUET: _write_parquet,
    ARROW: _write_arrow,
    CSV: _write_csv,
}
#: What an answer may be asked for as, best known first.
ANSWERS = tuple(_WRITERS)
