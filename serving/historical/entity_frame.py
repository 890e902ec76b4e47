"""What an entity frame must have: times as instants, join keys as their declared types. [pure]

Not for reading bytes (``uploads``) and not for the join.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from lib.errors import SHOWN, Invalid, TooLarge, nearest
from serving.historical.plain_columns import first_line, plain
from serving.values import EXACT_FLOAT, KEY_FORMS, parse_instant, parse_key, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from registry.spec.model import JoinKey
    from registry.spec.value_types import ValueType

EVENT_TIMESTAMP = "event_timestamp"
INSTANT = pa.timestamp("us", tz="UTC")
#: Years 1 to 9999, what ISO 8601 and every client can write; microseconds since 1970.
EARLIEST_US, LATEST_US = -62_135_596_800_000_000, 253_402_300_799_999_999


class BadEntityFrame(Invalid):
    code = "invalid_entity_frame"


class MissingEntityColumn(BadEntityFrame):
    code = "missing_entity_column"


class BadEntityValue(BadEntityFrame):
    code = "invalid_entity_value"


class TooManyRows(TooLarge):
    code = "too_many_rows"


def check_rows(count: int, *, most: int) -> None:
    """Return if an entity frame of ``count`` rows may be answered.

    :raises TooManyRows: naming the limit, its setting and what to do.
    """
    if count > most:
        raise TooManyRows(
            f"the entity frame has {count} rows; one question takes at most {most}"
            " (HISTORICAL_MAX_ROWS). Split the frame, or set a higher limit on the server.",
            limit=most,
            setting="HISTORICAL_MAX_ROWS",
        )


class EntityFrame(NamedTuple):
    """A frame that is what it must be; ``keys`` has each join key as a view declares it.

    Two views may declare one name with different types: then it is there in each of them.
    """

    table: pa.Table
    keys: dict[tuple[str, ValueType], pa.ChunkedArray]


def typed_frame(frame: pa.Table, keys: Sequence[tuple[JoinKey, str]]) -> EntityFrame:
    """Return the frame with its times as instants, and the join keys typed as declared, each once.

    ``keys``: each join key that is asked for, with the view that needs it.

    :raises BadEntityFrame: a column is missing, or its values are not what they must be.
    """
    needed = {key.name: view for key, view in reversed(keys)}
    require_keys(frame, {key.name: needed[key.name] for key, _ in keys})
    table = with_instants(frame)
    distinct = {(key.name, key.value_type): key for key, _ in keys}
    return EntityFrame(table, {kind: key_column(table, key) for kind, key in distinct.items()})


def with_instants(frame: pa.Table) -> pa.Table:
    """Return the frame with ``event_timestamp`` as UTC instants in microseconds, the rest as it is.

    Naive times are UTC, zoned ones are converted, text is read as ISO 8601, a date is its midnight;
    digits finer than a microsecond are cut towards the past.

    :raises BadEntityFrame: the column is missing, null somewhere, or holds no instants.
    """
    _check_names(frame)
    if EVENT_TIMESTAMP not in frame.column_names:
        raise MissingEntityColumn(
            f"the entity frame has no column {EVENT_TIMESTAMP!r}, the instant each row asks about."
            f" Its columns: {', '.join(frame.column_names)}.",
            column=EVENT_TIMESTAMP,
        )
    index = frame.column_names.index(EVENT_TIMESTAMP)
    column = instants(frame.column(index), name=EVENT_TIMESTAMP)
    if column.null_count:
        row = pc.index(column.is_null(), True).as_py()
        raise BadEntityValue(
            f"{EVENT_TIMESTAMP} is null in row {row}, which then asks about no instant."
            " Fill it or leave the row out.",
            column=EVENT_TIMESTAMP,
            row=row,
        )
    return frame.set_column(index, EVENT_TIMESTAMP, column)


def require_keys(frame: pa.Table, keys: Mapping[str, str]) -> None:
    """Return if the frame has a column for each of ``keys``, name → view that needs it.

    :raises MissingEntityColumn: naming the view, and the column that may be meant: none in use.
    """
    names = set(frame.column_names)
    for name, view in keys.items():
        if name not in names:
            near = nearest(name, names - keys.keys() - {EVENT_TIMESTAMP})
            its = ", ".join(frame.column_names[:SHOWN])
            hint = f" Did you mean {near!r}?" if near else f" Its columns: {its}."
            raise MissingEntityColumn(
                f"the entity frame has no column {name!r}, a join key of {view}.{hint}",
                column=name,
                feature_view=view,
            )


def key_column(frame: pa.Table, key: JoinKey) -> pa.ChunkedArray:
    """Return a join key's column as exactly the values it is declared to have; null stays null.

    A whole number is that int64 from whatever number type it comes (``1.0`` is 1); text never is.

    :raises BadEntityValue: naming the column, a value and what would be valid.
    """
    try:
        return _typed(plain(frame[key.name]), key)
    except pa.ArrowException as exc:
        raise BadEntityValue(
            f"join key {key.name!r} is {key.type}: {first_line(exc)}.", column=key.name
        ) from exc


def _typed(column: pa.ChunkedArray, key: JoinKey) -> pa.ChunkedArray:
    target = key.value_type.arrow
    if column.type in (target, pa.null()):
        return column.cast(target)
    convert = _FROM.get(key.value_type.kind)
    found = convert(column, key) if convert else None
    if found is None:
        raise _wrong_type(column, key)
    return found


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
    if pa.types.is_string(kind):
        return _instants_of_text(column, name)
    if pa.types.is_timestamp(kind) and kind.unit == "ns":
        return _floored(column)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_null(kind):
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
    for kind in (INSTANT, pa.timestamp("us")):  # all zoned, or all naive: Arrow reads them at once
        try:
            return column.cast(kind)
        except pa.ArrowInvalid:
            continue
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


def _integers(column: pa.ChunkedArray, key: JoinKey) -> pa.ChunkedArray | None:
    kind = column.type
    if pa.types.is_floating(kind):
        column = column.cast(pa.float64())  # half floats have no arithmetic
        whole = pc.and_(pc.equal(pc.floor(column), column), pc.less(pc.abs(column), EXACT_FLOAT))
        _refuse_where(pc.invert(whole), column, key)
    elif not (pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        return None
    return column.cast(key.value_type.arrow)


def _strings(column: pa.ChunkedArray, key: JoinKey) -> pa.ChunkedArray | None:
    return column if pa.types.is_string(column.type) else None


def _bytes(column: pa.ChunkedArray, key: JoinKey) -> pa.ChunkedArray | None:
    if pa.types.is_string(column.type):
        return _parsed(column, key)
    return column.cast(pa.binary()) if pa.types.is_fixed_size_binary(column.type) else None


def _times(column: pa.ChunkedArray, key: JoinKey) -> pa.ChunkedArray | None:
    usual = pa.types.is_timestamp(column.type) or pa.types.is_string(column.type)
    return instants(column, name=key.name) if usual else None


def _dates(column: pa.ChunkedArray, key: JoinKey) -> pa.ChunkedArray | None:
    if pa.types.is_string(column.type):
        return _parsed(column, key)
    return column.cast(pa.date32()) if pa.types.is_date(column.type) else None


def _parsed(column: pa.ChunkedArray, key: JoinKey) -> pa.ChunkedArray:
    """Read text as JSON's join keys are read."""
    parsed = [parse_key(text, key.value_type, name=key.name) for text in column.to_pylist()]
    return pa.chunked_array([pa.array(parsed, key.value_type.arrow)])


_FROM: dict[str, Callable[[pa.ChunkedArray, JoinKey], pa.ChunkedArray | None]] = {
    "int32": _integers,
    "int64": _integers,
    "string": _strings,
    "bytes": _bytes,
    "timestamp": _times,
    "date": _dates,
}


def _refuse_where(mask: pa.ChunkedArray, column: pa.ChunkedArray, key: JoinKey) -> None:
    row = pc.index(mask, True).as_py()
    if row >= 0:
        raise BadEntityValue(
            f"join key {key.name!r} is {key.type}: {column[row].as_py()} in row {row} is not."
            f" Send {KEY_FORMS[key.type]}; null where there is none.",
            column=key.name,
            row=row,
        )


def _wrong_type(column: pa.ChunkedArray, key: JoinKey) -> BadEntityValue:
    return BadEntityValue(
        f"join key {key.name!r} is {key.type}; the entity frame has it as {column.type}, as in"
        f" {_sample(column)}. Send {KEY_FORMS[key.type]}, in a column of type {key.type}.",
        column=key.name,
        type=str(column.type),
        expected=key.type,
    )


def _sample(column: pa.ChunkedArray) -> str:
    """Return one of the first values as messages show it."""
    try:
        return shown(next((v for v in column.slice(0, 100).to_pylist() if v is not None), None))
    except (pa.ArrowException, ValueError, OverflowError, LookupError):
        return "one that Python cannot hold"  # too far from 1970, or in a zone nobody knows


def _check_names(frame: pa.Table) -> None:
    if not frame.num_columns:
        raise BadEntityFrame("the entity frame has no columns; it needs event_timestamp and keys.")
    names = frame.column_names
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise BadEntityFrame(f"the entity frame has two columns {twice!r}; keep one.", column=twice)
