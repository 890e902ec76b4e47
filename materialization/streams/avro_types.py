"""Which of our value types takes which of Avro's, and a value as JSON would have it. [pure]

Nothing is cast: what a type takes of JSON, or what Avro has a logical type for, and no more. Not
for bytes (``avro``).
"""

from __future__ import annotations

import base64
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lib.errors import did_you_mean
from lib.json_floats import json_float
from materialization.streams.avro import NotOfSchema, OutOfRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from materialization.streams.avro import AvroSchema
    from registry.spec.value_types import ValueType

#: What a value is in Python by its type and logical type, where we read that (``avro``), else by
#: its type alone.
_OF_LOGICAL: dict[str, type] = {
    "int-date": date,
    "bytes-decimal": Decimal,
    "fixed-decimal": Decimal,
    **{
        f"long-{local}timestamp-{unit}": datetime
        for local in ("", "local-")
        for unit in ("millis", "micros", "nanos")
    },
}
_OF_TYPE: dict[str, type] = {
    "boolean": bool, "int": int, "long": int, "float": float, "double": float, "string": str,
    "enum": str, "bytes": bytes, "fixed": bytes, "array": list, "map": dict, "record": dict,
}  # fmt: skip
#: What each value type takes.
_TAKES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int32": (int,),
    "int64": (int,),
    "float32": (float, int),
    "float64": (float, int),
    "decimal": (Decimal, int, str),
    "string": (str,),
    "bytes": (bytes,),
    "timestamp": (datetime, str),
    "date": (date, str),
    "list": (list,),
    "vector": (list,),
    "json": (dict, list, str, bool, int, float, bytes, Decimal, datetime, date),
}
_WORDS: dict[type, str] = {
    bool: "a boolean", int: "a whole number", float: "a float", str: "text", bytes: "bytes",
    list: "an array", dict: "a record or a map", datetime: "a timestamp", date: "a date",
    Decimal: "a decimal",
}  # fmt: skip


def as_json(value: Any, kind: ValueType) -> Any:
    """Return a value as JSON would have it, for a column of a type.

    :raises NotOfSchema: the type takes none such; says which it takes.
    """
    if value is None:
        return None
    found = type(value)
    if found is OutOfRange:
        raise NotOfSchema(f"{kind} is asked for, and its time or number is out of all range.")
    if found not in _TAKES[kind.kind]:
        raise NotOfSchema(f"{kind} is asked for, and Avro has {_WORDS.get(found, 'another')}.")
    if kind.item is not None:
        return [as_json(each, kind.item) for each in value]
    make = _AS_JSON.get(found)
    return value if make is None else make(value)


def _plain(value: Any) -> Any:
    if type(value) is OutOfRange:
        raise NotOfSchema("a time or a number in it is out of all range.")
    make = _AS_JSON.get(type(value))
    return value if make is None else make(value)


_AS_JSON: dict[type, Callable[[Any], Any]] = {
    float: json_float,
    bytes: lambda value: base64.b64encode(value).decode(),
    Decimal: str,
    datetime: datetime.isoformat,
    date: date.isoformat,
    list: lambda value: [_plain(each) for each in value],
    dict: lambda value: {key: _plain(each) for key, each in value.items()},
}


def misfits(
    schema: AvroSchema, columns: Mapping[str, ValueType], optional: frozenset[str]
) -> Iterator[tuple[str, str]]:
    """Yield columns that no record of a schema can have, and why; ``optional`` may be lacking.

    A schema of several records is one that all of them are read by.
    """
    for record in _branches(schema.type, schema):
        if not isinstance(record, dict) or record.get("type") != "record":
            said = record if isinstance(record, str) else record.get("type")
            yield "", f"its values are {str(said)[:100]}, and no records."
            continue
        fields = {each["name"]: each["type"] for each in record["fields"]}
        for name, kind in columns.items():
            if name in fields:
                if not _can_be(fields[name], kind, schema):
                    have = " or ".join(sorted(_words(fields[name], schema)))
                    yield name, f"{kind} is asked for, and it is {have or 'null'} there."
            elif name not in optional:
                hint = did_you_mean(name, sorted(fields))
                yield name, f"it has no such field.{hint}"


def _branches(schema: Any, of: AvroSchema) -> Iterator[Any]:
    """Yield the types that a value may have, null left aside."""
    if isinstance(schema, list):
        for each in schema:
            yield from _branches(each, of)
    elif isinstance(schema, str) and schema in of.named:
        yield of.named[schema]
    elif isinstance(schema, dict) and isinstance(schema["type"], list):
        yield from _branches(schema["type"], of)
    elif (schema["type"] if isinstance(schema, dict) else schema) != "null":
        yield schema


def _can_be(schema: Any, kind: ValueType, of: AvroSchema) -> bool:
    branches = list(_branches(schema, of))
    return not branches or any(_takes(each, kind, of) for each in branches)


def _takes(branch: Any, kind: ValueType, of: AvroSchema) -> bool:
    found = _python_type(branch)
    if found not in _TAKES[kind.kind]:
        return False
    return kind.item is None or _can_be(branch["items"], kind.item, of)


def _python_type(branch: Any) -> type:
    said = {"type": branch} if isinstance(branch, str) else branch
    logical = _OF_LOGICAL.get(f"{said['type']}-{said.get('logicalType')}")
    return logical or _OF_TYPE[said["type"]]


def _words(schema: Any, of: AvroSchema) -> set[str]:
    return {_WORDS[_python_type(each)] for each in _branches(schema, of)}
