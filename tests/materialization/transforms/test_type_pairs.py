"""Every type a source can have, against every declared type: the value itself, or a refusal.

The values that a declared type holds are written down here one by one; whatever is not must be
refused by name. So a pair of types that nobody thought of cannot change a value in silence.
"""

from __future__ import annotations

import json
import math
import uuid
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from materialization.errors import SourceValueInvalid
from materialization.transforms.casts import cast
from registry.spec.value_types import parse_type

WANTED = (
    "bool", "int32", "int64", "float32", "float64", "string", "bytes", "timestamp", "date",
    "decimal(38,0)", "decimal(10,2)", "decimal(38,10)", "list<int64>", "list<string>", "vector<2>",
    "json",
)  # fmt: skip
INTEGERS = ("int32", "int64", "float32", "float64", "decimal(38,0)", "decimal(10,2)",
            "decimal(38,10)")  # fmt: skip
INSTANT = datetime(2024, 5, 1, 13, 30, tzinfo=UTC)
DAY = datetime(2024, 5, 1, tzinfo=UTC)
ID = uuid.UUID("73a0b767-de14-4893-95df-264a45fa26f8")


def numbers(value, *kinds, text=None):
    """A number is kept by ``kinds``, by string and JSON as ``text``, and by no other type."""
    kept = dict.fromkeys(kinds, value)
    return kept | {"string": text or str(value), "json": text or str(value)}


#: A source value as DuckDB's SQL writes it, and each declared type that keeps it, with what it is
#: then. Types that are not listed have to refuse it.
VALUES = {
    "1::TINYINT": numbers(1, *INTEGERS) | {"bool": True},
    "(-1)::SMALLINT": numbers(-1, *INTEGERS),
    "2::UTINYINT": numbers(2, *INTEGERS),
    "65535::USMALLINT": numbers(65535, *INTEGERS),
    "16777217::INTEGER": numbers(2**24 + 1, *(k for k in INTEGERS if k != "float32")),
    "4294967295::UINTEGER": numbers(
        2**32 - 1, "int64", "float64", "decimal(38,0)", "decimal(38,10)"
    ),
    "9007199254740993::BIGINT": numbers(2**53 + 1, "int64", "decimal(38,0)", "decimal(38,10)"),
    "9007199254740994::BIGINT": numbers(
        2**53 + 2, "int64", "float64", "decimal(38,0)", "decimal(38,10)"
    ),
    "9223372036854775807::BIGINT": numbers(2**63 - 1, "int64", "decimal(38,0)", "decimal(38,10)"),
    "18446744073709551615::UBIGINT": numbers(2**64 - 1, "decimal(38,0)", "decimal(38,10)"),
    "18446744073709551616::HUGEINT": numbers(
        2**64, "float32", "float64", "decimal(38,0)", "decimal(38,10)"
    ),
    "170141183460469231731687303715884105727::HUGEINT": numbers(2**127 - 1),
    "340282366920938463463374607431768211455::UHUGEINT": numbers(2**128 - 1),
    "0.5::FLOAT": numbers(0.5, "float32", "float64", "decimal(10,2)", "decimal(38,10)"),
    "2::FLOAT": numbers(2, *INTEGERS, text="2.0"),
    "16777216::FLOAT": {"float32": 2.0**24, "float64": 2.0**24, "json": "16777216.0"},
    "0.1::DOUBLE": numbers(0.1, "float64")
    | {"decimal(10,2)": Decimal("0.1"), "decimal(38,10)": Decimal("0.1")},
    "0.125::DOUBLE": numbers(0.125, "float32", "float64", "decimal(38,10)"),
    "2147483647::DOUBLE": numbers(
        2**31 - 1, "int32", "int64", "float64", "decimal(38,0)", "decimal(38,10)",
        text="2147483647.0",
    ),
    "9007199254740992::DOUBLE": {"float32": 2.0**53, "float64": 2.0**53,
                                 "json": "9007199254740992.0"},
    "1e300::DOUBLE": {"float64": 1e300, "json": "1e300"},
    "1e-300::DOUBLE": {"float64": 1e-300, "json": "1e-300", "string": "1e-300"},
    "'nan'::DOUBLE": {"float32": math.nan, "float64": math.nan, "string": "nan"},
    "'-inf'::FLOAT": {"float32": -math.inf, "float64": -math.inf, "string": "-inf"},
    "1.10::DECIMAL(4,2)": {
        "float32": pytest.approx(1.1, rel=1e-7), "float64": 1.1, "string": "1.10", "json": "1.10",
        "decimal(10,2)": Decimal("1.10"), "decimal(38,10)": Decimal("1.1"),
    },
    "1.005::DECIMAL(4,3)": {
        "float32": pytest.approx(1.005, rel=1e-7), "float64": 1.005, "string": "1.005",
        "json": "1.005", "decimal(38,10)": Decimal("1.005"),
    },
    "12345678901234567890.123456789::DECIMAL(38,9)": {
        "string": "12345678901234567890.123456789", "json": "12345678901234567890.123456789",
        "decimal(38,10)": Decimal("12345678901234567890.123456789"),
    },
    "true": {"bool": True, **dict.fromkeys(INTEGERS, 1), "string": "true", "json": "true"},
    "DATE '2024-05-01'": {
        "date": DAY.date(), "timestamp": DAY, "string": "2024-05-01", "json": '"2024-05-01"',
    },
    "TIMESTAMP '2024-05-01 00:00:00'": {
        "date": DAY.date(), "timestamp": DAY, "string": "2024-05-01 00:00:00",
        "json": '"2024-05-01 00:00:00"',
    },
    "TIMESTAMP '2024-05-01 13:30:00'": {
        "timestamp": INSTANT, "string": "2024-05-01 13:30:00", "json": '"2024-05-01 13:30:00"',
    },
    "TIMESTAMP_S '2024-05-01 13:30:00'": {
        "timestamp": INSTANT, "string": "2024-05-01 13:30:00", "json": '"2024-05-01 13:30:00"',
    },
    "TIMESTAMPTZ '2024-05-01 15:30:00+02:00'": {
        "timestamp": INSTANT, "string": "2024-05-01 13:30:00+00",
        "json": '"2024-05-01 13:30:00+00"',
    },
    "TIMESTAMP_NS '2024-05-01 13:30:00.000001'": {
        "timestamp": INSTANT + timedelta(microseconds=1),
        "string": "2024-05-01 13:30:00.000001", "json": '"2024-05-01 13:30:00.000001"',
    },
    "TIMESTAMP_NS '2024-05-01 00:00:00.000000001'": {
        "string": "2024-05-01 00:00:00.000000001", "json": '"2024-05-01 00:00:00.000000001"',
    },
    "TIME '13:30:00'": {"string": "13:30:00", "json": '"13:30:00"'},
    # An engine's own words for a span of time, and for bits.
    "INTERVAL 90 MINUTE": {},
    "{'a': INTERVAL 90 MINUTE}": {},
    "'10101'::BIT": {},
    "TIMETZ '13:30:00+02'": {"string": "13:30:00+02", "json": '"13:30:00+02"'},
    # JSON has numbers as they are written, however deep they are.
    "0.50::DECIMAL(2,2)": {
        "float32": 0.5, "float64": 0.5, "string": ".50", "json": "0.50",
        "decimal(10,2)": Decimal("0.5"), "decimal(38,10)": Decimal("0.5"),
    },
    "{'FLOAT': 0.1::FLOAT, 'a b': [1.10::DECIMAL(4,2)]}": {
        "string": '{"FLOAT":0.1,"a b":[1.10]}', "json": '{"FLOAT":0.1,"a b":[1.10]}',
    },
    "MAP {'DECIMAL(4,2)': 100::DECIMAL(3,0)}": {
        "string": '{"DECIMAL(4,2)":100}', "json": '{"DECIMAL(4,2)":100}',
    },
    f"UUID '{ID}'": {"string": str(ID), "json": f'"{ID}"'},
    "'it''s'": {"string": "it's", "bytes": b"it's"},
    "'null'": {"string": "null", "bytes": b"null", "json": "null"},
    "'\"12\"'": {"string": '"12"', "bytes": b'"12"', "json": '"12"'},
    "'12'": {
        **dict.fromkeys(INTEGERS, 12), "string": "12", "bytes": b"12", "json": "12",
    },
    "'1_000'": {"string": "1_000", "bytes": b"1_000"},
    "'0x10'": {"string": "0x10", "bytes": b"0x10"},
    "'1.10'": {
        "float32": pytest.approx(1.1, rel=1e-7), "float64": 1.1, "decimal(10,2)": Decimal("1.1"),
        "decimal(38,10)": Decimal("1.1"), "string": "1.10", "bytes": b"1.10", "json": "1.10",
    },
    "'1.005e0'": {
        "float32": pytest.approx(1.005, rel=1e-7), "float64": 1.005,
        "decimal(38,10)": Decimal("1.005"), "string": "1.005e0", "bytes": b"1.005e0",
        "json": "1.005e0",
    },
    "'9007199254740993'": {
        "int64": 2**53 + 1, "decimal(38,0)": 2**53 + 1, "decimal(38,10)": 2**53 + 1,
        "string": "9007199254740993", "bytes": b"9007199254740993", "json": "9007199254740993",
    },
    "'1e-400'": {"string": "1e-400", "bytes": b"1e-400", "json": "1e-400"},
    "'NaN'": {"float32": math.nan, "float64": math.nan, "string": "NaN", "bytes": b"NaN"},
    "'2024-05-01'": {
        "date": DAY.date(), "timestamp": DAY, "string": "2024-05-01", "bytes": b"2024-05-01",
    },
    "'2024-05-01 13:30'": {
        "timestamp": INSTANT, "string": "2024-05-01 13:30", "bytes": b"2024-05-01 13:30",
    },
    "'2024-05-01T13:30:00.0000001Z'": {
        "string": "2024-05-01T13:30:00.0000001Z", "bytes": b"2024-05-01T13:30:00.0000001Z",
    },
    "'[1,2]'": {
        "list<int64>": [1, 2], "list<string>": ["1", "2"], "vector<2>": [1.0, 2.0],
        "string": "[1,2]", "bytes": b"[1,2]", "json": "[1,2]",
    },
    "'[9007199254740993, 1.50]'": {
        "string": "[9007199254740993, 1.50]", "bytes": b"[9007199254740993, 1.50]",
        "json": "[9007199254740993, 1.50]",
    },
    """'["null","12",null,"a\\nb"]'""": {
        "list<string>": ["null", "12", None, "a\nb"], "string": '["null","12",null,"a\\nb"]',
        "bytes": b'["null","12",null,"a\\nb"]', "json": '["null","12",null,"a\\nb"]',
    },
    "'[NaN]'": {"string": "[NaN]", "bytes": b"[NaN]"},
    "'{\"a\":1,}'": {"string": '{"a":1,}', "bytes": b'{"a":1,}'},
    "'ok'::BLOB": {"bytes": b"ok", "string": "ok"},
    "'{}'::BLOB": {"bytes": b"{}", "string": "{}", "json": "{}"},
    "'[1,]'::BLOB": {"bytes": b"[1,]", "string": "[1,]"},
    "'\\xFF'::BLOB": {"bytes": b"\xff"},
    "'gold'::ENUM('gold')": {"string": "gold", "bytes": b"gold"},
    "[1, 2]": {
        "list<int64>": [1, 2], "list<string>": ["1", "2"], "vector<2>": [1.0, 2.0],
        "string": "[1,2]", "json": "[1,2]",
    },
    "array_value(1::BIGINT, 9007199254740993)": {
        "list<int64>": [1, 2**53 + 1], "list<string>": ["1", "9007199254740993"],
        "string": "[1,9007199254740993]", "json": "[1,9007199254740993]",
    },
    "[0.1::DOUBLE, 2]": {"list<string>": ["0.1", "2.0"], "string": "[0.1,2.0]",
                         "json": "[0.1,2.0]"},
    "['null', 'NaN']": {"list<string>": ["null", "NaN"], "string": '["null","NaN"]',
                        "json": '["null","NaN"]'},
    "{'a': 1, 'b': NULL}": {"string": '{"a":1,"b":null}', "json": '{"a":1,"b":null}'},
    "{'a': 'nan'::DOUBLE}": {},
    "{'a': ['inf'::FLOAT]}": {},
    "{'a': 'NaN', 'b,': '[1,]'}": {"string": '{"a":"NaN","b,":"[1,]"}',
                                   "json": '{"a":"NaN","b,":"[1,]"}'},
    "{'a': '\\xFF'::BLOB}": {},
    "MAP {'k': 0.5}": {"string": '{"k":0.5}', "json": '{"k":0.5}'},
    "'\"null\"'::JSON": {"string": "null", "bytes": b"null", "json": '"null"'},
    "'\"00123\"'::JSON": {
        **dict.fromkeys(INTEGERS, 123), "string": "00123", "bytes": b"00123",
        "json": '"00123"',
    },
    "'1.10'::JSON": {
        "float32": pytest.approx(1.1, rel=1e-7), "float64": 1.1, "decimal(10,2)": Decimal("1.1"),
        "decimal(38,10)": Decimal("1.1"), "string": "1.10", "bytes": b"1.10", "json": "1.10",
    },
    "'12345678901234567890123'::JSON": {
        "decimal(38,0)": 12345678901234567890123, "decimal(38,10)": 12345678901234567890123,
        "string": "12345678901234567890123", "bytes": b"12345678901234567890123",
        "json": "12345678901234567890123",
    },
    """'["2024-05-01T00:00:00Z", "1e5"]'::JSON""": {
        "list<string>": ["2024-05-01T00:00:00Z", "1e5"],
        "string": '["2024-05-01T00:00:00Z", "1e5"]', "bytes": b'["2024-05-01T00:00:00Z", "1e5"]',
        "json": '["2024-05-01T00:00:00Z", "1e5"]',
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect() as opened:
        opened.execute("SET TimeZone = 'UTC'")
        yield opened


def became(connection, relation, want):
    """Return the value as the declared type, or REFUSED; the message names column and type."""
    ((_, have, *_),) = connection.execute(f"DESCRIBE SELECT x FROM {relation}").fetchall()
    try:
        made = cast("x", have=have, want=parse_type(want), column="x")
    except SourceValueInvalid as exc:
        assert "'x'" in exc.message
        assert want in exc.message
        return REFUSED
    try:
        table = connection.sql(f"SELECT {made.strict} AS x FROM {relation}").to_arrow_table()
    except duckdb.InvalidInputException as exc:
        assert "assay:" in str(exc), (relation, want, exc)
        assert f'"type":"{want}"' in str(exc)
        return REFUSED
    assert table.schema.field("x").type.equals(parse_type(want).arrow)
    return table["x"][0].as_py()


REFUSED = "refused"


def equal(found, kept):
    if isinstance(kept, float) and math.isnan(kept):
        return isinstance(found, float) and math.isnan(found)
    same = type(found) is type(kept) or not isinstance(found, (str, bytes, bool))
    return same and found == kept


@pytest.mark.parametrize("value", VALUES)
def test_a_declared_type_has_the_value_or_refuses_it(connection, value):
    relation = f"(SELECT {value} AS x)"
    found = {want: became(connection, relation, want) for want in WANTED}

    wrong = {
        want: (found[want], VALUES[value].get(want, REFUSED))
        for want in WANTED
        if not equal(found[want], VALUES[value].get(want, REFUSED))
    }
    assert wrong == {}


@pytest.mark.parametrize("want", WANTED)
def test_null_is_null_in_every_type(connection, want):
    for value in VALUES:
        relation = f"(SELECT x FROM (SELECT {value} AS x) WHERE FALSE UNION ALL SELECT NULL)"
        assert became(connection, relation, want) in (None, REFUSED)


#: Arrow type → a value, as pandas, polars and Spark write them.
ARROW = {
    pa.float16(): 0.5,
    pa.uint8(): 255,
    pa.uint16(): 65535,
    pa.uint32(): 2**32 - 1,
    pa.uint64(): 2**64 - 1,
    pa.int8(): -128,
    pa.large_string(): "é",
    pa.string_view(): "é",
    pa.large_binary(): b"\xff",
    pa.binary(3): b"abc",
    pa.dictionary(pa.int8(), pa.string()): "gold",
    pa.timestamp("s"): INSTANT.replace(tzinfo=None),
    pa.timestamp("ms", tz="Asia/Tokyo"): INSTANT,
    pa.timestamp("ns", tz="Asia/Tokyo"): INSTANT,
    pa.time32("s"): time(13, 30),
    pa.time64("us"): time(13, 30),
    pa.duration("us"): timedelta(hours=1),
    pa.decimal128(38, 10): Decimal("1.0000000001"),
    pa.decimal128(9, 2): Decimal("1.10"),
    pa.large_list(pa.int32()): [1, None],
    pa.list_(pa.float32(), 2): [0.5, 1.0],
    pa.map_(pa.string(), pa.int64()): [("k", 2**53 + 1)],
    pa.struct([("a", pa.timestamp("us"))]): {"a": DAY.replace(tzinfo=None)},
    pa.null(): None,
}


@pytest.mark.parametrize("kind", ARROW, ids=str)
def test_a_file_of_any_arrow_type_keeps_its_values_or_is_refused(connection, tmp_path, kind):
    value, path = ARROW[kind], tmp_path / "rows.parquet"
    pq.write_table(pa.table({"x": pa.array([value], kind)}), path)
    relation = f"read_parquet('{path}')"

    found = {want: became(connection, relation, want) for want in WANTED}

    kept = {want: each for want, each in found.items() if each != REFUSED}
    for want, each in kept.items():
        assert value is None or says(value, each, want), (str(kind), want, each)
    assert kept, "some type has it"


def says(value, found, want):
    """Tell whether ``found`` is ``value``: equal, or the text of it."""
    if want in ("string", "json", "bytes"):
        return found == value or str(found) in set(texts_of(value))
    if isinstance(value, timedelta):  # Parquet keeps a duration as a count
        return found == value / timedelta(microseconds=1)
    if isinstance(value, datetime):
        return found == value.replace(tzinfo=UTC)
    if isinstance(value, list) and want == "list<string>":
        return found == [each if each is None else str(each) for each in value]
    if isinstance(value, Decimal) and isinstance(found, float):
        return found == pytest.approx(float(value), rel=2**-24)
    return found == value


def texts_of(value):
    if isinstance(value, bytes):
        yield value.decode()
        return
    if isinstance(value, timedelta):
        yield str(value // timedelta(microseconds=1))
    if isinstance(value, str):
        yield str(value.encode())
    if isinstance(value, list) and isinstance(value[0], tuple):
        value = dict(value)
    plain = str(value).replace("+00:00", "+00")
    yield from (plain, f'"{plain}"', plain.rstrip("0"))
    yield json.dumps(value, default=str, separators=(",", ":"))


numerals = st.from_regex(r"[+-]?([0-9]{1,20}\.?[0-9]{0,20}|\.[0-9]{1,12})([eE][+-]?[0-9]{1,2})?",
                         fullmatch=True).filter(str.isascii)  # fmt: skip


@settings(max_examples=60)
@given(written=numerals, want=st.sampled_from(INTEGERS))
@example(written=".0E-1", want="int32")
@example(written="0.000", want="decimal(10,2)")
def test_a_numeral_is_the_number_it_says_or_refused(connection, written, want):
    found = became(connection, f"(SELECT '{written}' AS x)", want)

    meant = Fraction(written)
    if want.startswith("float"):
        limit = 2**24 if want == "float32" else 2**53
        if found == REFUSED:
            assert abs(meant) >= limit or 0 < abs(meant) < 1e-45
        else:
            assert found == pytest.approx(float(meant), rel=2**-24 if want == "float32" else 0)
    elif found == REFUSED:
        scale = parse_type(want).scale
        fits = (meant * 10**scale).denominator == 1
        least = {"int32": 2**31, "int64": 2**63, "decimal(10,2)": 10**8}.get(want, 10**28)
        assert not fits or abs(meant) >= least
    else:
        assert Fraction(found) == meant


@settings(max_examples=60)
@given(
    value=st.integers(
        -(2**127) + 1, 2**127 - 1
    )  # the least of all cannot be cast back, and is refused
    | st.integers(-(2**64), 2**64)
    | st.builds(lambda n, s: n << s, st.integers(-(2**53), 2**53), st.integers(0, 70)),
    want=st.sampled_from(("float32", "float64", "int64", "decimal(38,0)")),
)
@example(value=-(2**53) - 2, want="float64")
def test_a_whole_number_is_kept_whole_or_refused(connection, value, want):
    found = became(connection, f"(SELECT '{value}'::HUGEINT AS x)", want)

    if found != REFUSED:
        assert int(found) == value
    elif want == "int64":
        assert not -(2**63) <= value < 2**63
    elif want == "float64":
        assert int(float(value)) != value


@settings(max_examples=60)
@given(value=st.floats() | st.floats(width=32) | st.integers(-1000, 1000).map(lambda n: n / 100))
def test_a_double_in_another_type_is_itself_or_refused(connection, value):
    relation = f"(SELECT '{value!r}'::DOUBLE AS x)"

    for want in INTEGERS:
        found = became(connection, relation, want)
        if found == REFUSED:
            continue
        if math.isnan(value):
            assert math.isnan(found)
        elif want.startswith("decimal"):
            assert Fraction(found) == Fraction(repr(value))
        else:
            assert found == value
    assert became(connection, relation, "float64") != REFUSED


scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text()
values = st.recursive(
    scalars, lambda one: st.lists(one) | st.dictionaries(st.text(), one), max_leaves=6
)


@settings(max_examples=60)
@given(value=values)
def test_json_is_json_or_refused(connection, value):
    text = json.dumps(value)
    quoted = text.replace("'", "''")

    found = became(connection, f"(SELECT '{quoted}' AS x)", "json")

    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        text = REFUSED
    assert found == text
