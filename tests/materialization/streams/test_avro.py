"""What bytes of Avro say, what of it our types take, and how little hostile ones can do."""

from __future__ import annotations

import json
import random
import time
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_writer

from materialization.ingest.refusals import Refusals
from materialization.streams.avro import AvroSchema, NotOfSchema, SchemaUnusable
from materialization.streams.avro_types import as_json, misfits
from registry.spec.value_types import parse_type
from serving.ingest.values import typed_column

AT = datetime(2024, 2, 29, 23, 59, 59, 987654, tzinfo=UTC)
LATER = {"type": "long", "logicalType": "timestamp-micros"}
MONEY = {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}
#: Avro's type, a value, our type, and what is stored of it.
CASES: list[tuple[Any, Any, str, Any]] = [
    ("boolean", True, "bool", True),
    ("int", -7, "int32", -7),
    ("long", 2**62, "int64", 2**62),
    ("int", 3, "float64", 3.0),
    ("float", 0.5, "float32", 0.5),
    ("double", 1e300, "float64", 1e300),
    ("double", float("-inf"), "float64", float("-inf")),
    ("string", "Zürich", "string", "Zürich"),
    ({"type": "enum", "name": "E", "symbols": ["GO", "STOP"]}, "STOP", "string", "STOP"),
    ("bytes", b"\x00\xff", "bytes", b"\x00\xff"),
    ({"type": "fixed", "name": "F", "size": 2}, b"ab", "bytes", b"ab"),
    (LATER, AT, "timestamp", AT),
    ({"type": "long", "logicalType": "timestamp-millis"}, AT, "timestamp",
     AT.replace(microsecond=987000)),
    ({"type": "int", "logicalType": "date"}, date(1969, 12, 31), "date", date(1969, 12, 31)),
    (MONEY, Decimal("-12.50"), "decimal(10,2)", Decimal("-12.50")),
    ({"type": "fixed", "name": "D", "size": 4, "logicalType": "decimal", "precision": 8,
      "scale": 3}, Decimal("1.125"), "decimal(12,4)", Decimal("1.1250")),
    ({"type": "string", "logicalType": "uuid"}, "6f1b5c1e-0000-4000-8000-000000000000", "string",
     "6f1b5c1e-0000-4000-8000-000000000000"),
    (["null", "long"], None, "int64", None),
    (["null", LATER], AT, "timestamp", AT),
    ([{"type": "null"}, "long"], 7, "int64", 7),
    ({"type": "string", "logicalType": "decimal"}, "1.5", "string", "1.5"),
    ({"type": "long", "logicalType": "date"}, 19_000, "int64", 19_000),
    ({"type": "int", "logicalType": "timestamp-millis"}, 5, "int64", 5),
    ({"type": "bytes", "logicalType": "uuid"}, b"ab", "bytes", b"ab"),
    ({"type": "array", "items": ["null", LATER]}, [None, AT], "list<timestamp>", [None, AT]),
    ({"type": "array", "items": "float"}, [0.5, 2.0], "vector<2>", [0.5, 2.0]),
    ({"type": "map", "values": MONEY}, {"a": Decimal("1.00")}, "json", '{"a":"1.00"}'),
    ({"type": "record", "name": "R", "fields": [{"name": "x", "type": ["null", "int"]}]},
     {"x": 4}, "json", '{"x":4}'),
]  # fmt: skip


def written(schema: Any, value: Any) -> bytes:
    made = BytesIO()
    schemaless_writer(made, parse_schema(schema), value)
    return made.getvalue()


def stored(schema: Any, body: bytes, kind: str) -> Any:
    made = parse_type(kind)
    value = as_json(AvroSchema(json.dumps(schema)).read(body), made)
    refused = Refusals()
    column = typed_column([value], made, refused, name="x")
    assert not refused.rows
    return column.to_pylist()[0]


@pytest.mark.parametrize(("schema", "value", "kind", "expected"), CASES)
def test_a_value_is_stored_as_what_it_is(schema, value, kind, expected):
    assert stored(schema, written(schema, value), kind) == expected


def test_decimals_are_exact_to_their_last_digit():
    chosen = random.Random(76)
    for _ in range(500):
        scale = chosen.randrange(39)
        unscaled = chosen.randrange(-(10**38) + 1, 10**38) // 10 ** chosen.randrange(38)
        exact = Decimal((unscaled < 0, tuple(map(int, str(abs(unscaled)))), -scale))
        least = (unscaled.bit_length() + 8) // 8
        body = unscaled.to_bytes(chosen.randrange(least, 60), "big", signed=True)
        kind = {"logicalType": "decimal", "precision": 38, "scale": scale}
        wide = unscaled.to_bytes(max(len(body), 17), "big", signed=True)
        held = {"type": "fixed", "name": "F", "size": len(wide), **kind}
        said = long(len(body)) + body
        for schema, written_so in ((held, wide), ({"type": "bytes", **kind}, said)):
            assert stored(schema, written_so, f"decimal(38,{scale})") == exact
    over = AvroSchema(json.dumps({"type": "bytes", "logicalType": "decimal", "precision": 40}))
    raw = (10**38).to_bytes(20, "big")
    with pytest.raises(NotOfSchema, match="out of all range"):
        as_json(over.read(long(20) + raw), parse_type("decimal(38,0)"))


def test_nothing_is_cast_and_a_plan_says_so_before_a_record_does():
    kinds = [kind for _, _, kind, _ in CASES]
    refused = 0
    for schema, value, own, _ in CASES:
        if value is None:
            continue
        made = AvroSchema(json.dumps({
            "type": "record", "name": "Row", "fields": [{"name": "x", "type": schema}]
        }))  # fmt: skip
        said = made.read(written(schema, value))["x"]
        for kind in {*kinds}:
            planned = list(misfits(made, {"x": parse_type(kind)}, frozenset()))
            try:
                as_json(said, parse_type(kind))
            except NotOfSchema:
                assert [name for name, _ in planned] == ["x"]
                refused += 1
            else:
                assert planned == [], (own, kind)
    assert refused > 200


def test_a_plan_names_fields_that_are_not_there():
    schema = AvroSchema(json.dumps([
        {"type": "record", "name": "A", "fields": [{"name": "fare", "type": "double"}]},
        {"type": "record", "name": "B", "fields": [{"name": "far", "type": "double"}]},
    ]))  # fmt: skip
    columns = {"fare": parse_type("float64"), "city": parse_type("string")}

    assert list(misfits(schema, columns, frozenset({"city"}))) == [
        ("fare", "it has no such field. Did you mean 'far'?")
    ]
    assert list(misfits(AvroSchema('"long"'), columns, frozenset())) == [
        ("", "its values are long, and no records.")
    ]


def record(*types: Any, name: str = "Row") -> dict[str, Any]:
    fields = [{"name": f"f{number}", "type": each} for number, each in enumerate(types)]
    return {"type": "record", "name": name, "fields": fields}


def nested(depth: int) -> Any:
    made: Any = "boolean"
    for number in range(depth):
        made = record(made, name=f"R{number}")
    return made


def doubling(levels: int) -> Any:
    """A schema of few names that has twice as many values with each."""
    made: Any = record("boolean", name="R0")
    for number in range(1, levels):
        made = record(made, f"R{number - 1}", name=f"R{number}")
    return made


HOSTILE = [
    ("no JSON", "{"),
    ("deep JSON", "[" * 100_000),
    ("JSON in JSON", json.dumps("[" * 500)),
    ("an unknown type", json.dumps("x")),
    ("no schema", "7"),
    ("megabytes", json.dumps(record(*["long"] * 100_000))),
    ("too many types", json.dumps(record(*[["null", "int"]] * 3_600))),
    ("recursive", json.dumps(record(["null", "Row"]))),
    ("recursive by another", json.dumps(record(record(["null", "Row"], name="B")))),
    ("deep", json.dumps(nested(31))),
    ("many by few names", json.dumps(doubling(25))),
    ("values of no byte", json.dumps({"type": "array", "items": "null"})),
    ("records of no byte", json.dumps({"type": "array", "items": record()})),
    ("fixed of no byte", json.dumps({"type": "map", "values": {"type": "fixed", "name": "F",
                                                                 "size": 0}})),
    ("a size that is text", json.dumps({"type": "fixed", "name": "F", "size": "9"})),
    ("a size below zero", json.dumps({"type": "fixed", "name": "F", "size": -3})),
    ("symbols that are text", json.dumps({"type": "enum", "name": "E", "symbols": "AB"})),
    ("one name twice", json.dumps({"type": "record", "name": "R", "fields": [
        {"name": "a", "type": "string"}, {"name": "a", "type": "int"}]})),
    ("a mark of the library", json.dumps({"type": "int", "__fastavro_parsed": True})),
    ("fields of no byte", json.dumps(record("null"))),
]  # fmt: skip


@pytest.mark.parametrize("text", [each for _, each in HOSTILE], ids=[each for each, _ in HOSTILE])
def test_a_hostile_schema_is_refused_in_words_and_at_once(text):
    began = time.process_time()
    with pytest.raises(SchemaUnusable, match=r"^(is|has) "):
        AvroSchema(text)
    assert time.process_time() - began < 2


def long(value: int) -> bytes:
    """Return a whole number as Avro writes it."""
    rest, made = (value << 1) ^ (value >> 63), b""
    while rest & ~0x7F:
        made, rest = made + bytes([rest & 0x7F | 0x80]), rest >> 7
    return made + bytes([rest])


LISTS = {"type": "array", "items": {"type": "array", "items": "int"}}
BODIES = [
    ("an end too early", "long", b""),
    ("a number that never ends", "long", b"\xff" * 100_000),
    ("more than it says", "long", long(1) + b"\x00"),
    ("2^60 items", LISTS, long(2**60) + long(1) * 1_000),
    ("-2^63 items", LISTS, long(-(2**63)) + long(5)),
    ("text of 2^60 bytes", "string", long(2**60) + b"x"),
    ("text of -1 bytes", "string", long(-1) + b"x"),
    ("no UTF-8", "string", long(1) + b"\xff"),
    ("no such branch", ["null", "int"], long(7)),
    ("a branch from behind", ["null", "string"], long(-1) + long(1) + b"x"),
    ("a symbol from behind", {"type": "enum", "name": "E", "symbols": ["A"]}, long(-1)),
    ("a branch of items from behind", {"type": "array", "items": ["null", "int"]},
     long(1) + long(-2) + long(0)),
    ("no such symbol", {"type": "enum", "name": "E", "symbols": ["A"]}, long(9)),
    ("fixed of 2^62 bytes", {"type": "fixed", "name": "F", "size": 2**62}, b"ab"),
    ("two megabytes", "bytes", long(2 << 20) + b"x" * (2 << 20)),
    ("many records of a byte", {"type": "array", "items": nested(20)},
     long(1 << 19) + b"\x01" * (1 << 19) + long(0)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "body"), [each[1:] for each in BODIES], ids=[each[0] for each in BODIES]
)
def test_hostile_bytes_are_refused_in_words_and_at_once(schema, body):
    began = time.process_time()
    with pytest.raises(NotOfSchema, match=r"^it"):
        AvroSchema(json.dumps(schema)).read(body)
    assert time.process_time() - began < 2


def test_what_is_out_of_range_is_refused_where_it_is_read_and_nowhere_else():
    schema = AvroSchema(json.dumps(record(LATER, MONEY, "int")))
    huge = long(1 << 19) + b"\x7f" * (1 << 19)
    began = time.process_time()

    said = schema.read(long(2**62) + huge + long(3))

    assert time.process_time() - began < 1
    assert as_json(said["f2"], parse_type("int64")) == 3
    for name, kind in (("f0", "timestamp"), ("f1", "decimal(10,2)"), ("f1", "json")):
        with pytest.raises(NotOfSchema, match=r"out of all range|is asked for"):
            as_json(said[name], parse_type(kind))


@pytest.mark.parametrize(
    ("kind", "default", "said"),
    [
        ("long", 7, 7),
        ("double", 1, 1.0),
        ("double", 1e300, 1e300),
        ("float", 3e38, pytest.approx(3e38)),
        ("int", -(2**31), -(2**31)),
        ("string", "Bern", "Bern"),
        (["null", "string"], None, None),
        (["string", "null"], "x", "x"),
        ({"type": "long", "logicalType": "timestamp-millis"}, 0, datetime(1970, 1, 1, tzinfo=UTC)),
        ({"type": "int", "logicalType": "date"}, 1, date(1970, 1, 2)),
        (MONEY, "\u0001\u00f4", Decimal("5.00")),
        ("bytes", "\u00ff\u0000", b"\xff\x00"),
        (["bytes", "null"], "\u00ff", b"\xff"),
        ({"type": "fixed", "name": "F", "size": 2}, "ab", b"ab"),
        ({"type": "enum", "name": "E", "symbols": ["GO", "STOP"]}, "STOP", "STOP"),
        ({"type": "array", "items": "int"}, [1, 2], [1, 2]),
        ({"type": "map", "values": "int"}, {"a": 1}, {"a": 1}),
        ("long", ..., ...),  # none
    ],
)
def test_a_default_is_what_a_record_would_say(kind, default, said):
    field = {"name": "it", "type": kind} | ({} if default is ... else {"default": default})
    other = {
        "name": "other",
        "type": kind["name"] if isinstance(kind, dict) and "name" in kind else kind,
    }
    schema = {"type": "record", "name": "R", "fields": [field, other]}

    found = AvroSchema(json.dumps(schema))

    assert found.default("it") == ([] if said is ... else [said])
    assert found.default("other") == found.default("none") == []
    assert AvroSchema(json.dumps(kind)).default("it") == []


@pytest.mark.parametrize(
    ("kind", "default"),
    [
        ("string", "x" * 4_097),
        ("bytes", "\u0100"),
        ({"type": "array", "items": "bytes"}, ["x"]),
        ("float", 1e300),
        ("int", 2**40),
        ("long", -(2**63) - 1),
        (["float", "null"], -1e300),
        ({"type": "array", "items": "float"}, [1.0, 1e39]),
        ({"type": "map", "values": "int"}, {"a": 2**31}),
    ],
)
def test_a_default_that_is_none_or_too_long_is_said(kind, default):
    schema = {"type": "record", "name": "R", "fields": [
        {"name": "it", "type": kind, "default": default}
    ]}  # fmt: skip
    with pytest.raises(SchemaUnusable, match="'it' that is not read|no schema of Avro"):
        AvroSchema(json.dumps(schema)).default("it")
