"""The registry file that Feast keeps, a protocol buffer, as plain dicts; no Feast is needed.

Field numbers are those of ``feast/core/*.proto``. Fields that are not listed are skipped, as the
format intends. Not for what they become; see feast.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, TypeAlias

from assay.errors import Invalid

#: Number → its name and what it holds: a message by its name, ``text``, ``number`` or ``bytes``;
#: ``[]`` behind it where it is repeated.
Fields: TypeAlias = dict[int, tuple[str, str]]

_TAG: Fields = {1: ("key", "text"), 2: ("value", "text")}
_TABLE: Fields = {1: ("table", "text"), 2: ("query", "text")}
_VIEW: Fields = {
    1: ("name", "text"),
    3: ("entities", "text[]"),
    4: ("features", "Field[]"),
}
MESSAGES: dict[str, Fields] = {
    "Registry": {
        1: ("entities", "Entity[]"),
        6: ("feature_views", "FeatureView[]"),
        7: ("feature_services", "FeatureService[]"),
        8: ("on_demand_feature_views", "OnDemandFeatureView[]"),
        11: ("saved_datasets", "bytes[]"),
        12: ("data_sources", "DataSource[]"),
        13: ("validation_references", "bytes[]"),
        14: ("stream_feature_views", "StreamFeatureView[]"),
        16: ("permissions", "bytes[]"),
        17: ("projects", "Project[]"),
        19: ("label_views", "bytes[]"),
    },
    "Project": {1: ("spec", "ProjectSpec")},
    "ProjectSpec": {1: ("name", "text"), 2: ("description", "text")},
    "Entity": {1: ("spec", "EntitySpec")},
    "EntitySpec": {
        1: ("name", "text"),
        2: ("value_type", "number"),
        3: ("description", "text"),
        4: ("join_key", "text"),
        8: ("tags", "Tag[]"),
        10: ("owner", "text"),
    },
    "DataSource": {
        1: ("type", "number"),
        2: ("field_mapping", "Tag[]"),
        3: ("timestamp_field", "text"),
        5: ("created_timestamp_column", "text"),
        11: ("file", "FileOptions"),
        12: ("BigQuery", "Table"),
        13: ("Kafka", "bytes"),
        14: ("Kinesis", "bytes"),
        15: ("Redshift", "Table"),
        16: ("custom", "CustomOptions"),
        17: ("class_type", "text"),
        19: ("Snowflake", "Table"),
        20: ("name", "text"),
        23: ("description", "text"),
        24: ("tags", "Tag[]"),
        25: ("owner", "text"),
        26: ("batch_source", "DataSource"),
        27: ("Spark", "SparkOptions"),
        30: ("Trino", "Table"),
        35: ("Athena", "Table"),
    },
    "FileOptions": {1: ("format", "FileFormat"), 2: ("uri", "text")},
    "FileFormat": {1: ("parquet", "bytes"), 2: ("delta", "bytes")},
    "CustomOptions": {1: ("configuration", "text")},
    "SparkOptions": {**_TABLE, 3: ("path", "text"), 4: ("file_format", "text")},
    "Table": _TABLE,
    "FeatureView": {1: ("spec", "FeatureViewSpec")},
    "FeatureViewSpec": {
        **_VIEW,
        5: ("tags", "Tag[]"),
        6: ("ttl", "Duration"),
        7: ("batch_source", "DataSource"),
        8: ("online", "number"),
        9: ("stream_source", "DataSource"),
        10: ("description", "text"),
        11: ("owner", "text"),
        12: ("entity_columns", "Field[]"),
        14: ("source_views", "bytes[]"),
        15: ("transformation", "bytes"),
    },
    "StreamFeatureView": {1: ("spec", "StreamFeatureViewSpec")},
    "StreamFeatureViewSpec": {
        **_VIEW,
        5: ("entity_columns", "Field[]"),
        6: ("description", "text"),
        7: ("tags", "Tag[]"),
        8: ("owner", "text"),
        9: ("ttl", "Duration"),
        10: ("batch_source", "DataSource"),
        11: ("stream_source", "DataSource"),
        12: ("online", "number"),
        13: ("transformation", "bytes"),
        15: ("aggregations", "Aggregation[]"),
        17: ("transformation", "bytes"),
    },
    "Aggregation": {
        1: ("column", "text"),
        2: ("function", "text"),
        3: ("time_window", "Duration"),
        5: ("name", "text"),
    },
    "Field": {
        1: ("name", "text"),
        2: ("value_type", "number"),
        3: ("tags", "Tag[]"),
        4: ("description", "text"),
        7: ("vector_length", "number"),
    },
    "OnDemandFeatureView": {1: ("spec", "OnDemandSpec")},
    "OnDemandSpec": {1: ("name", "text"), 3: ("features", "Field[]"), 11: ("mode", "text")},
    "FeatureService": {1: ("spec", "FeatureServiceSpec")},
    "FeatureServiceSpec": {
        1: ("name", "text"),
        3: ("features", "Projection[]"),
        4: ("tags", "Tag[]"),
        5: ("description", "text"),
        6: ("owner", "text"),
        7: ("logging", "bytes"),
    },
    "Projection": {
        1: ("view", "text"),
        2: ("features", "Field[]"),
        3: ("alias", "text"),
        4: ("join_key_map", "Tag[]"),
    },
    "Duration": {1: ("seconds", "number"), 2: ("nanos", "number")},
    "Tag": _TAG,
}
_MAX_DEPTH = 20


def read_registry(data: bytes) -> dict[str, Any]:
    """Give a registry as dicts by the names above; what is not said is left out.

    :raises Invalid: the bytes are no such registry.
    """
    try:
        return _message(memoryview(data), "Registry", 0)
    except (ValueError, IndexError, struct.error) as exc:
        raise Invalid(f"these bytes are no registry of Feast: {exc}") from exc


def _message(data: memoryview, kind: str, depth: int) -> dict[str, Any]:
    if depth > _MAX_DEPTH:
        raise ValueError("messages are nested too deep")
    fields = MESSAGES[kind]
    found: dict[str, Any] = {}
    for number, value in _parts(data):
        if number not in fields:
            continue
        name, holds = fields[number]
        said = _value(value, holds.removesuffix("[]"), depth)
        if holds.endswith("[]"):
            found.setdefault(name, []).append(said)
        else:
            found[name] = said
    return found


def _value(value: memoryview | int, holds: str, depth: int) -> Any:
    if isinstance(value, int) != (holds == "number"):
        raise ValueError(f"a {holds} is stored as something else")
    if isinstance(value, int):
        return value
    if holds == "text":
        return bytes(value).decode()
    return bytes(value) if holds == "bytes" else _message(value, holds, depth + 1)


def _parts(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """Give number and value of each field: whole numbers, or the bytes of anything longer."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        elif wire == 2:
            length, at = _varint(data, at)
            if at + length > len(data):
                raise ValueError("they end in the middle of a field")
            yield number, data[at : at + length]
            at += length
        else:
            raise ValueError(f"wire type {wire} is unknown")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number is longer than any")
