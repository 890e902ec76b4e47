"""Entity frames as bytes and columns, and what entity_frame makes of their times and keys."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from lib.media_types import CSV, PARQUET
from registry.spec.value_types import parse_type
from serving.historical.entity_frame import entity_frame, require_columns
from serving.historical.forms import ArrowFrame, read_columns, read_upload
from serving.historical.typed_columns import BadEntityFrame, instants, typed_key
from serving.limits import TooManyRows
from serving.values import BadKeyValue, KeyColumn, parse_key
from tests.serving.historical.test_api import parquet
from tests.serving.historical_world import LIMITS

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
INT = KeyColumn("driver_id", parse_type("int64"), "v")


def chunked(values, kind=None):
    return pa.chunked_array([pa.array(values, kind)])


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (chunked([NOON.replace(tzinfo=None)], pa.timestamp("s")), NOON),
        (chunked([NOON], pa.timestamp("ns", "Europe/Berlin")), NOON),
        (chunked([1], pa.timestamp("ns")), datetime(1970, 1, 1, tzinfo=UTC)),
        (chunked([-1], pa.timestamp("ns")), datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)),
        (chunked([NOON], pa.timestamp("ns", "Nowhere/Land")), NOON),
        (chunked([NOON], pa.timestamp("us", "Nowhere/Land")), NOON),
        (
            chunked([-(2**63) + 1], pa.timestamp("ns")),
            datetime(1677, 9, 21, 0, 12, 43, 145224, UTC),
        ),
        (chunked([date(2026, 3, 1)]), datetime(2026, 3, 1, tzinfo=UTC)),
        (chunked(["2026-03-01T12:00:00"]), NOON),
        (chunked(["2026-03-01 13:00:00+01:00"]), NOON),
        (chunked(["2026-03-01T12:00:00.0000009Z"]), NOON),
        (chunked([" 2026-03-01T12:00:00Z "], pa.large_string()), NOON),
        (chunked(["2026-03-01T12:00:00Z"]).dictionary_encode(), NOON),
        (chunked(["2026-03-01T12:00:00Z"], pa.string_view()), NOON),
        (pa.chunked_array([pa.RunEndEncodedArray.from_arrays([1], ["2026-03-01T12:00"])]), NOON),
    ],
)
def test_times_in_any_usual_form_become_utc_microseconds(column, expected):
    found = instants(column, name="t")

    assert found.type == pa.timestamp("us", "UTC")
    assert found.to_pylist() == [expected]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_both_halves_of_the_hour_that_clocks_repeat_are_their_own_instants(unit):
    early, late = datetime(2026, 11, 1, 5, 30, tzinfo=UTC), datetime(2026, 11, 1, 6, 30, tzinfo=UTC)
    column = chunked([early, late], pa.timestamp(unit, "America/New_York"))

    assert instants(column, name="t").to_pylist() == [early, late]


def test_zoned_and_naive_text_may_be_mixed():
    column = chunked(["2026-03-01T12:00:00", None, "2026-03-01T14:00:00+02:00"])

    assert instants(column, name="t").to_pylist() == [NOON, None, NOON]


@pytest.mark.parametrize(
    ("values", "kind", "says"),
    [
        ([1], pa.int64(), "numbers do not say their unit"),
        (["2026-02-30"], pa.string(), '"2026-02-30" is not an instant'),
        ([2**62], pa.timestamp("us"), "years 1 to 9999"),
        ([2**62], pa.timestamp("s"), "column 't'"),
    ],
)
def test_what_is_no_time_is_refused(values, kind, says):
    with pytest.raises(BadEntityFrame, match=says):
        instants(chunked(values, kind), name="t")


KEPT = [
    ("int64", [1.0, None, -(2.0**52)], pa.float64(), [1, None, -(2**52)]),
    ("int64", [1, 2**63 - 1], pa.uint64(), [1, 2**63 - 1]),
    ("int64", [Decimal("7")], pa.decimal128(10, 0), [7]),
    ("int32", [1, None], pa.int64(), [1, None]),
    ("int64", [None], pa.null(), [None]),
    ("string", ["a", "", None], pa.large_string(), ["a", "", None]),
    ("bytes", ["AP8="], pa.string(), [b"\x00\xff"]),
    ("bytes", [b"ab"], pa.binary(2), [b"ab"]),
    ("bytes", [b"ab"], pa.binary_view(), [b"ab"]),
    ("string", ["a", None], pa.string_view(), ["a", None]),
    ("string", ["a", None], pa.dictionary(pa.int8(), pa.large_string()), ["a", None]),
    ("int64", [1.0, None], pa.float16(), [1, None]),
    ("timestamp", [NOON], pa.timestamp("ns", "Nowhere/Land"), [NOON]),
    ("bool", [True, None], pa.bool_(), [True, None]),
    ("date", ["2026-03-01"], pa.string(), [date(2026, 3, 1)]),
    ("timestamp", ["2026-03-01T12:00:00Z"], pa.string(), [NOON]),
]


@pytest.mark.parametrize(("declared", "sent", "kind", "expected"), KEPT)
def test_keys_arrive_as_exactly_their_type(declared, sent, kind, expected):
    found = typed_key(chunked(sent, kind), KeyColumn("k", parse_type(declared), "v"))

    assert (found.type, found.to_pylist()) == (parse_type(declared).arrow, expected)


@pytest.mark.parametrize("declared", ["float32", "float64"])
def test_decimals_are_the_fractions_that_their_text_is(declared):
    chance, key = random.Random(14), KeyColumn("k", parse_type(declared), "v")
    for kind in (pa.decimal32(4, 1), pa.decimal64(18, 9), pa.decimal128(38, 20)):
        texts = [
            f"{chance.randrange(10 ** chance.randrange(1, kind.precision))}" for _ in range(500)
        ]
        sent = [Decimal(f"-{text}E-{kind.scale}") for text in texts]

        found = typed_key(chunked(sent, kind), key).to_pylist()

        assert found == [parse_key(float(str(each)), key.type, name="k") for each in sent]


@pytest.mark.parametrize(
    ("declared", "sent", "kind", "says"),
    [
        ("int64", ["1"], pa.string(), 'as string, as in "1"'),
        ("int64", [1.0, 1.5], pa.float64(), "1.5 in row 1"),
        ("int64", [float("nan")], pa.float64(), "null where there is none"),
        ("int64", [2.0**53], pa.float64(), "in row 0"),
        ("int64", [2**63], pa.uint64(), "k"),
        ("int32", [2**31], pa.int64(), "2147483648"),
        ("int64", [True], pa.bool_(), "as bool"),
        ("string", [1], pa.int64(), "as int64, as in 1"),
        ("bool", [1], pa.int64(), "true or false"),
        ("int64", [Decimal("1.5")], pa.decimal128(5, 1), "int64"),
        ("int64", [[2**31 - 1]], pa.list_(pa.date32()), "as list"),
        ("int64", [[1]], pa.list_(pa.timestamp("us", "Nowhere/Land")), "as list"),
        ("date", ["01.03.2026"], pa.string(), '"01.03.2026" is not'),
    ],
)
def test_keys_of_another_value_are_refused(declared, sent, kind, says):
    with pytest.raises((BadEntityFrame, BadKeyValue), match=says):
        typed_key(chunked(sent, kind), KeyColumn("k", parse_type(declared), "v"))


@pytest.mark.parametrize(
    ("delimiter", "word"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")]
)
@pytest.mark.parametrize("others", ["", ",label"])
def test_a_csv_frame_that_commas_do_not_separate_says_so(delimiter, word, others):
    header = delimiter.join(("driver_id", "event_timestamp"))
    body = f"{header}{others}\n{delimiter.join(('1', '2026-03-01'))}{others and ',1'}\n".encode()

    with pytest.raises(BadEntityFrame, match=f"separated by {word}; CSV .* commas"):
        entity_frame(read_upload(body, CSV, limits=LIMITS), [INT])


def test_a_missing_key_names_its_view_and_the_nearest_column():
    with pytest.raises(BadEntityFrame, match="a join key of spend.*Did you mean 'custmer_id'"):
        require_columns(["custmer_id"], [KeyColumn("customer_id", parse_type("int64"), "spend")])


def test_a_missing_key_is_not_taken_for_a_column_that_has_its_use_already():
    keys = [
        KeyColumn("customer_id", parse_type("int64"), "profile"),
        KeyColumn("store_id", parse_type("int64"), "balance"),
    ]

    with pytest.raises(BadEntityFrame) as caught:
        require_columns(["customer_id", "event_timestamp", "label"], keys)

    message = "the entity frame has no column 'store_id', a join key of balance."
    columns = "Its columns: customer_id, event_timestamp, label."
    assert str(caught.value) == f'{message} {columns} A key under another name is said in "views".'


def test_two_columns_of_one_name_are_refused():
    frame = pa.table([pa.array([1]), pa.array([2])], names=["a", "a"])

    with pytest.raises(BadEntityFrame, match="two columns 'a'"):
        entity_frame(ArrowFrame(frame), [])


def test_unequal_lengths_name_the_columns_and_their_lengths():
    with pytest.raises(BadEntityFrame, match=r"a: 1, b: 2"):
        read_columns({"a": [1], "b": [1, 2]}, limits=LIMITS)


def test_numbers_too_large_for_any_column_are_refused():
    sent = read_columns({"driver_id": [1], "event_timestamp": [0], "a": [2**70]}, limits=LIMITS)

    with pytest.raises(BadEntityFrame, match="column 'a'"):
        entity_frame(sent, [INT])


@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.string(), pa.bool_()])
def test_times_that_are_all_null_are_called_that_and_not_of_another_type(kind):
    frame = pa.table({"driver_id": pa.array([None], kind), "event_timestamp": pa.nulls(1, kind)})

    with pytest.raises(BadEntityFrame, match="null in row 0"):
        entity_frame(ArrowFrame(frame), [INT])


def test_an_empty_body_and_an_empty_csv_are_refused():
    for body in (b"", b"\n"):
        with pytest.raises(BadEntityFrame):
            read_upload(body, CSV, limits=LIMITS._replace(rows=10))


def test_rows_over_the_limit_are_refused_before_parquet_is_unpacked():
    body = parquet(pa.table({"driver_id": [1, 2, 3]}))

    with pytest.raises(TooManyRows, match="3 rows; one question takes at most 2"):
        read_upload(body, PARQUET, limits=LIMITS._replace(rows=2))


def test_csv_keys_are_read_as_declared_and_codes_stay_text():
    types = {"zip": "string", "n": "int64", "ok": "bool"}
    keys = [KeyColumn(name, parse_type(kind), "v") for name, kind in types.items()]
    body = b"zip,n,ok,code,x,event_timestamp\n007,7,true,008,1.5,2026-03-01\n,,,1,,2026-03-01\n"

    frame = entity_frame(read_upload(body, CSV, limits=LIMITS._replace(rows=10)), keys)

    typed = {"zip": ["007", None], "n": [7, None], "ok": [True, None]}
    assert {name: column.to_pylist() for (name, _), column in frame.keys.items()} == typed
    assert frame.table.drop_columns("event_timestamp").to_pydict() == {
        **typed,
        "code": ["008", "1"],
        "x": [1.5, None],
    }


def test_one_name_declared_with_two_types_is_each_of_them_and_shown_as_the_first():
    keys = [KeyColumn("k", parse_type(kind), kind) for kind in ("bytes", "string")]
    sent = read_columns({"k": ["AP8="], "event_timestamp": ["2026-03-01"]}, limits=LIMITS)

    frame = entity_frame(sent, keys)

    assert [column.to_pylist() for column in frame.keys.values()] == [[b"\x00\xff"], ["AP8="]]
    assert frame.table["k"].to_pylist() == [b"\x00\xff"]


def test_csv_repeats_times_and_bytes_as_they_were_written_and_joins_them_as_declared():
    keys = [KeyColumn("day", parse_type("date"), "v"), KeyColumn("raw", parse_type("bytes"), "v")]
    body = b"day,raw,event_timestamp\n2026-03-01,AP8=,2026-03-01\n"

    frame = entity_frame(read_upload(body, CSV, limits=LIMITS._replace(rows=10)), keys)

    typed = [[date(2026, 3, 1)], [b"\x00\xff"]]
    assert [column.to_pylist() for column in frame.keys.values()] == typed
    assert frame.table.select(["day", "raw"]).to_pydict() == {
        "day": ["2026-03-01"],
        "raw": ["AP8="],
    }
