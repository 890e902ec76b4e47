"""Variances and deviations out of exact totals, against fractions."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from fractions import Fraction

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materialization.transforms.aggregation.aggregates import Aggregates
from materialization.transforms.aggregation.arguments import Argument
from materialization.transforms.aggregation.computing import facts_of
from materialization.transforms.aggregation.exact_squares import SPREAD, spread
from materialization.transforms.aggregation.exact_sums import Found, bins_sql, numbered_bins
from materialization.transforms.aggregation.function import Call
from materialization.transforms.aggregation.functions import FUNCTIONS
from materialization.transforms.aggregation.rounding import layered

TYPES = ["HUGEINT[]", "INTEGER[]", "HUGEINT[]", "INTEGER[]", "INTEGER", "HUGEINT", "BOOLEAN"]
wide = st.builds(math.ldexp, st.floats(-1, 1), st.integers(-1074, 900))
near = st.builds(math.ldexp, st.floats(-1, 1), st.integers(-30, 60))


def spreads(groups, kind="DOUBLE", *, name="variance", bins=None, exactly=spread):
    """Return what the stages make of the values of each group."""
    call = Call(0, FUNCTIONS[name], {}, Argument("x", kind, "x"), 0, 0, 0, 0)
    with duckdb.connect() as connection:
        connection.create_function(SPREAD, exactly, TYPES, "DOUBLE")
        pairs = [(g, str(value)) for g, values in enumerate(groups) for value in values]
        given = pa.table({"g": [g for g, _ in pairs], "x": [x for _, x in pairs]})
        connection.register("given", given)
        sql = f"CREATE TEMP TABLE raw AS SELECT g, CAST(x AS {kind}) AS a0 FROM given"
        connection.execute(sql)
        aggregates = Aggregates([call.argument], [], [call], [])
        found = facts_of(connection, aggregates)
        if bins == "many":
            asked = f"SELECT {bins_sql('a0')} FROM raw"
            found = {0: Found(numbered_bins(connection.execute(asked).fetchall()[0][0]), False)}
        [call] = aggregates.with_found(found).calls
        state, value = call.function.state, call.staged
        prepared = "".join(f", {sql} AS {name}" for name, sql in state.prepared(call).items())
        totals = ", ".join(
            f"{column.change} AS {name}" for name, column in state.running(call).items()
        )
        rows = f"SELECT *, 0 AS w, 1 AS sign{prepared} FROM raw"
        running = f"(SELECT g, {totals} FROM ({rows}) GROUP BY g)"
        query = f"SELECT {value.sql} FROM {layered(running, [value.layers])} ORDER BY g"
        return [value for (value,) in connection.execute(query).fetchall()]


def variance(values):
    if len(values) < 2:
        return None
    values = [Fraction(value) for value in values]
    mean = sum(values) / len(values)
    exact = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    try:
        return exact.numerator / exact.denominator
    except OverflowError:
        return math.inf


@settings(max_examples=15)
@given(
    st.lists(
        st.lists(wide, min_size=1, max_size=9)
        | st.lists(near, min_size=1, max_size=9)
        | st.lists(st.floats(-1e-300, 1e-300), min_size=1, max_size=9)
        | st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9)
        | st.lists(st.sampled_from([0.1, 0.01, 1e6 / 3, 1e16, -1e16]), min_size=1, max_size=40),
        min_size=1,
        max_size=5,
    )
)
def test_a_variance_of_doubles_is_rounded_once(groups):
    wanted = [variance(values) for values in groups]

    for bins in (None, "many"):
        for got, want in zip(spreads(groups, bins=bins), wanted, strict=True):
            # Of the least doubles there are, the digits that are left are rounded once more.
            assert got == want or abs(got - want) <= 5e-324


@settings(max_examples=15)
@given(
    st.lists(
        st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-9, 9), min_size=1, max_size=9),
        min_size=1,
        max_size=5,
    )
)
def test_a_variance_of_whole_numbers_is_rounded_once(groups):
    assert spreads(groups, "HUGEINT") == [variance(values) for values in groups]


@settings(max_examples=15)
@given(
    st.sampled_from([0, 2, 9, 37]).flatmap(
        lambda scale: st.tuples(
            st.just(scale),
            st.lists(
                st.lists(
                    st.integers(-(10**38) + 1, 10**38 - 1) | st.integers(-999, 999),
                    min_size=1,
                    max_size=9,
                ),
                min_size=1,
                max_size=4,
            ),
        )
    )
)
def test_a_variance_of_decimals_is_rounded_once(given):
    scale, whole = given
    groups = [[Decimal(f"{n}e-{scale}") for n in values] for values in whole]
    written = [[format(value, "f") for value in values] for values in groups]

    assert spreads(written, f"DECIMAL(38,{scale})") == [variance(values) for values in groups]


def test_a_deviation_is_there_where_its_square_is_beyond_every_number():
    values = [[1e200, -1e200], [1e-200, -1e-200], [3.0, 5.0]]

    assert spreads(values, name="stddev") == [
        pytest.approx(math.sqrt(2) * 1e200),
        pytest.approx(math.sqrt(2) * 1e-200),
        math.sqrt(2),
    ]
    assert spreads(values)[0] == math.inf


def test_python_is_hardly_ever_asked():
    """Neither where all values are one, nor where nearly all of their squares cancels."""
    chance, asked = random.Random(1), []

    def exactly(a, b, c, d, scale, count, is_root):
        asked.append(count)
        return math.nan

    groups = [
        [1e5 + offset + chance.gauss(0, 1) for _ in range(chance.randint(2, 50))]
        for offset in range(300)
    ]
    groups += [[round(chance.gammavariate(2, 50), 2)] * count for count in range(2, 300)]

    got = spreads(groups, exactly=exactly)

    assert asked == []
    assert got == [variance(values) for values in groups]
