"""Push sources and views over them, from the definition to a table that is ready and empty."""

from __future__ import annotations

import pytest

from materialization.edges.looks import look_at_sources
from registry.models import DataSource
from registry.reading.parsing import InvalidDefinitions
from registry.row_queries import QueryRefused, query_spec
from tests.factories import AT, ENTITY, apply
from tests.factories import SOURCE as FILE
from tests.materialization.ingest.push_world import DEFINITIONS, SOURCE, approved, ready
from tests.materialization.run_world import DRIVERS, ROWS, offline, online, write_rows

pytestmark = pytest.mark.django_db


def test_an_approved_version_is_ready_without_a_row(cast):
    version = ready(cast)

    assert version.is_ready
    assert version.feature_view.default_version_id == version.pk
    assert online(version, DRIVERS, at=AT) == dict.fromkeys(("fare", "town", "seats"), [None] * 4)
    assert offline(version, DRIVERS, at=AT) == online(version, DRIVERS, at=AT)


def test_its_pages_show_and_its_definitions_are_unchanged_when_sent_again(cast, client):
    version = ready(cast)
    source = DataSource.objects.get(name="trips")
    client.force_login(cast.superuser)
    pages = (
        f"/admin/registry/datasource/{source.pk}/change/",
        "/admin/registry/datasource/",
        f"/admin/registry/featureviewversion/{version.pk}/change/",
    )

    assert [client.get(page).status_code for page in pages] == [200] * 3
    assert client.post(f"/admin/registry/datasource/{source.pk}/look/").status_code == 200
    unchanged = apply(DEFINITIONS, cast, look=look_at_sources)
    assert {each.change for each in unchanged} == {"unchanged"}


def test_a_query_over_pushed_rows_is_refused_and_not_answered_with_none(cast):
    ready(cast)

    with pytest.raises(QueryRefused, match="'trips' has rows that are pushed"):
        query_spec(cast.project, "trips", "SELECT driver_id, at AS event_timestamp FROM trips")


VIEWS = {
    "schedule": "schedule: {every: 1h}",
    "freshness": "freshness: 1h",
    "start": "start: 2026-01-01",
    "online": "online: false",
    "checks": "checks: {rows: {min: 1}}",
}


@pytest.mark.parametrize("key", list(VIEWS))
def test_what_is_not_made_of_pushed_rows_is_refused_in_words(cast, key):
    with pytest.raises(InvalidDefinitions) as caught:
        apply(f"{DEFINITIONS}{VIEWS[key]}\n", cast, look=look_at_sources)

    assert key in {problem.key.split(".")[0] for problem in caught.value.problems}


def test_a_function_makes_no_rows_of_a_stream(cast):
    stream = DEFINITIONS.replace("type: push", "type: redis_stream\nconnection: r\nstream_key: s")

    with pytest.raises(InvalidDefinitions, match="would hold up all that come behind it"):
        apply(f"{stream}python: a:b\n", cast)


def test_no_view_reads_a_view_of_pushed_rows(cast, sources):
    ready(cast)
    reader = f"""{ENTITY}
---
{FILE}
---
kind: FeatureView
name: reader
entities: [driver]
source: driver_stats
views: [{{features: ["last_trip:fare"]}}]
sql: SELECT driver_id, event_timestamp, created, last_trip.fare AS fare FROM driver_stats
features: [{{name: fare, type: float64}}]
"""
    write_rows(sources, ROWS)

    with pytest.raises(InvalidDefinitions, match="has rows that are pushed"):
        apply(reader, cast, look=look_at_sources)


WINDOWS = f"""{ENTITY}
---
{SOURCE}
---
kind: FeatureView
name: spending
entities: [driver]
source: trips
accuracy: temporal
aggregations:
  - column: fare
    functions: [sum]
    windows: [1d]
features:
  - {{name: fare_sum_1d, type: float64}}
"""
FEATURE = "- {name: fare_sum_1d, type: float64}"
#: What of such windows is refused: the key that is named, what is written instead of what.
REFUSED_WINDOWS = {
    "accuracy": ("accuracy: temporal", "schedule: {every: 1h}"),
    "schedule": ("accuracy: temporal", "accuracy: temporal\nschedule: {every: 1h}"),
    "aggregations": ("[1d]", "[1d, unbounded]"),
    "where": ("accuracy: temporal", "accuracy: temporal\nwhere: fare > 1"),
    "features[1].sql": (
        FEATURE,
        f"{FEATURE}\n  - {{name: read, type: float64, sql: fare_sum_1d * CAST('2' AS DOUBLE)}}",
    ),
    "features[0].checks": ("1d, type: float64", "1d, type: float64, checks: {min: 0}"),
    "features[0].type": ("type: float64", "type: float32"),
    "features[0].mask": ("1d, type: float64", "1d, type: string, mask: {bucket: [1]}"),
    "features[0].encode.fit": (
        "1d, type: float64",
        "1d, type: float64, encode: {steps: [standard], fit: {from: 2026-01-01, to: 2026-02-01}}",
    ),
}


@pytest.mark.parametrize("key", REFUSED_WINDOWS)
def test_windows_over_pushed_rows_are_refused_where_they_would_not_be_exact(cast, key):
    with pytest.raises(InvalidDefinitions) as caught:
        apply(WINDOWS.replace(*REFUSED_WINDOWS[key]), cast, look=look_at_sources)

    assert key in {problem.key for problem in caught.value.problems}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("event_id: trip\n", "no column 'trip'"),
        ("event_id: fare\n", "'fare' is float64"),
        ("event_id: seats\n", "'seats' is the event_id, which every row has"),
    ],
)
def test_what_tells_events_apart_is_a_column_that_every_row_has(cast, wrong, said):
    with pytest.raises(InvalidDefinitions, match=said):
        apply(WINDOWS.replace("event_timestamp: at", f"{wrong}event_timestamp: at"), cast)


def test_a_plan_of_windows_says_who_gets_what_and_what_they_take(cast):
    planned = apply(WINDOWS, cast, look=look_at_sources)

    said = " ".join(warning for each in planned for warning in each.warnings)
    assert "both have the windows as of their own instant" in said
    assert "the last 1d, some 59 bytes each, in hops of 14m 24s" in said


def test_windows_of_a_file_without_a_schedule_are_refused(cast, sources):
    write_rows(sources, ROWS)
    text = WINDOWS.replace(SOURCE, FILE).replace("trips", "driver_stats").replace("fare", "rating")

    with pytest.raises(InvalidDefinitions) as caught:
        apply(text, cast, look=look_at_sources)

    assert "schedule" in {problem.key for problem in caught.value.problems}


@pytest.mark.parametrize(
    "checks", ["{not_null: 0.9}", "{unique: true}", "{warn: {min: 1}}", "{drift: {psi: 0.2}}"]
)
def test_checks_that_look_at_many_rows_are_refused(cast, checks):
    text = DEFINITIONS.replace("checks: {min: 0}", f"checks: {checks}")

    with pytest.raises(InvalidDefinitions):
        apply(text, cast, look=look_at_sources)


def test_the_declared_schema_is_embedded_at_submit(cast):
    version = approved(cast)

    assert version.spec.schema.format == "push"
    assert version.spec.schema.types == {
        "at": "TIMESTAMP WITH TIME ZONE",
        "city": "VARCHAR",
        "driver_id": "BIGINT",
        "fare": "DOUBLE",
        "seats": "INTEGER",
    }


def test_the_first_exact_windows_over_a_source_say_whose_future_they_refuse(cast, client):
    client.force_login(cast.superuser)

    def told(name: str) -> tuple[bool, bool]:
        """Whether the plan says it of windows of that name, and their page."""
        view = WINDOWS.replace("name: spending", f"name: {name}")
        *_, applied = apply(view, cast, look=look_at_sources)
        assert applied.draft is not None
        page = client.get(f"/admin/registry/featureviewversion/{applied.draft.pk}/change/").text
        words = "refused rows of the future, for last_trip too"
        return words in " ".join(applied.warnings), words in page

    assert told("alone") == (False, False)
    ready(cast)
    assert told("alone") == told("first") == (True, True)
    approved(cast, WINDOWS)
    assert told("first") == told("second") == (False, False)
