"""Arrow columns packed as msgpack come back as the same values, null and NaN apart."""

from __future__ import annotations

import math
import string
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialization.stores.packing import narrow, pack, unpacker
from registry.spec.value_types import parse_type
from serving.online.stored_values import stored_to_json
from serving.values import json_ready

#: Values of each type; lists and vectors are made from them.
VALUES = {
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float32": st.floats(width=32),
    "float64": st.floats(),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
    "bytes": st.binary(max_size=300),
    "timestamp": st.datetimes(timezones=st.just(UTC)).map(lambda instant: instant.replace(fold=0)),
    "date": st.dates(),
    "decimal(20,7)": st.decimals(min_value=-(10**12), max_value=10**12, places=7),
    "json": st.text(string.printable, max_size=20),
}
LISTS = {
    f"list<{name}>": st.lists(st.none() | values, max_size=20) for name, values in VALUES.items()
}
ALL = (
    VALUES
    | LISTS
    | {
        "list<list<int64>>": st.lists(
            st.none() | st.lists(VALUES["int64"], max_size=3), max_size=3
        ),
        "vector<3>": st.lists(VALUES["float32"], min_size=3, max_size=3),
    }
)


def stored(values: list[object], name: str) -> list[object]:
    """Return what msgpack gives back for each packed value."""
    kind = parse_type(name)
    return [
        msgspec.msgpack.decode(item)
        for item in pack(pa.array(values, kind.arrow), kind).to_pylist()
    ]


def round_trip(values: list[object], name: str) -> list[object]:
    convert = unpacker(parse_type(name)) or (lambda value: value)
    return [None if item is None else convert(item) for item in stored(values, name)]


@pytest.mark.parametrize("name", ALL)
@given(data=st.data())
def test_every_type_round_trips_and_null_stays_null(name, data):
    values = data.draw(st.lists(st.none() | ALL[name], max_size=30))

    assert repr(round_trip(values, name)) == repr(values)


@pytest.mark.parametrize("name", VALUES)
@given(data=st.data())
def test_what_is_stored_is_the_json_of_the_value(name, data):
    values = data.draw(st.lists(VALUES[name], max_size=30))
    convert = stored_to_json(parse_type(name)) or (lambda value: value)

    if name != "json":
        assert [convert(item) for item in stored(values, name)] == [json_ready(v) for v in values]


@given(
    before=st.integers(0, 5),
    values=st.lists(st.none() | st.lists(st.none() | VALUES["string"], max_size=4), max_size=12),
)
def test_a_slice_of_a_column_packs_like_the_column(before, values):
    kind = parse_type("list<string>")
    column = pa.array(values, kind.arrow)

    packed = pack(column.slice(before), kind).to_pylist()

    assert [msgspec.msgpack.decode(item) for item in packed] == values[before:]


def test_nan_infinity_and_null_are_three_things():
    values = [math.nan, math.inf, -math.inf, None, 0.0, -0.0]

    assert stored(values, "float64") == ["NaN", "Infinity", "-Infinity", None, 0.0, 0.0]
    assert repr(round_trip(values, "float64")) == "[nan, inf, -inf, None, 0.0, -0.0]"


@pytest.mark.parametrize("size", [0, 15, 16, 31, 32, 255, 256, 65_535, 65_536])
def test_sizes_at_the_edges_of_msgpack_forms(size):
    assert round_trip(["x" * size], "string") == ["x" * size]
    assert round_trip([b"x" * size], "bytes") == [b"x" * size]
    assert round_trip([[1] * size], "list<int64>") == [[1] * size]


def test_instants_before_1970_and_past_the_exact_doubles():
    values = [datetime(1, 1, 1, tzinfo=UTC), datetime(2300, 1, 1, 0, 0, 0, 1, tzinfo=UTC)]

    assert round_trip(values, "timestamp") == values
    assert round_trip([date(1, 1, 1), date(9999, 12, 31)], "date") == [
        date(1, 1, 1),
        date(9999, 12, 31),
    ]
    assert round_trip([Decimal("0.0000001")], "decimal(20,7)") == [Decimal("0.0000001")]


def shortest(number: int) -> int:
    """Bytes that a signed number takes in msgpack, its marker among them."""
    if -32 <= number <= 127:
        return 1
    return next(
        1 + width for width in (1, 2, 4, 8) if -(1 << 8 * width - 1) <= number < 1 << 8 * width - 1
    )


EDGES = [sign * (1 << bits) + more for bits in range(63) for sign in (1, -1) for more in (-1, 0, 1)]


@given(st.lists(st.sampled_from([*EDGES, -33, -32, 2**63 - 1, -(2**63)]), min_size=1, max_size=5))
def test_each_number_is_narrowed_to_what_it_needs(numbers):
    packed = narrow(np.array(numbers, np.int64)).to_pylist()

    assert [msgspec.msgpack.decode(each) for each in packed] == numbers
    assert [len(each) for each in packed] == [shortest(each) for each in numbers]
