"""Profiles of streams, and checks against them."""

from __future__ import annotations

import json
import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialization.quality.expectations import check_profile
from materialization.quality.profiling import SKETCH, Profiler, merge_profiles, profile_batch
from materialization.stores.columns import computed_schema
from registry.spec.model import Checks, FeatureSpec
from tests.materialization.engine_cases import at, make_spec

T = at("2024-01-01T00:00")


def view(kind, **checks):
    spec = make_spec(features=[("x", kind)])
    feature = FeatureSpec(name="x", type=kind, checks=Checks(**checks))
    return type(spec)(
        view=type(spec.view)(name="v", entities=("e",), source="s", features=(feature,)),
        source=spec.source,
        entities=spec.entities,
    )


def batch(spec, values):
    schema = computed_schema(spec)
    rows = [
        {"k": n, "event_timestamp": T, "created_timestamp": T, "x": v} for n, v in enumerate(values)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=schema)


def profile(spec, *parts):
    profiler = Profiler(spec)
    for values in parts:
        profiler.add(batch(spec, values))
    return profiler.result()


def test_null_nan_and_numbers_are_told_apart():
    [column] = profile(view("float64"), [1.0, None, math.nan], [4.0, 1.0]).columns

    assert (column.rows, column.nulls, column.nans) == (5, 1, 1)
    assert (column.minimum, column.maximum, column.mean, column.distinct) == (1.0, 4.0, 2.0, 3)


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
def test_every_type_has_a_profile_that_is_json(kind, values, extent):
    found = profile(view(kind), values)

    assert (found.columns[0].minimum, found.columns[0].maximum) == extent
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["rows"] == len(values)


def test_infinities_are_written_as_words():
    found = profile(view("float64"), [math.inf, 1.0]).to_json()["columns"][0]

    assert (found["max"], found["mean"]) == ("inf", "inf")


@pytest.mark.parametrize("count", [10, SKETCH - 1, 50_000])
def test_distinct_is_exact_for_few_and_near_for_many(count):
    numbers = profile(view("int64"), range(count), range(count)).columns[0]
    texts = profile(view("string"), [f"t{n}" for n in range(count)]).columns[0]

    for column in (numbers, texts):
        assert column.distinct == pytest.approx(count, rel=0 if count < SKETCH else 0.15)


@given(st.lists(st.one_of(st.none(), st.integers(-50, 50)), max_size=30), st.integers(0, 30))
def test_parts_merge_into_the_whole(values, cut):
    spec = view("int64", allowed=(1, 2))
    left, right = (
        profile_batch(batch(spec, part), spec.features) for part in (values[:cut], values[cut:])
    )

    merged, whole = merge_profiles(left, right), profile_batch(batch(spec, values), spec.features)

    assert merged.to_json() == whole.to_json()


@pytest.mark.parametrize(
    ("kind", "checks", "values", "passed"),
    [
        ("int64", {"not_null": 0.75}, [1, 2, 3, None], True),
        ("int64", {"not_null": 0.76}, [1, 2, 3, None], False),
        ("float64", {"not_null": 1.0}, [math.nan], True),
        ("float64", {"min": 0}, [0.0, None, math.nan], True),
        ("float64", {"min": 0}, [-0.001], False),
        ("int64", {"max": 5}, [5], True),
        ("int64", {"max": 5}, [6], False),
        ("int64", {"max": 5}, [None], True),
        ("string", {"allowed": ("a", "b")}, ["a", None], True),
        ("string", {"allowed": ("a", "b")}, ["a", "c"], False),
        ("int64", {"allowed": (True,)}, [1], False),
        ("bool", {"allowed": (True,)}, [True], True),
        ("int64", {"not_null": 1.0, "min": 3}, [], None),
    ],
)
def test_bounds_are_inclusive_and_say_what_they_saw(kind, checks, values, passed):
    spec = view(kind, **checks)

    results = check_profile(spec, profile(spec, values))

    assert [result.passed for result in results] == ([] if passed is None else [passed])


def test_a_failure_reads_as_a_sentence():
    spec = view("string", allowed=("a", "b"))

    [result] = check_profile(spec, profile(spec, ["a", "z"]))

    assert (
        str(result) == "x: allowed fails, 1 rows hold other values, as 'z' (asked: one of 'a', 'b')"
    )
    assert result.to_json()["passed"] is False
