"""Views without aggregations: windows, dropped rows, times and strict casts."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materialization.errors import SourceUnreadable, SourceValueInvalid, UnknownColumn
from materialization.stores.columns import INSTANT, computed_schema
from tests.materialization.engine_cases import (
    END,
    at,
    compute_here,
    make_spec,
    wreck,
    write_parquet,
)

T = at("2024-03-01T12:00")
US = timedelta(microseconds=1)
SCHEMA = pa.schema(
    [("k", pa.int64()), ("event", INSTANT), ("created", INSTANT), ("x", pa.float64())]
)


def row(k=1, event=T, created=None, x=1.0):
    return {"k": k, "event": event, "created": created, "x": x}


def test_a_window_holds_the_rows_that_became_visible_in_it(tmp_path):
    rows = [
        row(1, T), row(2, T + US), row(3, T + 2 * US), row(4, T + 3 * US),
        row(5, T - timedelta(days=9), created=T + US),  # late
        row(6, T + US, created=T - timedelta(days=1)),  # known before it was true
        row(7, T + US, created=T + timedelta(days=1)),  # not known yet
    ]  # fmt: skip
    write_parquet(tmp_path, rows, SCHEMA)

    table, _ = compute_here(make_spec(created="created"), tmp_path, start=T, end=T + 2 * US)

    assert sorted(table["k"].to_pylist()) == [2, 3, 5, 6]
    by_key = {r["k"]: r for r in table.to_pylist()}
    assert by_key[2]["created_timestamp"] == T + US
    assert by_key[6]["created_timestamp"] == T - timedelta(days=1)
    assert table.schema == computed_schema(make_spec(created="created"))


@pytest.mark.parametrize(("created", "start"), [(None, 30), ("created", None)])
def test_of_a_sorted_file_only_the_row_groups_of_the_window_are_read(tmp_path, created, start):
    moments = [T + number * US for number in range(60)]
    rows = [row(number, moment, created=moment) for number, moment in enumerate(moments)]
    path = write_parquet(tmp_path, rows, SCHEMA, row_group_size=10)
    for group in (0, 1, 4, 5) if start else (4, 5):  # whoever reads their values fails
        wreck(path, group, column=SCHEMA.get_field_index("x"))

    begin = None if start is None else T + start * US
    table, counters = compute_here(
        make_spec(created=created), tmp_path, start=begin, end=T + 35 * US
    )

    assert sorted(table["k"].to_pylist()) == list(range(31 if start else 0, 36))
    assert counters.rows == table.num_rows


def test_rows_without_a_key_or_an_event_time_are_left_out_and_counted(tmp_path):
    write_parquet(
        tmp_path, [row(), row(k=None), row(k=None), row(event=None), row(1, T + US)], SCHEMA
    )

    table, counters = compute_here(make_spec(), tmp_path, end=T)

    assert table.num_rows == 1
    assert (counters.rows_read, counters.dropped_null_key, counters.dropped_null_time) == (4, 2, 1)
    assert counters.rows == 1


def test_start_leaves_out_rows_that_happened_before_it(tmp_path):
    write_parquet(tmp_path, [row(1, T - US), row(2, T), row(3, T - US, created=T + US)], SCHEMA)

    table, _ = compute_here(make_spec(created="created", start=T), tmp_path)

    assert table["k"].to_pylist() == [2]


def test_null_and_nan_stay_apart(tmp_path):
    write_parquet(tmp_path, [row(1, x=None), row(2, x=math.nan), row(3, x=0.0)], SCHEMA)

    table, _ = compute_here(make_spec(), tmp_path)

    values = {r["k"]: r["x"] for r in table.to_pylist()}
    assert values[1] is None
    assert math.isnan(values[2])
    assert values[3] == 0.0


moments = st.integers(-5, 5).map(lambda n: T + n * US)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(moments, st.none() | moments), max_size=8),
    st.lists(moments, max_size=3, unique=True),
)
def test_windows_that_touch_give_every_row_once(tmp_path_factory, times, cuts):
    directory = tmp_path_factory.mktemp("rows")
    write_parquet(
        directory, [row(n, event, created) for n, (event, created) in enumerate(times)], SCHEMA
    )
    edges = [None, *sorted(cuts), END]

    found = [
        key
        for start, end in zip(edges, edges[1:], strict=False)
        for key in compute_here(make_spec(created="created"), directory, start=start, end=end)[0][
            "k"
        ].to_pylist()
    ]

    assert sorted(found) == list(range(len(times)))


@pytest.mark.parametrize(
    ("kind", "value", "unit", "instant"),
    [
        (pa.timestamp("us"), datetime(2024, 1, 1, 10), "timestamp", at("2024-01-01T10:00")),  # noqa: DTZ001
        (pa.timestamp("ns"), -1, "timestamp", at("1969-12-31T23:59:59.999999")),
        (
            pa.timestamp("ns", tz="America/New_York"),
            1_999,
            "timestamp",
            at("1970-01-01T00:00:00.000001"),
        ),
        (pa.timestamp("ns", tz="UTC"), -1, "timestamp", at("1969-12-31T23:59:59.999999")),
        (pa.timestamp("us", tz="Europe/Berlin"), 0, "timestamp", at("1970-01-01T00:00")),
        (pa.timestamp("ms"), 1_500, "timestamp", at("1970-01-01T00:00:01.5")),
        (pa.date32(), date(1960, 2, 29), "timestamp", at("1960-02-29T00:00")),
        (pa.string(), "2024-01-01T10:00:00+02:00", "timestamp", at("2024-01-01T08:00")),
        (pa.string(), "2024-01-01 10:00:00.000001", "timestamp", at("2024-01-01T10:00:00.000001")),
        (pa.int64(), -1, "s", at("1969-12-31T23:59:59")),
        (pa.int64(), 1_699_874_292_123, "ms", at("2023-11-13T11:18:12.123")),
        (pa.int64(), -1, "us", at("1969-12-31T23:59:59.999999")),
        (pa.int64(), -1, "ns", at("1969-12-31T23:59:59.999999")),
        (pa.int64(), 1_999, "ns", at("1970-01-01T00:00:00.000001")),
        (pa.float64(), 1.5, "s", at("1970-01-01T00:00:01.5")),
        (pa.string(), "1699874292123", "ms", at("2023-11-13T11:18:12.123")),
    ],
)
def test_every_form_of_time_becomes_utc_microseconds(tmp_path, kind, value, unit, instant):
    column = pa.array([value], kind)
    rows = pa.table({"k": [1], "event": column, "x": [1.0]})
    write_parquet(tmp_path, rows.to_pylist(), rows.schema)
    pa.parquet.write_table(rows, tmp_path / "rows.parquet")

    table, _ = compute_here(make_spec(event_unit=unit), tmp_path)

    assert table["event_timestamp"].to_pylist() == [instant]


@pytest.mark.parametrize(
    ("kind", "value", "unit", "message"),
    [
        (pa.int64(), 5, "timestamp", "say what they count"),
        (pa.timestamp("us"), 5, "ms", "leave the unit out"),
        (
            pa.string(),
            "yesterday",
            "timestamp",
            "a value is not a timestamp. Write times as ISO",
        ),
        (
            pa.string(),
            "infinity",
            "timestamp",
            r"a value is not a timestamp.* write \{column: event, unit: s\}, or ms",
        ),
        (pa.int64(), 2**62, "s", "is not a time in s"),
        (pa.bool_(), True, "timestamp", "is not a time"),
    ],
)
def test_what_is_no_time_is_said_to_be_none(tmp_path, kind, value, unit, message):
    table = pa.table({"k": [1], "event": pa.array([value], kind), "x": [1.0]})
    pa.parquet.write_table(table, tmp_path / "rows.parquet")

    with pytest.raises(SourceValueInvalid, match=message):
        compute_here(make_spec(event_unit=unit), tmp_path)


GOOD = [
    (pa.float64(), 2.0**53 - 1, "int64", 2**53 - 1),
    (pa.string(), "9223372036854775807.0", "int64", 2**63 - 1),
    (pa.string(), "-1e3", "int64", -1000),
    (pa.decimal128(20, 1), Decimal("9007199254740993.0"), "int64", 2**53 + 1),
    (pa.string(), "-Infinity", "float32", -math.inf),
    (pa.string(), "1e308", "float64", 1e308),
    (pa.float64(), 2.5, "string", "2.5"),
    (pa.string(), "9999-12-31", "date", date(9999, 12, 31)),
    (
        pa.list_(pa.decimal128(5, 2)),
        [Decimal("1.50"), None],
        "list<decimal(5,2)>",
        [Decimal("1.50"), None],
    ),
    (pa.list_(pa.list_(pa.int32())), [[1, None], []], "list<list<int64>>", [[1, None], []]),
    (pa.list_(pa.struct([("a", pa.int64())])), [{"a": 1}], "list<json>", ['{"a":1}']),
    (pa.list_(pa.string()), ["2024-01-01"], "list<date>", [date(2024, 1, 1)]),
    (pa.string(), "[[1, 2], null]", "list<list<int64>>", [[1, 2], None]),
    (pa.string(), "[]", "list<float64>", []),
    (pa.string(), "[1, 2.5]", "vector<2>", [1.0, 2.5]),
    (pa.float64(), 3.0, "int64", 3),
    (pa.string(), " 12 ", "int64", 12),
    (pa.string(), "", "int64", None),
    (pa.string(), "", "string", ""),
    (pa.string(), "9007199254740993", "int64", 9007199254740993),
    (pa.int64(), 7, "string", "7"),
    (pa.int64(), 1, "bool", True),
    (pa.string(), "1.1", "float32", 1.100000023841858),
    (pa.float64(), 1.125, "float32", 1.125),
    (pa.string(), "nan", "float64", math.nan),
    (pa.float64(), 1.23, "decimal(10,2)", Decimal("1.23")),
    (pa.string(), "é", "bytes", "é".encode()),
    (pa.binary(), "é".encode(), "string", "é"),
    (pa.string(), '{"a": 1}', "json", '{"a": 1}'),
    (pa.struct([("a", pa.int64())]), {"a": 1}, "json", '{"a":1}'),
    (pa.timestamp("us"), datetime(2024, 1, 1), "date", date(2024, 1, 1)),  # noqa: DTZ001
    (pa.string(), "2024-01-01", "timestamp", datetime(2024, 1, 1, tzinfo=UTC)),
    (pa.list_(pa.int32()), [1, None], "list<int64>", [1, None]),
    (pa.string(), "[1.5, null]", "list<float64>", [1.5, None]),
    (pa.list_(pa.float64()), [1.0, 2.0], "vector<2>", [1.0, 2.0]),
]
BAD = [
    (pa.float64(), 2.0**53, "int64"),
    (pa.float64(), -(2.0**53), "int64"),
    (pa.float64(), 2.0**60, "string"),
    (pa.float32(), 2.0**24, "int32"),
    (pa.string(), "9007199254740993.4", "int64"),
    (pa.string(), "1e-30", "int64"),
    (pa.decimal128(20, 1), Decimal("9007199254740993.4"), "int64"),
    (pa.string(), "1e400", "float64"),
    (pa.string(), "-1e39", "float32"),
    (pa.date32(), 4_000_000, "date"),
    (pa.date32(), -800_000, "date"),
    (pa.string(), "infinity", "date"),
    (pa.string(), "12000-01-01", "date"),
    (pa.timestamp("us"), 10**18, "date"),
    (pa.list_(pa.date32()), [4_000_000], "list<date>"),
    (pa.list_(pa.timestamp("us")), [10**18], "list<timestamp>"),
    (pa.list_(pa.string()), ["infinity"], "list<timestamp>"),
    (pa.list_(pa.string()), [""], "list<timestamp>"),
    (pa.list_(pa.float64()), [2.0**53], "list<int64>"),
    (pa.list_(pa.list_(pa.float64())), [[1.0], [1.5]], "list<list<int64>>"),
    (pa.list_(pa.string()), ["1e400"], "list<float64>"),
    (pa.list_(pa.string()), ["{"], "list<json>"),
    (pa.string(), "[1, , 2]", "list<float64>"),
    (pa.list_(pa.int64()), [1], "list<list<int64>>"),
    (pa.float64(), 1.5, "int64"),
    (pa.float64(), math.nan, "int64"),
    (pa.string(), "1.5", "int64"),
    (pa.string(), "abc", "int64"),
    (pa.int64(), 2**40, "int32"),
    (pa.int64(), 2, "bool"),
    (pa.float64(), 1e300, "float32"),
    (pa.float64(), 1e12, "decimal(10,2)"),
    (pa.string(), "{", "json"),
    (pa.binary(), b"\xff", "string"),
    (pa.date32(), date(2024, 1, 1), "int64"),
    (pa.int64(), 5, "timestamp"),
    (pa.list_(pa.string()), ["1", "x"], "list<int64>"),
    (pa.list_(pa.float64()), [1.5], "list<int64>"),
    (pa.string(), "[1,x]", "list<float64>"),
    (pa.list_(pa.float64()), [1.0, 2.0], "vector<3>"),
    (pa.list_(pa.float64()), [1.0, None], "vector<2>"),
]


def test_a_key_outside_the_years_that_can_be_written_is_named(tmp_path):
    (tmp_path / "a.csv").write_text("k,event,x\n12000-01-01,2024-01-01,1\n")

    with pytest.raises(
        SourceValueInvalid, match="'k': a value is not a date. Write days as ISO 8601"
    ) as caught:
        compute_here(make_spec("a.csv", keys=[("k", "date")]), tmp_path)
    assert caught.value.example == "'12000-01-01'"


BIG = 1234567890123456789


@pytest.mark.parametrize("kind", ["int64", "string"])
def test_keys_that_floats_would_merge_are_refused(tmp_path, kind):
    """A column with one null was written as floats by the tool that made the second file."""
    for name, keys in {"a.parquet": [BIG, BIG + 1], "b.parquet": [7.0, None]}.items():
        times = pa.array([T, T], INSTANT)
        table = pa.table({"k": pa.array(keys), "event": times, "x": [1.0, 2.0]})
        pa.parquet.write_table(table, tmp_path / name)

    with pytest.raises(SourceValueInvalid, match="'k': a value is not a float64") as caught:
        compute_here(make_spec("*.parquet", keys=[("k", kind)]), tmp_path)

    assert caught.value.data == {"column": "k", "type": "float64"}
    assert caught.value.example == repr(str(BIG))


def test_digits_of_json_lines_are_kept_as_text_and_never_as_floats(tmp_path):
    lines = [{"k": BIG, "event": "2024-01-01", "x": 1}, {"k": 1.5, "event": "2024-01-01", "x": 1}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))

    table, _ = compute_here(make_spec("a.jsonl", keys=[("k", "string")]), tmp_path)

    assert set(table["k"].to_pylist()) == {str(BIG), "1.5"}
    with pytest.raises(SourceValueInvalid, match="'k'"):
        compute_here(make_spec("a.jsonl"), tmp_path)


def one_value(tmp_path, kind, value, want):
    table = pa.table({"k": [1], "event": pa.array([T], INSTANT), "x": pa.array([value], kind)})
    pa.parquet.write_table(table, tmp_path / "rows.parquet")
    return compute_here(make_spec(features=[("x", want)]), tmp_path)[0]


@pytest.mark.parametrize(("kind", "value", "want", "found"), GOOD)
def test_values_become_the_declared_type(tmp_path, kind, value, want, found):
    table = one_value(tmp_path, kind, value, want)

    assert table.schema == computed_schema(make_spec(features=[("x", want)]))
    assert str(table["x"].to_pylist()[0]) == str(found)


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_instants_in_lists_are_kept_to_the_microsecond_or_refused(tmp_path, zone):
    kind = pa.list_(pa.timestamp("ns", tz=zone))
    epoch = at("1970-01-01T00:00")

    table = one_value(tmp_path, kind, [1_000, -1_000, None], "list<timestamp>")
    assert table["x"].to_pylist() == [[epoch + US, epoch - US, None]]

    table = one_value(tmp_path, pa.list_(kind), [[1_000], None, []], "list<list<timestamp>>")
    assert table["x"].to_pylist() == [[[epoch + US], None, []]]

    with pytest.raises(SourceValueInvalid) as caught:
        one_value(tmp_path, kind, [1_999], "list<timestamp>")
    assert "00.000001999" in caught.value.example


@pytest.mark.parametrize(("kind", "value", "want"), BAD)
def test_a_value_that_cannot_is_an_error_that_names_it(tmp_path, kind, value, want):
    with pytest.raises(SourceValueInvalid) as caught:
        one_value(tmp_path, kind, value, want)

    assert caught.value.data["column"] == "x"
    assert caught.value.data["type"] == want
    assert "'x'" in caught.value.message


def test_csv_keeps_leading_zeros_and_tells_empty_from_null(tmp_path):
    (tmp_path / "a.csv").write_text('k,event,s\n007,2024-01-01,""\n008,2024-01-01T10:00:00Z,\n')
    (tmp_path / "b.csv").write_text("event,k,s\n2024-01-02,009,z\n")
    spec = make_spec("*.csv", keys=[("k", "string")], features=[("s", "string")])

    table, _ = compute_here(spec, tmp_path)

    assert {r["k"]: r["s"] for r in table.to_pylist()} == {"007": "", "008": None, "009": "z"}


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_json_texts_stay_as_they_are_written(tmp_path, name):
    rows = [
        {"k": "007", "event": "2024-01-01T10:00:00+02:00", "s": "2024-01-01", "o": {"x": 1}},
        {"k": "008", "event": "2024-01-01T10:00:00+02:00", "s": "2024-01-02"},
    ]
    lines = "\n".join(map(json.dumps, rows))
    (tmp_path / name).write_text(lines if name.endswith("l") else json.dumps(rows))
    spec = make_spec(name, keys=[("k", "string")], features=[("s", "string"), ("o", "json")])

    table, _ = compute_here(spec, tmp_path)

    first = min(table.to_pylist(), key=lambda r: r["k"])
    assert first["event_timestamp"] == at("2024-01-01T08:00")
    assert (first["k"], first["s"], json.loads(first["o"])) == ("007", "2024-01-01", {"x": 1})


@pytest.mark.parametrize(
    ("name", "text"), [("a.csv", "k,event,x\n"), ("a.json", "[]"), ("a.jsonl", "\n")]
)
def test_a_source_without_rows_gives_none(tmp_path, name, text):
    (tmp_path / name).write_text(text)

    assert compute_here(make_spec(name), tmp_path)[0].num_rows == 0


def test_a_column_that_is_not_there_is_named_with_the_nearest(tmp_path):
    write_parquet(tmp_path, [row()], SCHEMA)

    with pytest.raises(UnknownColumn, match="'creatd'.*Did you mean 'created'"):
        compute_here(make_spec(created="creatd"), tmp_path)
    with pytest.raises(UnknownColumn, match="'y'.*Valid: created, event, k, x"):
        compute_here(make_spec(features=[("z", "int64", "y")]), tmp_path)
    with pytest.raises(UnknownColumn, match="'y'.*Valid: created, event, k, x"):
        compute_here(make_spec(sql="SELECT k, event, y AS x FROM rows"), tmp_path)


def test_a_file_that_is_not_what_its_name_says(tmp_path):
    (tmp_path / "rows.parquet").write_text("this is no Parquet file at all")

    with pytest.raises(SourceUnreadable):
        compute_here(make_spec(), tmp_path)


def test_sql_is_a_select_over_the_source(tmp_path):
    write_parquet(tmp_path, [row(1, x=1.0), row(2, x=5.0), row(3, x=9.0)], SCHEMA)
    spec = make_spec(sql="SELECT k, event, x * 2 AS x FROM rows WHERE x > 2 -- not all")

    table, _ = compute_here(spec, tmp_path)

    assert sorted((r["k"], r["x"]) for r in table.to_pylist()) == [(2, 10.0), (3, 18.0)]


def test_names_are_quoted_everywhere(tmp_path):
    odd = 'x"; DROP TABLE y --'
    schema = pa.schema([("select", pa.string()), ("from ts", INSTANT), (odd, pa.float64())])
    write_parquet(tmp_path, [{"select": "it's", "from ts": T, odd: 2.0}], schema)
    spec = make_spec(
        keys=[("select", "string")], event="from ts", features=[("order", "float64", odd)]
    )

    table, _ = compute_here(spec, tmp_path)

    assert table.to_pylist() == [
        {"select": "it's", "event_timestamp": T, "created_timestamp": T, "order": 2.0}
    ]
