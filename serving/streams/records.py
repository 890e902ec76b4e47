"""Records of a stream as columns of its source: what each says, and which say none.

Not for how bytes are written (``forms``), nor for what a value has to be: ``ingest.values`` reads
types, and rows are judged as pushed ones.
"""

from __future__ import annotations

import base64
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec
import pyarrow as pa

from lib.instants import EPOCH
from materialization.ingest.refusals import Refusals
from materialization.streams.reader import MAX_RECORD_BYTES
from registry.spec.sources.streams import KafkaSource, RedisStreamSource
from registry.spec.value_types import parse_type
from serving.ingest.values import typed_column
from serving.streams.forms import MISSING, Forms, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from materialization.streams.reader import Record
    from registry.spec.value_types import ValueType
    from serving.streams.forms import Form

AnyStream: TypeAlias = KafkaSource | RedisStreamSource
#: Types whose text in a field is read as JSON.
_OF_JSON = frozenset({"bool", "float32", "float64", "list", "vector"})
#: What sources are read by that say no more.
_PLAIN = Forms()
_WHOLE = re.compile(rb"-?[0-9]{1,19}")


class Reason(NamedTuple):
    """Why a record is not taken; ``column`` is empty where it is none as a whole."""

    column: str
    words: str


class Reasons(Refusals):
    """What is wrong with records: of each that is, the first reason, and no value of it."""

    def __init__(self) -> None:
        super().__init__()
        self.by_row: dict[int, Reason] = {}

    def add(self, row: int, column: str, value: Callable[[], str], valid: str) -> None:  # noqa: ARG002 - values stay where they are
        self.rows.add(row)
        self.by_row.setdefault(row, Reason(column, valid))


def read_rows(
    records: Sequence[Record],
    source: AnyStream,
    wanted: Collection[str] | None,
    forms: Forms = _PLAIN,
) -> tuple[pa.RecordBatch, Reasons]:
    """Return a row for each record with the columns that a version reads, and what is wrong.

    Rows that something is wrong with say nothing.

    :raises StreamUnavailable: what records are read by is not to be had now.
    """
    reasons = Reasons()
    said: list[dict[str, Any]] = []
    for row, record in enumerate(records):
        try:
            said.append(_said(record, source, forms.value))
        except Unreadable as exc:
            said.append({})
            reasons.add(row, "", str, str(exc))
    columns = {}
    for name, text in source.schema.items():
        if wanted is None or name in wanted:
            kind = parse_type(text)
            values = _values(name, kind, records, said, source, forms, reasons)
            columns[name] = typed_column(values, kind, reasons, name=name)
    return pa.RecordBatch.from_pydict(columns), reasons


def _said(record: Record, source: AnyStream, form: Form) -> dict[str, Any]:
    """Return the fields of a record's object; of one that has none, what it has.

    :raises Unreadable: it is no object, where it has to be one, or too large.
    """
    if record.size > MAX_RECORD_BYTES:
        raise Unreadable(f"it has {record.size:,} bytes, and {MAX_RECORD_BYTES:,} are read.")
    if isinstance(source, KafkaSource):
        return _object(record.value, form)
    fields = dict(record.headers)
    if len(fields) < len(record.headers):
        raise Unreadable("it has a field of one name twice.")
    return _object(fields.get(source.json_field), form) if source.json_field else {**fields}


def _object(value: bytes | None, form: Form) -> dict[str, Any]:
    """:raises Unreadable: it is no object of its form."""
    if value is None:
        raise Unreadable("it has no value (a tombstone): no row is taken away by a stream.")
    said = form.said(value)
    if type(said) is not dict:
        raise Unreadable("it is no object, nor a record: its fields are the columns.")
    return said


def _values(
    name: str,
    kind: ValueType,
    records: Sequence[Record],
    said: Sequence[dict[str, Any]],
    source: AnyStream,
    forms: Forms,
    reasons: Reasons,
) -> list[Any]:
    values: list[Any] = []
    is_optional = name in source.optional
    for row, record in enumerate(records):
        if row in reasons.by_row:
            values.append(None)
            continue
        try:
            value = _value(name, kind, record, said[row], source, forms)
        except Unreadable as exc:
            reasons.add(row, name, str, str(exc))
            value = None
        if value is MISSING:
            value = None
            if not is_optional:
                reasons.add(row, name, str, "the record has none, and it is not optional.")
        values.append(value)
    return values


def _value(
    name: str,
    kind: ValueType,
    record: Record,
    said: dict[str, Any],
    source: AnyStream,
    forms: Forms,
) -> Any:
    if name == source.record_time:
        return MISSING if record.time_ms is None else _instant(record.time_ms)
    if isinstance(source, RedisStreamSource):
        if name not in said or source.json_field:
            return said.get(name, MISSING)
        return _of_text(said[name], kind)
    if name == source.key:
        return MISSING if record.key is None else _of_key(name, kind, record.key, forms.key)
    if (header := source.headers.get(name)) is not None:
        # As Kafka's own clients do: of several of one name the last counts.
        found = next((value for key, value in reversed(record.headers) if key == header), None)
        return MISSING if found is None else _of_bytes(found, kind)
    found = said[name] if name in said else forms.value.default(name)
    return found if found is MISSING else forms.value.value(found, kind)


def _of_key(name: str, kind: ValueType, key: bytes, form: Form | None) -> Any:
    """Return what a key says; of an object the field of the column's name."""
    if form is None:
        return _of_bytes(key, kind)
    said = form.said(key)
    if type(said) is dict:
        said = said.get(name, MISSING)
    return said if said is MISSING else form.value(said, kind)


def _of_text(value: bytes, kind: ValueType) -> Any:
    """Return the text of a field as JSON would have the value."""
    if kind.kind in ("string", "json", "bytes", "int32", "int64"):
        return _of_bytes(value, kind)
    try:
        if kind.kind in _OF_JSON:
            return msgspec.json.decode(value)
        return value.decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return value.decode(errors="replace")  # as NaN; what is none is refused as the text it is


def _instant(time_ms: int) -> str:
    try:
        return (EPOCH + timedelta(milliseconds=time_ms)).isoformat()
    except OverflowError as exc:
        raise Unreadable("its time is in no year that there is.") from exc


def _of_bytes(value: bytes, kind: ValueType) -> Any:
    """Return bytes as JSON would have the value."""
    if kind.kind == "bytes":
        return base64.b64encode(value).decode()
    if kind.kind in ("string", "json"):
        try:
            return value.decode()
        except UnicodeDecodeError as exc:
            raise Unreadable("it is no text in UTF-8.") from exc
    if not _WHOLE.fullmatch(value):
        raise Unreadable(f"{kind} is asked for: its digits, as text.")
    return int(value)
