"""Training sets as Feast's JSON: a result a column, written piece by piece. [pure]

Not for the other forms (``answers``) nor for single values (``serving.values``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from registry.spec.value_types import SCALARS
from serving.historical.features import ComputedFeature, JoinedFeature
from serving.historical.plain_columns import decoded
from serving.historical.slices import slices
from serving.values import EPOCH_TEXT, column_ready, json_text_ready

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO

    from serving.historical.training_set import TrainingSet

encode = msgspec.json.Encoder().encode
_TYPE_NAMES = {arrow: name for name, (arrow, _) in SCALARS.items() if name != "json"}


def write_json(answer: TrainingSet, sink: IO[bytes], *, int64_as_text: bool = False) -> None:
    """Write one result a column, in order: values, statuses, event_timestamps.

    ``int64_as_text``: 64-bit whole numbers as text, wherever in a value they stand.
    PRESENT, NULL_VALUE (the row taken has null) or NOT_FOUND (no row within the TTL was known).
    """
    sink.write(b'{"metadata":%b,"results":[' % encode(_metadata(answer)))
    own = answer.table.num_columns - len(answer.columns)
    for place, column in enumerate(answer.table.columns):
        if place:
            sink.write(b",")
        asked = None if place < own else answer.columns[place - own]
        if int64_as_text:
            column = _digits(decoded(column))  # noqa: PLW2901
        _write_result(answer, column, asked, sink)
    sink.write(b"]}")


def _metadata(answer: TrainingSet) -> dict[str, Any]:
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
        metadata["explain"] = [part.counts().to_json() for part in answer.parts]
    return metadata


def _type_name(kind: pa.DataType) -> str | None:
    """Return what definitions call the type of a frame's own column; None where they have none."""
    if pa.types.is_decimal128(kind):
        return f"decimal({kind.precision},{kind.scale})"
    return _TYPE_NAMES.get(kind)


def _write_result(
    answer: TrainingSet,
    column: pa.ChunkedArray,
    asked: JoinedFeature | ComputedFeature | None,
    sink: IO[bytes],
) -> None:
    """Write a column; ``asked`` is the feature it has, None where it is the frame's own.

    What is computed is there for each row, whichever of its inputs are: it is a value or null.
    """
    found = None if asked is None else _found(answer, asked)
    pieces = [column, found] if found is not None and isinstance(asked, JoinedFeature) else [column]
    is_json = asked is not None and asked.type == "json"
    sink.write(b'{"values":[')
    _write_joined((_items(decoded(each[0]), is_json=is_json) for each in _cut_alike(pieces)), sink)
    sink.write(b'],"statuses":[')
    _write_joined((_statuses(*each) for each in _cut_alike(pieces)), sink)
    sink.write(b'],"event_timestamps":[')
    stamped = _cut_alike([column if found is None else found])
    _write_joined((_stamps(each[0], is_stamp=found is not None) for each in stamped), sink)
    sink.write(b"]}")


def _found(answer: TrainingSet, asked: JoinedFeature | ComputedFeature) -> pa.ChunkedArray | None:
    """Return the stamp of the row that each value is of: the latest one, where it is of several."""
    if isinstance(asked, JoinedFeature):
        return answer.parts[asked.part].found
    stamps = [answer.parts[part].found for part in dict.fromkeys(part for part, _ in asked.stored)]
    return pc.max_element_wise(*stamps) if len(stamps) > 1 else next(iter(stamps), None)


def _cut_alike(columns: list[pa.ChunkedArray]) -> Iterator[list[pa.ChunkedArray]]:
    """Yield pieces of columns of one length that hold the same rows."""
    table = pa.table(columns, names=[str(place) for place in range(len(columns))])
    for each in slices(table):
        yield each.columns


def _write_joined(pieces: Iterable[bytes], sink: IO[bytes]) -> None:
    is_first = True
    for piece in pieces:
        sink.write(piece if is_first else b"," + piece)
        is_first = False


def _items(column: pa.ChunkedArray, *, is_json: bool) -> bytes:
    """Return a column's values as JSON with commas between; in bulk where its type allows."""
    kind = column.type
    if not is_json:
        if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
            return _joined(column.cast(pa.string()).fill_null("null"))
        if pa.types.is_timestamp(kind):
            return _quoted(instant_texts(column))
        if pa.types.is_date(kind):
            return _quoted(time_texts(column))
        if pa.types.is_decimal(kind):
            return _quoted(column.cast(pa.string()))
    return encode(column_json(column, is_json=is_json))[1:-1]


def _statuses(column: pa.ChunkedArray, found: pa.ChunkedArray | None = None) -> bytes:
    statuses = pc.if_else(column.is_null(), "NULL_VALUE", "PRESENT")
    if found is not None:
        statuses = pc.if_else(found.is_null(), "NOT_FOUND", statuses)
    return _quoted(statuses)


def _stamps(column: pa.ChunkedArray, *, is_stamp: bool) -> bytes:
    if not is_stamp:
        return b",".join([b'"%b"' % EPOCH_TEXT.encode()] * len(column))
    return _quoted(instant_texts(column).fill_null(EPOCH_TEXT))


def _quoted(texts: pa.ChunkedArray) -> bytes:
    """Return texts without any sign that JSON escapes, between quotes; null stays null."""
    if not len(texts):
        return b""
    if not texts.null_count:
        return b'"%b"' % _joined(texts, '","')
    return _joined(pc.binary_join_element_wise('"', texts, '"', "").fill_null("null"))


def _joined(texts: pa.ChunkedArray, between: str = ",") -> bytes:
    whole = texts.combine_chunks()
    row = pa.ListArray.from_arrays([0, len(whole)], whole)
    return bytes(pc.binary_join(row, between)[0].as_buffer())


def column_json(column: pa.ChunkedArray, *, is_json: bool = False) -> list[Any]:
    """Return a column's values ready for JSON; in bulk where its type allows."""
    kind = column.type
    if is_json:
        return [json_text_ready(text) for text in column.to_pylist()]
    if pa.types.is_timestamp(kind):
        return instant_texts(column).to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_date(kind):
        return time_texts(column).to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_decimal(kind):
        return column.cast(pa.string()).to_pylist()  # type: ignore[no-any-return]
    ready = pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind)
    if ready or (pa.types.is_floating(kind) and pc.all(pc.is_finite(column)).as_py() is not False):
        return column.to_pylist()  # type: ignore[no-any-return]
    return column_ready(cut(column, _python_type(kind)).to_pylist())


def instant_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return ``values.instant_text`` of a column of instants; naive ones are UTC.

    :raises OverflowError: an instant is too far away to be written.
    """
    utc = cut(column, pa.timestamp("us", getattr(column.type, "tz", None)))
    # Without a zone: looking one up takes six times as long, also that of UTC.
    naive = utc.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
    texts = pc.replace_substring(time_texts(naive), " ", "T", max_replacements=1)
    return pc.binary_join_element_wise(texts, "Z", "")


def time_texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of dates or instants as text."""
    texts = column.cast(pa.string())
    if pc.any(pc.starts_with(texts, "<")).as_py():  # Arrow's "<value out of range: …>"
        raise OverflowError("a time is beyond the years -32767 to 32767")
    return texts


def _digits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = _with_digits(column.type)
    return column if kind == column.type else column.cast(kind)


def _with_digits(kind: pa.DataType) -> pa.DataType:
    """Return the type with text in place of 64-bit whole numbers.

    :raises pa.ArrowNotImplementedError: they are within what Arrow does not cast.
    """
    if kind in (pa.int64(), pa.uint64()):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_field_with_digits(kind.value_field))
    if pa.types.is_large_list(kind):
        return pa.large_list(_field_with_digits(kind.value_field))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_field_with_digits(kind.value_field), kind.list_size)
    if pa.types.is_map(kind):
        return pa.map_(_field_with_digits(kind.key_field), _field_with_digits(kind.item_field))
    if pa.types.is_struct(kind):
        return pa.struct([_field_with_digits(field) for field in kind])
    return _unpacked_with_digits(kind)


def _field_with_digits(field: pa.Field) -> pa.Field:
    return field.with_type(_with_digits(field.type))


def _unpacked_with_digits(kind: pa.DataType) -> pa.DataType:
    """Return the same of what is packed; it stays as it is where no such number is in it."""
    if isinstance(kind, pa.BaseExtensionType):
        inner = [kind.storage_type]
    elif pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        inner = [kind.value_type]
    else:
        inner = [kind.field(place).type for place in range(kind.num_fields)]
    found = [_with_digits(each) for each in inner]
    if found == inner:
        return kind
    if isinstance(kind, pa.BaseExtensionType) or pa.types.is_dictionary(kind):
        return found[0]
    # Unions and runs have no cast; that of list views loses the last rows (Arrow 26).
    raise pa.ArrowNotImplementedError(f"int64_as_text writes no whole numbers within {kind}")


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


def cut(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Cast times, cutting finer digits; those that do not fit are an error, never another time."""
    if column.type == kind:
        return column
    return column.cast(options=pc.CastOptions(kind, allow_time_truncate=True))
