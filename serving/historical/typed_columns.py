"""A frame's columns as what they must be: times as instants, join keys as declared. [pure]

Not for which columns a frame needs (``entity_frame``), nor for text and JSON, whose values have no
types before ``forms`` reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lib.errors import Invalid
from lib.instants import EARLIEST_US, LATEST_US
from materialization.stores.columns import INSTANT
from serving.historical.plain_columns import first_line, plain
from serving.instant_texts import instants_at_once
from serving.values import EXACT_FLOAT, KEY_FORMS, parse_instant, parse_key, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.values import KeyColumn


class BadEntityFrame(Invalid):
    code = "invalid_entity_frame"


class BadEntityValue(BadEntityFrame):
    code = "invalid_entity_value"


def typed_key(column: pa.ChunkedArray, key: KeyColumn) -> pa.ChunkedArray:
    """Return a join key's column as exactly the values it is declared to have; null stays null.

    A whole number is that int64 from whatever number type it comes (``1.0`` is 1); text never is.

    :raises BadEntityValue, BadKeyValue: naming the column, a value and what would be valid.
    """
    try:
        return _typed(plain(column), key)
    except pa.ArrowException as exc:
        raise BadEntityValue(
            f"{key.what} {key.name!r} is {key.type}: {first_line(exc)}.", column=key.name
        ) from exc


def _typed(column: pa.ChunkedArray, key: KeyColumn) -> pa.ChunkedArray:
    target = key.type.arrow
    if column.type == target:
        return column
    if _has_no_value(column):
        return pa.chunked_array([pa.nulls(len(column), target)])
    convert = _FROM.get(key.type.kind)
    found = convert(column, key) if convert else None
    if found is None:
        raise _wrong_type(column, key)
    return found


def _has_no_value(column: pa.ChunkedArray) -> bool:
    """Tell whether a type says nothing: a frame without rows has what its writer made of none."""
    return bool(column.null_count == len(column))


def instants(column: pa.ChunkedArray, *, name: str) -> pa.ChunkedArray:
    """Return a column of times in any usual form as UTC microseconds.

    :raises BadEntityValue: naming the column, its type or a value, and what would be valid.
    """
    try:
        return _in_range(_as_instants(plain(column), name).cast(INSTANT), name)
    except pa.ArrowException as exc:
        raise BadEntityValue(f"column {name!r}: {first_line(exc)}.", column=name) from exc


def _as_instants(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    kind = column.type
    if _has_no_value(column):
        return pa.chunked_array([pa.nulls(len(column), INSTANT)])
    if pa.types.is_string(kind):
        return _instants_of_text(column, name)
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return _floored(column)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return column.cast(pa.timestamp("us", getattr(kind, "tz", None)))
    raise BadEntityValue(
        f"column {name!r} has type {kind}, which is not a time. Send timestamps (naive ones"
        " are UTC) or ISO 8601 text, as in 2026-01-31T12:00:00Z; numbers do not say their unit.",
        column=name,
    )


def _floored(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Cut nanoseconds to microseconds of UTC, towards the past.

    Not by Arrow's ``floor_temporal``: it asks for local time, which is ambiguous as clocks go back.
    """
    nanos = column.cast(pa.int64())
    micros = pc.divide(nanos, 1000)
    past = pc.less(nanos, pc.multiply(micros, 1000))  # division cuts towards zero
    return pc.subtract(micros, past.cast(pa.int64())).cast(INSTANT)


def _in_range(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    bounds = pc.min_max(column.cast(pa.int64()))
    least, most = bounds["min"].as_py(), bounds["max"].as_py()
    if least is not None and not EARLIEST_US <= least <= most <= LATEST_US:
        raise BadEntityValue(f"column {name!r} has times outside the years 1 to 9999.", column=name)
    return column


def _instants_of_text(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    if (found := instants_at_once(column)) is not None:
        return found
    encoded = pc.dictionary_encode(column).unify_dictionaries()
    texts = encoded.chunk(0).dictionary.to_pylist() if encoded.num_chunks else []
    try:
        parsed = {text: parse_instant(text) for text in texts}
    except (ValueError, OverflowError):
        raise BadEntityValue(
            f"column {name!r}: {shown(_first_not(parse_instant, texts))} is not an instant."
            f" Send {KEY_FORMS['timestamp']}.",
            column=name,
        ) from None
    return pa.chunked_array([pa.array(map(parsed.get, column.to_pylist()), INSTANT)], INSTANT)


def _first_not(parse: Callable[[str], Any], texts: list[str]) -> str:
    """Return the first text that ``parse`` refuses."""
    for text in texts:
        try:
            parse(text)
        except (ValueError, OverflowError):
            return text
    return ""


def _integers(column: pa.ChunkedArray, key: KeyColumn) -> pa.ChunkedArray | None:
    kind = column.type
    if pa.types.is_floating(kind):
        column = column.cast(pa.float64())  # half floats have no arithmetic
        whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), EXACT_FLOAT))
        _refuse_where(pc.invert(whole), column, key)
    elif not (pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        return None
    return column.cast(key.type.arrow)


def _floats(column: pa.ChunkedArray, key: KeyColumn) -> pa.ChunkedArray | None:
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        return None
    if pa.types.is_decimal(kind):
        # By its text: Arrow multiplies digits by a power of ten, of which 9.7 is 9.700000000000001.
        column = column.cast(pa.string())
    numbers = column.cast(pa.float64(), safe=False)
    found = numbers.cast(key.type.arrow)
    beyond = pc.and_(pc.is_inf(found), pc.invert(pc.is_inf(numbers)))
    _refuse_where(beyond, numbers, key)
    return found


def _decimals(column: pa.ChunkedArray, key: KeyColumn) -> pa.ChunkedArray | None:
    kind = column.type
    if pa.types.is_string(kind):
        return _parsed(column, key)
    if pa.types.is_integer(kind):
        return _decimals(column.cast(pa.int64()).cast(pa.decimal128(19, 0)), key)
    return column.cast(key.type.arrow) if pa.types.is_decimal(kind) else None


def _strings(column: pa.ChunkedArray, key: KeyColumn) -> pa.ChunkedArray | None:
    return column if pa.types.is_string(column.type) else None


def _bytes(column: pa.ChunkedArray, key: KeyColumn) -> pa.ChunkedArray | None:
    if pa.types.is_string(column.type):
        return _parsed(column, key)
    return column.cast(pa.binary()) if pa.types.is_fixed_size_binary(column.type) else None


def _times(column: pa.ChunkedArray, key: KeyColumn) -> pa.ChunkedArray | None:
    usual = pa.types.is_timestamp(column.type) or pa.types.is_string(column.type)
    return instants(column, name=key.name) if usual else None


def _dates(column: pa.ChunkedArray, key: KeyColumn) -> pa.ChunkedArray | None:
    if pa.types.is_string(column.type):
        return _parsed(column, key)
    return column.cast(pa.date32()) if pa.types.is_date(column.type) else None


def _parsed(column: pa.ChunkedArray, key: KeyColumn) -> pa.ChunkedArray:
    """Read text as JSON's join keys are read."""
    parsed = [
        parse_key(text, key.type, name=key.name, what=key.what) for text in column.to_pylist()
    ]
    return pa.chunked_array([pa.array(parsed, key.type.arrow)])


_FROM: dict[str, Callable[[pa.ChunkedArray, KeyColumn], pa.ChunkedArray | None]] = {
    "int32": _integers,
    "int64": _integers,
    "float32": _floats,
    "float64": _floats,
    "decimal": _decimals,
    "string": _strings,
    "bytes": _bytes,
    "timestamp": _times,
    "date": _dates,
}


def _refuse_where(mask: pa.ChunkedArray, column: pa.ChunkedArray, key: KeyColumn) -> None:
    row = pc.index(mask, True).as_py()
    if row >= 0:
        raise BadEntityValue(
            f"{key.what} {key.name!r} is {key.type}: {column[row].as_py()} in row {row} is not."
            f" Send {KEY_FORMS[key.type.kind]}; null where there is none.",
            column=key.name,
            row=row,
        )


def _wrong_type(column: pa.ChunkedArray, key: KeyColumn) -> BadEntityValue:
    return BadEntityValue(
        f"{key.what} {key.name!r} is {key.type}; the entity frame has it as {column.type}, as in"
        f" {_sample(column)}. Send {KEY_FORMS[key.type.kind]}, in a column of type {key.type}.",
        column=key.name,
        type=str(column.type),
        expected=str(key.type),
    )


def _sample(column: pa.ChunkedArray) -> str:
    """Return one of the first values as messages show it."""
    try:
        return shown(next((v for v in column.slice(0, 100).to_pylist() if v is not None), None))
    except (pa.ArrowException, ValueError, OverflowError, LookupError):
        return "one that Python cannot hold"  # too far from 1970, or in a zone nobody knows
