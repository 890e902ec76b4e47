"""What a function gives becomes what was declared by the rules that hold for sources, or fails."""

from __future__ import annotations

import datetime
import math
from decimal import Context, Decimal

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from materialization.confined.values import NO_VALUE, become, first_unlike, may_become
from materialization.transforms.casts import cast
from registry.spec.value_types import parse_type

WANTED = (
    "int32", "int64", "float32", "float64", "decimal(38,0)", "decimal(10,2)", "decimal(38,10)",
)  # fmt: skip
WHOLE = {
    f"{sign}int{bits}": (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for sign in ("", "u")
    for bits in (8, 16, 32, 64)
}
NO_WAY = object()


def ours(value, have, want):
    column = pa.array([None, value], have)
    try:
        return become(column, parse_type(want).arrow)[1].as_py()
    except NO_VALUE:
        return NO_WAY


def a_sources(value, have, want):
    """The same by the rules for columns of a source."""
    with duckdb.connect() as connection:
        table = pa.table({"x": pa.array([value], have)})
        relation = connection.from_arrow(table)
        made = cast("x", have=str(relation.types[0]), want=parse_type(want), column="x")
        try:
            found = relation.query("t", f"SELECT {made.strict} AS x FROM t")  # noqa: S608
            return found.to_arrow_table()["x"][0].as_py()
        except duckdb.Error:
            return NO_WAY


@st.composite
def numbers(draw):
    kind = draw(st.sampled_from([*WHOLE, "float", "double", "decimal"]))
    if kind in WHOLE:
        low, high = WHOLE[kind]
        near = st.sampled_from([low, high, 2**24 + 1, 2**53 + 1, 2**53 + 2, 2**63 - 512])
        value = draw(st.integers(low, high) | near.filter(lambda n: low <= n <= high))
        return value, pa.type_for_alias(kind)
    if kind != "decimal":
        width = 32 if kind == "float" else 64
        some = st.floats(width=width) | st.integers(-(2**24), 2**24).map(float)
        tens = st.decimals(-1000, 1000, places=2).map(float) if width == 64 else some
        return draw(some | tens), pa.type_for_alias(kind)
    precision, scale = draw(st.sampled_from([(4, 2), (4, 3), (18, 9), (38, 0), (38, 9)]))
    digits = draw(st.integers(-(10**precision) + 1, 10**precision - 1) | st.integers(-99, 99))
    exactly = Context(prec=precision)
    return Decimal(digits).scaleb(-scale, exactly), pa.decimal128(precision, scale)


@settings(max_examples=200, deadline=None)
@given(numbers(), st.sampled_from(WANTED))
@example((16777217.0, pa.float64()), "float32")
@example((1e300, pa.float64()), "float32")
@example((1e-300, pa.float64()), "float32")
@example((math.nan, pa.float64()), "float32")
@example((-math.inf, pa.float64()), "float32")
@example((math.inf, pa.float64()), "decimal(38,0)")
@example((0.129, pa.float64()), "decimal(10,2)")
@example((0.1, pa.float64()), "decimal(10,2)")
@example((2.0**53, pa.float64()), "int64")
@example((2**64 - 1, pa.uint64()), "float64")
@example((2**63 - 1, pa.int64()), "float32")
@example((Decimal("0.10"), pa.decimal128(4, 2)), "float32")
@example((Decimal("0.12345678901"), pa.decimal128(18, 11)), "float32")
def test_numbers_become_what_those_of_a_source_do(number, want):
    value, have = number

    got, expected = ours(value, have, want), a_sources(value, have, want)
    assert may_become(have, parse_type(want).arrow)
    assert got == expected or (got != got and expected != expected), (got, expected)  # noqa: PLR0124


KEPT = {
    "half floats": ([1.5, None], pa.float16(), "float32", [1.5, None]),
    "small decimals": ([Decimal("1.10")], pa.decimal64(5, 2), "decimal(38,10)", [Decimal("1.1")]),
    "codes": (["a", "b"], pa.dictionary(pa.int8(), pa.large_string()), "string", ["a", "b"]),
    "seconds": ([1], pa.timestamp("s"), "timestamp", None),
    "large lists": ([[1], None, []], pa.large_list(pa.int8()), "list<int64>", [[1], None, []]),
    "views": ([[1], None, [2, 3]], pa.list_view(pa.int8()), "list<int64>", [[1], None, [2, 3]]),
    "arrays": ([[1, 2], None], pa.list_(pa.int64(), 2), "vector<2>", [[1.0, 2.0], None]),
    "codes in lists": ([["a"]], pa.list_(pa.dictionary(pa.int8(), pa.string())), "list<string>",
                       [["a"]]),
    "lists in lists": ([[[1], None]], pa.list_(pa.list_(pa.int8())), "list<list<int64>>",
                       [[[1], None]]),
    "nulls in lists": ([[None]], pa.list_(pa.null()), "list<float32>", [[None]]),
}  # fmt: skip


@pytest.mark.parametrize("what", KEPT)
def test_what_the_declared_type_has_stays_as_it_is(what):
    values, have, want, expected = KEPT[what]
    kind = parse_type(want).arrow
    plain = have.value_type if pa.types.is_dictionary(have) else have
    column = pa.array(values, plain)
    column = column.dictionary_encode() if plain is not have else column

    assert may_become(have, kind)
    made = become(column, kind)
    made.validate(full=True)
    assert made.type == kind
    if expected is not None:
        assert made.to_pylist() == expected
        assert become(column.slice(1), kind).to_pylist() == expected[1:]


REFUSED = {
    "digits in lists": ([[1.0, None], [16777217.0]], pa.list_(pa.float64()), "list<float32>"),
    "digits in vectors": ([[0.5, 1.0], [0.1, 0.2]], pa.list_(pa.float64()), "vector<2>"),
    "cents in lists": ([[0.5], [0.129]], pa.list_(pa.float64()), "list<decimal(10,2)>"),
    "nanoseconds": ([0, 1], pa.timestamp("ns"), "timestamp"),
    "nanoseconds in lists": ([[0], [1]], pa.list_(pa.timestamp("ns")), "list<timestamp>"),
    "half a day": ([0, 43_200_000], pa.date64(), "date"),
    "half floats": ([1.0, 0.1], pa.float16(), "decimal(10,2)"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_one_value_that_would_be_another_is_refused_and_found(what):
    values, have, want = REFUSED[what]
    kind = parse_type(want).arrow
    column = pa.array(values, pa.int64()).view(have) if have == pa.date64() else pa.array(
        values, have
    )  # fmt: skip

    assert may_become(have, kind)
    with pytest.raises(NO_VALUE):
        become(column, kind)
    assert become(column.slice(0, 1), kind).type == kind
    assert first_unlike(column, kind) == str(column[1])


def test_what_lies_below_a_null_is_no_value():
    items = pa.array([1e300, 0.5])
    column = pa.ListArray.from_arrays([0, 1, 2], items, mask=pa.array([True, False]))

    assert become(column, pa.list_(pa.float32())).to_pylist() == [None, [0.5]]


@pytest.mark.parametrize(
    ("have", "want"),
    [
        (pa.list_(pa.string()), "list<int64>"),
        (pa.list_(pa.int64()), "list<string>"),
        (pa.list_(pa.timestamp("us")), "list<int64>"),
        (pa.list_(pa.list_(pa.string())), "list<list<bytes>>"),
        (pa.dictionary(pa.int8(), pa.string()), "int64"),
        (pa.bool_(), "int64"),
        (pa.timestamp("us"), "date"),
        (pa.duration("us"), "int64"),
    ],
)
def test_types_of_other_kinds_become_none(have, want):
    assert not may_become(have, parse_type(want).arrow)


def test_an_instant_is_that_of_its_zone():
    noon = datetime.datetime(2024, 5, 1, 12, tzinfo=datetime.UTC)
    column = pa.array([noon], pa.timestamp("ms", "Europe/Berlin"))

    assert become(column, parse_type("timestamp").arrow).to_pylist() == [noon]
