"""Rows against checks: which fail, how many, and in which words. Counted in the engine."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from decimal import Decimal

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from materialization.errors import CheckUnusable
from materialization.quality.checking import Checked, Counted, check_files
from materialization.quality.expectations import Batch, judge
from materialization.stores.columns import stored_schema
from registry.spec.checks import Checks, Extent, ViewChecks, ViewExpectations
from registry.spec.model import FeatureSpec
from tests.materialization.engine_cases import at, make_spec

T = at("2024-01-01T00:00")
WHOLE = Batch(0, counts_least=True, counts_most=True, until=T)


def view(kind="int64", *, of_view=None, **checks):
    spec = make_spec(features=[("x", kind)])
    feature = FeatureSpec(name="x", type=kind, checks=msgspec.convert(checks, Checks))
    view = msgspec.structs.replace(spec.view, features=(feature,), checks=of_view or ViewChecks())
    return msgspec.structs.replace(spec, view=view)


@pytest.fixture
def judged(connection, tmp_path):
    """A function: spec and values → the results of a run of such rows."""

    def results(spec, values, batch=WHOLE):
        schema = stored_schema(spec)
        stamps = {"event_timestamp": T, "created_timestamp": T, "__sequence": 1}
        rows = [{"k": n, **stamps, "x": v} for n, v in enumerate(values)]
        connection.register("staged", pa.Table.from_pylist(rows, schema=schema))
        # As runs write it: what is said of NaN in a file's footer differs by who wrote it.
        connection.execute(f"COPY staged TO '{tmp_path}/part.parquet' (FORMAT parquet)")
        files = [str(tmp_path / "part.parquet")] if values else []
        checked = check_files(connection, files, spec)
        found = judge(spec, checked, batch._replace(rows=len(values)))
        json.dumps([each.to_json() for each in found], allow_nan=False)
        return found

    return results


def near(value):
    return float(np.float32(value))


@pytest.mark.parametrize(
    ("kind", "checks", "values", "failed"),
    [
        ("float64", {"not_null": 1.0}, [math.nan, None], 1),
        ("float64", {"min": 0}, [0.0, None, math.nan, -0.0], 0),
        ("float64", {"min": 0}, [-0.001, math.inf, -math.inf], 2),
        ("float64", {"max": 0}, [math.nan, math.inf], 1),
        ("float64", {"max": 0.1}, [0.1, math.nextafter(0.1, 1)], 1),
        ("float32", {"max": 0.1}, [near(0.1), float(np.nextafter(np.float32(0.1), 1))], 1),
        ("float32", {"min": 0.7}, [near(0.7)], 0),
        ("int64", {"max": 2**53}, [2**53 + 1, 2**53], 1),
        ("int64", {"min": -(2**63)}, [-(2**63), None], 0),
        ("int64", {"min": 2**63 - 1}, [2**63 - 2], 1),
        ("decimal(10,2)", {"max": 0.1}, [Decimal("0.10"), Decimal("0.11")], 1),
        ("decimal(38,2)", {"max": "123456789012345678901234567890.12"},
         [Decimal("123456789012345678901234567890.13")], 1),
        ("string", {"allowed": ["a", "b"]}, ["a", None, "c"], 1),
        ("string", {"allowed": []}, ["a", None], 1),
        ("int64", {"allowed": [True]}, [1], 1),
        ("int64", {"allowed": [1, 2]}, [1, 3], 1),
        ("bool", {"allowed": [True]}, [True, False], 1),
        ("string", {"regex": "[A-Z]{3}"}, ["EUR", "EURO", "xEUR", "eur", "", None, "EUR\n"], 5),
        ("string", {"regex": "it's|\\\\d"}, ["it's", "\\d", "7"], 1),
        ("string", {"regex": "."}, ["é", "日", "e\u0301"], 1),
        ("string", {"length": {"max": 2}}, ["日本", "日本語", None, "\U0001f600\U0001f600"], 1),
        ("string", {"length": {"min": 1}}, ["", "a", None], 1),
        ("string", {"length": {"max": 0}}, ["", "a"], 1),
        ("bytes", {"length": {"min": 2, "max": 2}}, [b"ab", "é".encode(), b"\x00", None], 1),
        ("list<int64>", {"length": {"min": 1}}, [[], [1], [None], None], 1),
        ("list<list<string>>", {"length": {"max": 1}}, [[["a", "b"]], [[], []]], 1),
        ("int64", {"unique": True}, [1, 1, 1, 2, None, None], 3),
        ("float64", {"unique": True}, [math.nan, math.nan, 0.0, -0.0], 2),
        ("string", {"unique": True}, ["a", "A", "a"], 2),
        ("list<int64>", {"unique": True}, [[1], [1], [], []], 4),
        ("bytes", {"unique": True}, [b"a", b"b"], 0),
        ("json", {"unique": True}, ["{}", "{}"], 2),
        ("date", {"unique": True}, [T.date(), T.date()], 2),
        ("timestamp", {"unique": True}, [T, T + timedelta(microseconds=1)], 0),
        ("decimal(5,2)", {"unique": True}, [Decimal("1.10"), Decimal("1.1")], 2),
        ("vector<2>", {"unique": True}, [[1.0, 2.0], [1.0, 2.0]], 2),
        ("bool", {"not_null": 1.0}, [None, True], 1),
    ],
)  # fmt: skip
def test_each_row_that_fails_is_counted(judged, kind, checks, values, failed):
    [result] = judged(view(kind, **checks), values)

    assert (result.failed, result.passed, result.blocks) == (failed, failed == 0, True)
    [warning] = judged(view(kind, warn=checks), values)
    assert (warning.failed, warning.passed, warning.stops) == (failed, failed == 0, False)


@pytest.mark.parametrize(("share", "passed"), [(0.75, True), (0.76, False)])
def test_a_share_of_the_rows_has_a_value(judged, share, passed):
    [result] = judged(view(not_null=share), [1, 2, 3, None])

    assert (result.passed, result.failed) == (passed, 1)
    assert result.observed == "3 of 4 rows have a value"


@pytest.mark.parametrize(
    ("kind", "checks", "values", "said", "example"),
    [
        ("string", {"allowed": ["a", "b"]}, ["a", "z"],
         "x: allowed fails, 1 of 2 rows hold other values (asked: one of 'a', 'b')", "x: 'z'"),
        ("float32", {"max": 0.1}, [near(0.7)],
         "x: max fails, 1 of 1 rows are above it (asked: max 0.1)",
         "x: the greatest value is 0.7"),
        ("string", {"regex": "a+"}, ["b\x00"],
         "x: regex fails, 1 of 1 rows do not match (asked: matches a+)", "x: 'b\u2400'"),
        ("bytes", {"length": {"max": 1}}, [b"ab"],
         "x: length fails, 1 of 1 rows are shorter or longer (asked: length at most 1)", ""),
        ("int64", {"unique": True}, [1, 1],
         "x: unique fails, 2 of 2 rows hold a value that another entity holds then"
         " (asked: no value held by two entities at once)", "x: '1'"),
    ],
)  # fmt: skip
def test_a_failure_reads_as_a_sentence(judged, kind, checks, values, said, example):
    [result] = judged(view(kind, **checks), values)

    assert (str(result), result.example) == (said, example)


def test_many_rows_are_written_in_thousands():
    spec = view("int64", of_view=ViewChecks(rows=Extent(max=1_000)), not_null=1, max=1)

    found = judge(spec, Checked((Counted(0), Counted(705_567))), WHOLE._replace(rows=705_567))

    assert [each.observed for each in found] == [
        "705,567 of 705,567 rows have a value",
        "705,567 of 705,567 rows are above it",
        "the run has 705,567 rows",
    ]


def test_a_condition_fails_where_it_is_false_and_not_where_it_is_null(judged):
    conditions = {"positive": "x >= 0 OR k = 3"}
    checks = ViewChecks(
        conditions=conditions, warn=ViewExpectations(conditions={"small": "x < 10"})
    )

    blocks, warns = judged(view(of_view=checks), [1, -1, None, -5, 11])

    assert (blocks.check, blocks.failed, blocks.stops) == ("positive", 1, True)
    assert (warns.check, warns.failed, warns.stops, warns.passed) == ("small", 1, False, False)
    assert str(blocks) == "positive fails, 1 of 5 rows are otherwise (asked: x >= 0 OR k = 3)"


def test_a_condition_that_fails_on_a_row_is_named_without_the_value(judged):
    checks = ViewChecks(conditions={"fine": "k >= 0", "broken": "CAST(x AS INT) > 0"})

    with pytest.raises(CheckUnusable) as caught:
        judged(view("string", of_view=checks), ["1", "secret"])

    assert "check broken cannot be evaluated on a row" in caught.value.message
    assert "secret" not in caught.value.message
    assert "secret" in caught.value.example


@pytest.mark.parametrize(
    ("rows", "batch", "passed"),
    [
        (2, WHOLE, True),
        (1, WHOLE, False),
        (4, WHOLE, False),
        (4, WHOLE._replace(counts_most=False), True),
        (1, WHOLE._replace(counts_least=False), True),
        (0, WHOLE, None),
        (1, Batch(0), None),
    ],
)
def test_the_rows_of_a_run_are_counted_where_a_run_is_one(judged, rows, batch, passed):
    spec = view(of_view=ViewChecks(rows=Extent(min=2, max=3)))

    results = judged(spec, list(range(rows)), batch)

    assert [result.passed for result in results] == ([] if passed is None else [passed])


@pytest.mark.parametrize(
    ("values", "batch", "passed"),
    [
        ([1], Batch(0, until=T + timedelta(hours=2)), True),
        ([1], Batch(0, until=T + timedelta(hours=2, microseconds=1)), False),
        ([1], Batch(0, until=T + timedelta(hours=3), stored=T + timedelta(hours=1)), True),
        ([], Batch(0, until=T + timedelta(hours=3), stored=T), False),
        ([], Batch(0, until=T + timedelta(hours=2), stored=T), True),
        ([], Batch(0, until=T), False),
        ([1], Batch(0), None),
    ],
)
def test_the_newest_row_is_asked_of_a_run_without_rows_too(judged, values, batch, passed):
    spec = view(of_view=ViewChecks(newest="2h"))

    results = judged(spec, values, batch)

    assert [result.passed for result in results] == ([] if passed is None else [passed])


def test_a_run_of_zero_rows_is_asked_nothing_of_rows(judged):
    spec = view(not_null=1.0, min=3, unique=True, of_view=ViewChecks(conditions={"a": "x > 0"}))

    assert judged(spec, []) == []
