"""Schemas of Avro within bounds, and what bytes say by them. [pure]

Not for where schemas come from (``schema_registry``). Whoever may write to a topic may have written
both, so neither is believed: a schema is refused that a few bytes could make much of.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from fastavro import parse_schema, schemaless_reader, schemaless_writer, validate
from fastavro.read import LOGICAL_READERS
from fastavro.schema import SchemaParseException, UnknownType

from materialization.streams.reader import MAX_RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Of a schema: bytes of its text, types, and how deep values may lie in values.
MAX_SCHEMA_BYTES, MAX_TYPES, MAX_DEPTH = 256 << 10, 10_000, 30
#: Dictionaries and lists that a record may become: a hundred megabytes of them.
_MOST_OBJECTS = 500_000
#: How deep the JSON of a schema may be: a field of a record is three levels below it.
_MAX_NESTING = 4 * MAX_DEPTH
#: Bytes of an unscaled number, leading ones of its sign too: making one takes time by their square.
_MOST_DECIMAL, _MOST_DIGITS = 64, 38
#: Characters of a field's default: each record that lacks the field has it.
_MOST_DEFAULT = 4_096
#: Schemas are read as that of the one field of a record, whose bytes are the same.
_FIELD = "value"
_PRIMITIVE = {"null", "boolean", "int", "long", "float", "double", "bytes", "string"}
_EPOCH, _EPOCH_NAIVE = datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 1)  # noqa: DTZ001 - local


class SchemaUnusable(ValueError):
    """A schema is none by which records are read; says why, beginning with a verb."""


class NotOfSchema(ValueError):
    """Bytes, or a value, are not what is asked for; says why."""


class OutOfRange:
    """What a logical type's value is that no value of ours can be; only who reads it minds."""

    def __init__(self, *_: object) -> None:
        pass


class AvroSchema:
    """A schema by which records are read; ``beside`` are the texts of those that it refers to.

    Of those each comes before the ones that refer to it.

    :raises SchemaUnusable: it is none, or is beyond the bounds.
    """

    def __init__(self, text: str, beside: Sequence[str] = ()) -> None:
        self.named: dict[str, Any] = {}
        walk = _Walk()
        for each in beside:
            walk.whole(_parsed(_json_of(each), self.named), in_union=True)
        wrapped = {
            "type": "record",
            "name": "assay_record",
            "fields": [{"name": _FIELD, "type": _json_of(text)}],
        }
        self._parsed = _parsed(wrapped, self.named)
        self._defaults: dict[str, list[Any]] = {}
        walk.whole(self._parsed)
        self._most_bytes = min(MAX_RECORD_BYTES, int(_MOST_OBJECTS / max(walk.objects, 0.1)))

    @property
    def type(self) -> Any:
        """Its type as ``fastavro`` tells it: types with names are in ``named`` where they recur."""
        return self._parsed["fields"][0]["type"]

    def default(self, name: str) -> list[Any]:
        """Return the default of a record's field as a record would say it; empty: it has none.

        :raises SchemaUnusable: it is none that its type has, or has more than 4,096 characters.
        """
        if name not in self._defaults:
            kind = self.type
            fields = kind["fields"] if isinstance(kind, dict) and kind["type"] == "record" else ()
            found = [each for each in fields if each["name"] == name and "default" in each]
            try:
                self._defaults[name] = [self._default_of(each) for each in found]
            except (EOFError, LookupError, ValueError, TypeError, ArithmeticError) as exc:
                raise SchemaUnusable(f"has a default of {name[:100]!r} that is not read") from exc
        return self._defaults[name]

    def _default_of(self, field: dict[str, Any]) -> Any:
        value, kind = field["default"], field["type"]
        if len(msgspec.json.encode(value)) > _MOST_DEFAULT:
            raise ValueError(field["name"])
        if isinstance(kind, list):
            kind = next(iter(kind))  # of a union a default is the first branch's
        kind = self.named.get(kind, kind) if isinstance(kind, str) else kind
        plain = kind["type"] if isinstance(kind, dict) else kind
        if plain in ("bytes", "fixed") and isinstance(value, str):
            value = value.encode("latin-1")  # as JSON has bytes
        written = BytesIO()
        schema = {**self._parsed, "fields": [{"name": _FIELD, "type": field["type"]}]}
        # What is written without a word may be none of the type all the same: an int of 41 bits.
        if not validate({_FIELD: value}, _plain(schema), raise_errors=False):
            raise ValueError(field["name"])
        schemaless_writer(written, schema, {_FIELD: value})
        said: Any = schemaless_reader(BytesIO(written.getvalue()), schema, None)
        json.dumps(said, allow_nan=False, default=str)  # a float of 1e300 has become infinite
        return said[_FIELD]

    def read(self, body: bytes) -> Any:
        """Return what bytes say, with values of logical types as Python has them.

        :raises NotOfSchema: they are not all one value of the schema.
        """
        if len(body) > self._most_bytes:
            raise NotOfSchema(
                f"it has {len(body):,} bytes, and of this schema {self._most_bytes:,} are read."
            )
        stream = BytesIO(body)
        try:
            said: Any = schemaless_reader(stream, self._parsed, None)
        except (EOFError, LookupError, ValueError, TypeError, ArithmeticError) as exc:
            raise NotOfSchema("its bytes are not what its schema says.") from exc
        if stream.read(1):
            raise NotOfSchema("it has more bytes than its schema says.")
        return said[_FIELD]


def _json_of(text: str) -> Any:
    if len(text) > MAX_SCHEMA_BYTES:
        raise SchemaUnusable(f"has more than {MAX_SCHEMA_BYTES:,} characters")
    try:
        said = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise SchemaUnusable("is no JSON that can be read") from exc
    waiting, count = [(said, 1)], 0
    while waiting:
        each, depth = waiting.pop()
        count += 1
        if depth > _MAX_NESTING or count > 10 * MAX_TYPES:
            raise SchemaUnusable(
                f"is nested more than {MAX_DEPTH} deep, or has more than {MAX_TYPES:,} types"
            )
        if isinstance(each, dict) and any(key.startswith("__") for key in each):
            raise SchemaUnusable("is no schema of Avro")  # what the library marks its own by
        inner = each.values() if isinstance(each, dict) else each if type(each) is list else ()
        waiting.extend((one, depth + 1) for one in inner)
    return said


def _parsed(said: Any, named: dict[str, Any]) -> Any:
    try:
        return parse_schema(said, named)
    except (SchemaParseException, UnknownType, LookupError, ValueError, TypeError,
            AttributeError) as exc:  # fmt: skip
        raise SchemaUnusable("is no schema of Avro") from exc


class _Size(NamedTuple):
    """Of a type: how deep values lie in it, its least bytes, and the most objects a byte makes."""

    depth: int
    least: int
    objects: float


class _FromZero(list[Any]):
    """Branches of a union, or symbols of an enum: none is counted from behind."""

    def __getitem__(self, place: Any) -> Any:
        if place < 0:
            raise IndexError(place)
        return super().__getitem__(place)

    def __len__(self) -> int:
        return 0  # what the library adds to a place below zero before it asks


def _plain(schema: Any) -> Any:
    """Return a schema with the lists that the library's own check of values asks for."""
    if isinstance(schema, dict):
        return {key: _plain(each) for key, each in schema.items()}
    return [_plain(each) for each in iter(schema)] if isinstance(schema, list) else schema


class _Walk:
    """Goes through parsed schemas once, and refuses those of which few bytes make too much.

    Every value takes a byte (in a union, its branch does): a block of an array cannot claim more
    items than are there. ``objects`` says how many of Python's a byte of theirs makes at most.
    """

    def __init__(self) -> None:
        #: By name; None while it is being looked at.
        self._named: dict[str, _Size | None] = {}
        self._types = 0
        self.objects = 0.0

    def whole(self, schema: Any, *, in_union: bool = False) -> None:
        """Look at all of a schema; what the library lets through and nobody can read is refused."""
        try:
            self.look(schema, in_union=in_union)
        except (LookupError, TypeError, AttributeError) as exc:
            raise SchemaUnusable("is no schema of Avro") from exc

    def look(self, schema: Any, *, in_union: bool = False) -> _Size:
        self._types += 1
        found = self._size(schema)
        if not found.least and not in_union:
            raise SchemaUnusable("has values that take no byte, other than null in a union")
        if found.depth > MAX_DEPTH or max(self._types, found.least) > MAX_TYPES:
            raise SchemaUnusable(
                f"is nested more than {MAX_DEPTH} deep, or has more than {MAX_TYPES:,} types"
            )
        return found

    def _size(self, schema: Any) -> _Size:
        if isinstance(schema, list):
            found = [self.look(each, in_union=True) for each in schema]
            deepest = max((each.depth for each in found), default=0)
            return _Size(1 + deepest, 1, max((each.objects for each in found), default=0))
        kind = schema["type"] if isinstance(schema, dict) else schema
        if kind in _PRIMITIVE:
            return _Size(1, int(kind != "null"), 0)
        if isinstance(schema, str):
            if (known := self._named.get(schema)) is None:
                raise SchemaUnusable(f"is recursive: {schema[:100]!r} holds itself")
            return known
        if kind in ("array", "map"):
            inner = self._within(schema, "items" if kind == "array" else "values")
            self.objects = max(self.objects, inner.objects, 1)
            return _Size(1 + inner.depth, 1, max(inner.objects, 1))
        return self._of_named(kind, schema)

    def _within(self, holder: dict[str, Any], key: str) -> _Size:
        if isinstance(holder[key], list):
            holder[key] = _FromZero(holder[key])
        return self.look(holder[key])

    def _of_named(self, kind: str, schema: dict[str, Any]) -> _Size:
        name = schema["name"]
        self._named[name] = None
        if kind == "record":
            fields = [self._within(each, "type") for each in schema["fields"]]
            if len({each["name"] for each in schema["fields"]}) < len(fields):
                raise SchemaUnusable("has two fields of one name in a record")
            least = sum(each.least for each in fields)
            objects = max((each.objects for each in fields), default=0) + 1 / max(least, 1)
            found = _Size(1 + max((each.depth for each in fields), default=0), least, objects)
        elif kind == "enum":
            if not isinstance(schema["symbols"], list):
                raise SchemaUnusable("is no schema of Avro")
            schema["symbols"] = _FromZero(schema["symbols"])
            found = _Size(1, 1, 0)
        elif kind == "fixed":
            if type(schema["size"]) is not int or schema["size"] < 0:
                raise SchemaUnusable("is no schema of Avro")
            found = _Size(1, min(schema["size"], 1), 0)
        else:
            raise SchemaUnusable(f"has a type {str(kind)[:100]!r}, which Avro has not")
        self._named[name] = found
        return found


def _lenient(make: Callable[[Any, Any], Any], data: Any, schema: Any, _: Any = None) -> Any:
    try:
        return make(data, schema)
    except (ValueError, ArithmeticError, LookupError, TypeError):
        return OutOfRange()


def _instant(epoch: datetime, per_second: int, data: int, _: Any) -> datetime:
    # Finer digits are cut, as of all instants.
    return epoch + timedelta(microseconds=data * 1_000_000 // per_second)


def _date(data: int, _: Any) -> date:
    return date.fromordinal(data + date(1970, 1, 1).toordinal())


def _decimal(data: bytes, schema: Any) -> Decimal:
    if len(data) > _MOST_DECIMAL:
        raise ValueError(len(data))
    sign, digits, _ = Decimal(int.from_bytes(data, "big", signed=True)).as_tuple()
    scale = schema.get("scale", 0)
    if len(digits) > _MOST_DIGITS or not 0 <= scale <= _MOST_DIGITS:
        raise ValueError(scale)
    return Decimal((sign, digits, -scale))  # exact: all else would keep 28 digits


#: In place of the library's own, which take a second for a hundred kilobytes of decimal, and fail a
#: record for a time out of range that nobody reads. Other logical types stay what they are written
#: as: a time of day is a number, a UUID its text.
LOGICAL_READERS.clear()
LOGICAL_READERS.update({
    f"long-{local}timestamp-{unit}": partial(_lenient, partial(_instant, epoch, per_second))
    for local, epoch in (("", _EPOCH), ("local-", _EPOCH_NAIVE))
    for unit, per_second in (("millis", 10**3), ("micros", 10**6), ("nanos", 10**9))
})  # fmt: skip
LOGICAL_READERS.update({
    "int-date": partial(_lenient, _date),
    "bytes-decimal": partial(_lenient, _decimal),
    "fixed-decimal": partial(_lenient, _decimal),
})  # fmt: skip
