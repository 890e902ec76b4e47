"""Profiles of staged files."""

from __future__ import annotations

import json
import math
from datetime import UTC
from decimal import Context, Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from materialization.compute.duckdb_engine import DuckDBEngine
from materialization.compute.limits import EngineLimits
from materialization.quality.profiles import QUANTILES, Profile
from materialization.quality.profiling import SAMPLE_ROWS, profile_files
from materialization.stores.columns import stored_schema
from tests.materialization.engine_cases import at, make_spec

T = at("2024-01-01T00:00")


def view(kind):
    return make_spec(features=[("x", kind)])


@pytest.fixture
def profile(connection, tmp_path_factory):
    """A function: spec and values → the profile of files that have them, as it is kept and read."""

    def profiled(spec, *parts):
        folder, schema, files = tmp_path_factory.mktemp("staged"), stored_schema(spec), []
        for number, values in enumerate(parts):
            stamps = {"event_timestamp": T, "created_timestamp": T, "__sequence": 1}
            rows = [{"k": n, **stamps, "x": v} for n, v in enumerate(values)]
            files.append(str(folder / f"{number}.parquet"))
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), files[-1])
        count = sum(map(len, parts))
        found = profile_files(connection, files, spec.features, rows=count).to_json()
        return Profile.from_json(json.loads(json.dumps(found, allow_nan=False)), spec.features)

    return profiled


def test_null_nan_and_numbers_are_told_apart(profile):
    [column] = profile(view("float64"), [1.0, None, math.nan], [4.0, 1.0]).columns

    assert (column.rows, column.nulls, column.nans) == (5, 1, 1)
    assert (column.minimum, column.maximum, column.mean, column.distinct) == (1.0, 4.0, 2.0, 3)
    # Statistics of files never have it: of this one they are 5 and 7.
    [column] = profile(view("float64"), [5.0, 7.0, math.nan]).columns
    assert (column.nans, column.minimum, column.maximum, column.mean) == (1, 5.0, 7.0, 6.0)


@pytest.mark.parametrize(
    ("kind", "values", "extent"),
    [
        ("string", ["b", "a", None], ("a", "b")),
        ("timestamp", [T, None], ("2024-01-01T00:00:00+00:00",) * 2),
        ("date", [T.date()], ("2024-01-01",) * 2),
        ("bool", [True, False], ("False", "True")),
        ("decimal(5,2)", [None], (None, None)),
        ("bytes", [b"x"], (None, None)),
        ("list<int64>", [[1, None], []], (None, None)),
        ("vector<2>", [[1.0, 2.0]], (None, None)),
        ("float64", [math.nan, None], (None, None)),
    ],
)
def test_every_type_has_a_profile_that_is_json(profile, kind, values, extent):
    found = profile(view(kind), values)

    assert (found.columns[0].minimum, found.columns[0].maximum) == extent
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["rows"] == len(values)


def test_infinities_are_written_as_words(profile):
    found = profile(view("float64"), [math.inf, 1.0]).to_json()["columns"][0]

    assert (found["max"], found["mean"]) == ("inf", "inf")


@given(values=st.lists(st.none() | st.floats(), max_size=60))
@settings(max_examples=60)
def test_numbers_are_what_numpy_says(profile, values):
    [column] = profile(view("float64"), values).columns

    numbers = np.array([v for v in values if v is not None and v == v])
    finite = numbers[np.isfinite(numbers)]
    assert column.nulls == values.count(None)
    assert column.nans == len(values) - column.nulls - len(numbers)
    if len(numbers):
        assert (column.minimum, column.maximum) == (numbers.min(), numbers.max())
    if len(finite) == len(numbers) > 0 and np.abs(finite).max() < 1e100:
        assert column.mean == pytest.approx(finite.mean(), rel=1e-9, abs=1e-300)
        assert column.std == pytest.approx(finite.std(), rel=1e-6, abs=np.abs(finite).max() * 1e-9)
    if len(finite):
        wanted = np.quantile(finite, QUANTILES)
        assert column.quantiles == pytest.approx(list(wanted), rel=1e-6, abs=1e-300) or (
            np.abs(finite).max() > 1e100
        )
        assert sum(column.bars) in (len(finite), 0)


def test_the_moments_of_large_numbers_that_differ_little_are_right(profile):
    values = [1.7e15 + n % 10 for n in range(10_000)]

    [column] = profile(view("float64"), values).columns

    assert (column.mean, column.std) == (1.7e15 + 4.5, pytest.approx(np.std(range(10))))


def test_what_is_frequent_is_named_and_what_is_not_is_counted(profile):
    texts = ["a"] * 3 + ["b"] * 2 + [f"t{n}" for n in range(20)] + [None]

    [column] = profile(view("string"), texts).columns

    assert (column.top, column.distinct) == ((("a", 3), ("b", 2)), 22)


def test_of_many_rows_a_sample_is_taken_whose_size_is_said(profile):
    values = [float(n) for n in range(SAMPLE_ROWS * 2)]

    found = profile(view("float64"), values)

    [column] = found.columns
    assert 0 < found.sampled < SAMPLE_ROWS * 3 // 2
    assert (column.rows, column.minimum, column.maximum) == (len(values), 0.0, len(values) - 1)
    assert column.quantiles[3] == pytest.approx(SAMPLE_ROWS, rel=0.2)
    assert sum(column.bars) == found.sampled


#: Every type with values at its edges, and whatever else it can hold.
EDGES = {
    "bool": st.booleans(),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**53 + 1, 2**63 - 1, -(2**63)]),
    "float32": st.floats(width=32),
    "float64": st.floats(),
    "string": st.text(max_size=300) | st.just("\x00") | st.just("x" * 100_000),
    "bytes": st.binary(max_size=300),
    "timestamp": st.datetimes(timezones=st.just(UTC))
    | st.sampled_from([at("0001-01-01T00:00"), at("9999-12-31T23:59:59.999999")]),
    "date": st.dates(),
    "decimal(38,0)": st.decimals(-(10**38) + 1, 10**38 - 1, places=0),
    "decimal(38,38)": st.integers(-(10**38) + 1, 10**38 - 1).map(
        lambda n: Decimal(n).scaleb(-38, Context(prec=38))
    ),
    "list<int64>": st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=3),
    "list<list<timestamp>>": st.lists(st.lists(st.datetimes(timezones=st.just(UTC)), max_size=2)),
    "vector<2>": st.lists(st.floats(width=32), min_size=2, max_size=2),
    "json": st.sampled_from(["null", "{}", '{"a":[1]}', '"\\u0000"']),
}


@settings(
    max_examples=15,
)
@pytest.mark.parametrize("kind", EDGES)
@given(data=st.data())
def test_no_value_a_type_can_hold_fails_the_profile(profile, kind, data):
    parts = data.draw(st.lists(st.lists(st.none() | EDGES[kind], max_size=6), max_size=3))
    spec = view(kind)

    found = profile(spec, *parts)

    values = [value for part in parts for value in part]
    [column] = found.to_json()["columns"]
    assert json.dumps(column, allow_nan=False)
    assert "\\u0000" not in json.dumps(column)
    assert (column["rows"], column["nulls"]) == (len(values), values.count(None))
    numbers = [v for v in values if v is not None and v == v]
    if kind.startswith(("int", "decimal", "float")) and numbers:
        assert found.columns[0].minimum == min(numbers)
        assert found.columns[0].maximum == max(numbers)


@pytest.mark.parametrize(
    ("kind", "values", "marks", "top"),
    [
        ("int64", [3, 1, 3, None], (1.0, 3.0, 3.0), (("3", 2),)),
        ("int64", [2**60, 2**60, 1], (1.0, 2.0**60, 2.0**60), ((str(2**60), 2),)),
        ("float64", [math.inf, math.inf, math.nan, 0.5], (0.5, math.inf, math.inf), (("inf", 2),)),
        ("date", [T.date()] * 2, (19723.0,) * 3, (("2024-01-01", 2),)),
        ("timestamp", [T, T], (1704067200.0,) * 3, (("2024-01-01 00:00:00+00", 2),)),
        ("string", ["x" * 300 + "a"] * 2, (), ()),
        ("list<int64>", [[1], [1]], (), ()),
    ],
)
def test_a_distribution_is_kept_of_every_type_that_has_one(profile, kind, values, marks, top):
    [column] = profile(view(kind), values).columns

    kept = column.marks and (column.marks[0], column.marks[50], column.marks[100])
    assert kept == marks
    assert column.seen == sum(value is not None and value == value for value in values)
    if kind != "string":
        assert column.top == top
    else:
        [(name, times)] = column.top
        assert (len(name), name[:190], times) == (200, "x" * 190, 2)


def test_columns_whose_names_differ_in_case_only_are_not_taken_for_one_another(tmp_path):
    file = str(tmp_path / "answer.parquet")
    pq.write_table(pa.table({"X": [7.0, 7.0], "x": [1.0, None], "X_1": [8.0, 8.0]}), file)

    found = DuckDBEngine(EngineLimits(memory_limit_mb=256, threads=2)).profile(
        [file], view("float64").features
    )

    assert [(each.name, each.nulls, each.maximum) for each in found.columns] == [("x", 1, 1.0)]
