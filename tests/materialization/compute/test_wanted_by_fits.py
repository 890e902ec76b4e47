"""What a fit reads of another system: the stretch of its ranges, and not the whole table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace

from materialization.compute.jobs import ComputeJob, FitJob
from materialization.compute.wanted import wanted_of
from materialization.finding.http.pages import Pages
from materialization.sources.inputs import SourceFiles
from registry.spec.aggregations import AggregationSpec
from registry.spec.encodes import EncodeSpec, FitRange
from registry.spec.model import ScheduleSpec
from tests.materialization.engine_cases import make_spec
from tests.sites import make_source

MICROSECOND = timedelta(microseconds=1)


def encoded(*ranges):
    spec = make_spec(features=[(f"x{n}", "float64") for n, _ in enumerate(ranges)])
    features = tuple(
        replace(each, encode=EncodeSpec(("standard",), FitRange(*days)))
        for each, days in zip(spec.features, ranges, strict=True)
    )
    return replace(spec, view=replace(spec.view, features=features))


def wanted(spec, *names):
    return wanted_of(FitJob(spec, SourceFiles((), "parquet"), names))


def test_rows_of_the_ranges_of_what_is_fitted_are_fetched():
    spec = encoded(
        ("2026-01-05", "2026-01-10"), ("2026-02-01", "2026-02-03"), ("2020-01-01", "2027-01-01")
    )

    found = wanted(spec, "x0", "x1")

    assert found.after == datetime(2026, 1, 5, tzinfo=UTC) - MICROSECOND
    assert found.until == datetime(2026, 2, 3, tzinfo=UTC)
    assert not found.by_arrival


def test_a_range_from_the_beginning_of_the_calendar_has_no_lower_bound():
    found = wanted(encoded(("0001-01-01", "2026-01-10")), "x0")

    assert (found.after, found.until) == (None, datetime(2026, 1, 10, tzinfo=UTC))


def test_sql_may_say_otherwise_when_a_row_happened():
    spec = encoded(("2026-01-05", "2026-01-10"))
    sql = "SELECT k, event + INTERVAL 1 YEAR AS event, x0 FROM rows"

    found = wanted(replace(spec, view=replace(spec.view, sql=sql)), "x0")

    assert (found.after, found.until) == (None, None)


@pytest.mark.parametrize(
    ("asks_by", "since"),
    [("event_timestamp", "2026-01-04T23:59:58Z"), ("created_timestamp", "1970-01-01T00:00:00Z")],
)
def test_rows_that_were_known_before_a_range_began_are_asked_for(asks_by, since):
    """A booking is known before it happens."""
    spec, now = encoded(("2026-01-05", "2026-01-10")), datetime(2026, 3, 1, tzinfo=UTC)
    source = make_source(
        created="came", asks_by=asks_by, parameters={"since": "{since}"},
        schema={"k": "int64", "event": "timestamp", "came": "timestamp", "x0": "float64"},
    )  # fmt: skip

    found = wanted(replace(spec, source=source), "x0")

    assert found.until == datetime(2026, 1, 10, tzinfo=UTC)
    first = Pages(source, "http://site/v1", found, now).first()
    assert parse_qs(urlsplit(first).query) == {"since": [since]}


@pytest.mark.parametrize("name", ["x0", "x1"])
def test_each_fit_alone_fetches_its_own(name):
    spec = encoded(("2026-01-05", "2026-01-10"), ("2026-02-01", "2026-02-03"))

    found = wanted(spec, name)

    assert (found.until - found.after).days in (2, 5)


def windows(*lengths, ttl=None):
    aggregation = AggregationSpec(column="x", functions=("sum",), windows=lengths)
    spec = make_spec(
        features=[(f"x_sum_{length}", "float64") for length in lengths],
        aggregations=(aggregation,), schedule=ScheduleSpec(every="1h"), ttl=ttl,
    )  # fmt: skip
    fit = EncodeSpec(("standard",), FitRange("2026-01-05", "2026-01-10"))
    features = tuple(replace(each, encode=fit) for each in spec.features)
    return replace(spec, view=replace(spec.view, features=features))


def test_of_an_aggregate_what_the_windows_of_its_range_reach_is_fetched():
    found = wanted(windows("1d", "7d"), "x_sum_7d")

    assert found.after == datetime(2026, 1, 5, tzinfo=UTC) - timedelta(days=7)
    assert found.until == datetime(2026, 1, 10, tzinfo=UTC)


def test_of_an_aggregate_without_a_bound_all_before_is_fetched():
    found = wanted(windows("unbounded"), "x_sum_unbounded")

    assert (found.after, found.until) == (None, datetime(2026, 1, 10, tzinfo=UTC))


@pytest.mark.parametrize(("ttl", "hours"), [(None, 24), ("3h", 24.5)])
def test_a_run_that_asks_who_was_empty_fetches_the_windows_of_the_tick_before(ttl, hours):
    start = datetime(2026, 1, 12, 10, 30, tzinfo=UTC)
    spec, source = windows("1d", ttl=ttl), SourceFiles((), "parquet")

    found = wanted_of(ComputeJob(spec, source, start + timedelta(hours=1), start))

    assert found.after == start - timedelta(hours=hours)
