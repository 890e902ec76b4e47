"""Features of rows that are sent: what a view would store of them, and nothing stored."""

from __future__ import annotations

import json
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.utils import timezone

from materialization.edges.engines import transforms
from materialization.edges.looks import look_at_sources
from materialization.edges.stores import push_log
from registry.choices import Role
from tests import factories
from tests.factories import make_version
from tests.materialization.ingest.push_world import DEFINITIONS, ready
from tests.materialization.run_world import AT, ROWS, committed, materialize, online, write_rows
from tests.materialization.runner.test_assaying import assayed

pytestmark = pytest.mark.django_db
FILES = """
kind: DataSource
name: days
type: file
path: days.csv
event_timestamp: day
---
kind: FeatureView
name: spend
entities: [driver]
source: days
sql: >-
  SELECT CAST(driver_id AS BIGINT) AS driver_id, CAST(day AS DATE) AS day,
  CAST(amount AS DOUBLE) * 2 AS twice, city FROM days WHERE city <> 'x'
features:
  - {name: twice, type: float64}
  - name: near
    column: twice
    type: int64
    encode: {steps: [{step: bucketize, bins: 2}], fit: {from: 2020-01-01, to: 2026-01-01}}
  - {name: city, type: string, checks: {not_null: 1}}
"""


@pytest.fixture(autouse=True)
def ended():
    yield
    transforms().end()


@pytest.fixture
def ask(client, cast):
    token = factories.token_for(cast.consumer)

    def call(df, view="last_trip", by=token, **more):
        return client.post(
            "/api/v1/projects/rides/compute",
            data=json.dumps({"feature_view": view, "df": df, **more}),
            content_type="application/json",
            headers={"Authorization": f"Bearer {by}"},
        )

    return call


def trips(**changed):
    now = timezone.now()
    return {
        "driver_id": [1, 2],
        "at": [now.isoformat(), (now + timedelta(days=1)).isoformat()],
        "fare": [3.5, None],
        "city": ["Bern", "Genf"],
    } | changed


def values(answer):
    assert answer.status_code == 200, answer.content
    said = answer.json()
    names = said["metadata"]["feature_names"]
    return {name: each["values"] for name, each in zip(names, said["results"], strict=True)}


def test_what_a_view_makes_of_rows_is_answered_and_is_nowhere(cast, ask):
    version = ready(cast, DEFINITIONS + "where: city <> 'Genf'\n")

    answer = ask(trips())

    assert values(answer) == {
        "driver_id": [1, None], "fare": [3.5, None], "town": ["Bern", None], "seats": [None, None],
    }  # fmt: skip
    said = answer.json()
    assert said["metadata"]["value_types"] == ["int64", "float64", "string", "int32"]
    assert [each["statuses"] for each in said["results"]] == [
        ["PRESENT", "NOT_FOUND"],
        ["PRESENT", "NOT_FOUND"],
        ["PRESENT", "NOT_FOUND"],
        ["NULL_VALUE", "NOT_FOUND"],
    ]
    assert (said["left_out"], said["refused_count"]) == (1, 0)
    assert push_log().logged() == []
    assert online(version, {"driver_id": [1]}, at=timezone.now())["fare"] == [None]


def test_rows_of_a_view_over_files_are_made_with_what_was_fitted(cast, ask, sources):
    (sources / "days.csv").write_text(
        "driver_id,day,amount,city,note\n"
        + "".join(f"{n},2025-01-0{n},{n},Bern,x\n" for n in range(1, 10))
    )
    with committed():
        version = make_version(
            cast, text=f"{factories.ENTITY}\n---\n{FILES}", state="in_review", look=look_at_sources
        )
        assayed(version)
        factories.approve(version, cast.steward)
        version.refresh_from_db()
        assert materialize(version, end=AT).status == "succeeded"

    # Of the file, and read by nothing.
    df = {
        "driver_id": ["1", "9"],
        "note": ["a", None],
        "day": ["2025-01-01", "2025-01-09"],
        "amount": ["1", "9"],
    }
    made = values(ask(df | {"city": ["Bern", "Bern"]}, "spend"))

    stored = online(version, {"driver_id": [1, 9]}, at=AT)
    assert {name: made[name] for name in stored} == stored
    assert made["near"] == [0, 1]


def test_what_cannot_be_made_is_told_by_row(cast, ask):
    ready(cast, DEFINITIONS)

    refused = ask(trips(fare=[-1, 2]))

    assert (refused.status_code, refused.json()["code"]) == (422, "rows_refused")
    assert [(each["row"], each["column"]) for each in refused.json()["refused"]] == [(0, "fare")]
    some = ask(trips(fare=[-1, 2]), partial=True)
    assert values(some)["fare"] == [None, 2.0]
    assert (some.json()["left_out"], some.json()["refused_count"]) == (0, 1)


def test_when_a_row_was_known_need_not_be_said(cast, ask):
    stamped = DEFINITIONS.replace(
        "event_timestamp: at", "event_timestamp: at\ncreated_timestamp: seen"
    )
    ready(cast, stamped.replace("at: timestamp,", "at: timestamp, seen: timestamp,"))

    assert values(ask(trips()))["fare"] == values(ask(trips(seen=trips()["at"])))["fare"]
    assert ask(trips(seen=["today", None])).status_code == 422


def test_no_row_gives_no_row(cast, ask):
    ready(cast, DEFINITIONS + "where: fare > 1\n")

    assert values(ask({name: [] for name in trips()}))["fare"] == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"view": "last_trips"}, "reference_not_found"),
        ({"view": "last_trip@9.0.0"}, "reference_not_found"),
        ({"view": "last trip"}, "invalid_reference"),
        ({"df": {"driver_id": [1]}}, "missing_pushed_column"),
        ({"df": trips(tip=[1, 2])}, "unknown_pushed_column"),
        ({"df": trips(fare=[1])}, "ragged_columns"),
        ({"surprise": 1}, "invalid_request"),
    ],
)
def test_what_cannot_be_asked_is_told_why(cast, ask, change, code):
    ready(cast, DEFINITIONS)

    refused = ask(change.pop("df", trips()), change.pop("view", "last_trip"), **change)

    assert refused.status_code in (404, 422)
    assert refused.json()["code"] == code


def test_hashes_are_not_computed_for_whoever_asks(cast, ask):
    hashed = DEFINITIONS.replace(
        "type: string, column: city", "type: string, column: city, mask: hash"
    )
    ready(cast, hashed)

    refused = ask(trips())

    assert (refused.status_code, refused.json()["code"]) == (422, "not_computed")


def test_windows_are_not_computed_of_single_rows(cast, ask, sources):
    text = f"""{factories.ENTITY}
---
{factories.SOURCE}
---
kind: FeatureView
name: windowed
entities: [driver]
source: driver_stats
aggregations: [{{column: avg_daily_trips, functions: [sum], windows: [1d]}}]
features: [{{name: avg_daily_trips_sum_1d, type: int64}}]
schedule: {{every: 1h}}
start: 2026-02-28
"""
    write_rows(sources, ROWS)
    with committed():
        version = make_version(cast, text=text, look=look_at_sources)
        assert materialize(version, end=AT).status == "succeeded"

    refused = ask({"driver_id": [1]}, "windowed")

    assert (refused.status_code, refused.json()["code"]) == (422, "not_computed")
    assert "aggregations" in refused.json()["detail"]


def test_who_may_not_read_computes_nothing(cast, ask, client):
    ready(cast, DEFINITIONS)

    assert ask(trips(), by=factories.token_for(cast.steward)).status_code == 403
    pusher = factories.make_service_account("stream", cast, Role.PRODUCER)
    assert ask(trips(), by=factories.token_for(pusher)).status_code == 403


def test_sensitive_features_want_a_grant(cast, ask):
    closed = DEFINITIONS.replace(
        "name: fare, type: float64", "name: fare, sensitivity: restricted, type: float64"
    )
    with committed():
        version = make_version(cast, text=closed, look=look_at_sources)
        if version.state == "in_review":
            version = factories.approve(version, cast.second_steward)
        assert materialize(version, end=AT).status == "succeeded"

    assert ask(trips()).status_code == 403
    factories.give_grant(cast, cast.consumer, level="restricted")
    assert values(ask(trips()))["fare"] == [3.5, None]


def test_more_rows_than_one_call_takes_are_refused(cast, ask, settings):
    ready(cast, DEFINITIONS)
    settings.PUSH_MAX_ROWS = 1

    assert ask(trips()).status_code == 413


def test_a_column_of_a_file_that_json_has_no_form_for_is_said(cast, ask, sources):
    rows = {"driver_id": [1], "at": [AT], "place": [{"x": 1}]}
    pq.write_table(pa.table(rows), sources / "places.parquet")
    text = f"""{factories.ENTITY}
---
kind: DataSource
name: places
type: file
path: places.parquet
event_timestamp: at
---
kind: FeatureView
name: placed
entities: [driver]
source: places
sql: SELECT driver_id, at, place.x AS x FROM places
features: [{{name: x, type: int64}}]
"""
    with committed():
        version = make_version(cast, text=text, look=look_at_sources)
        assert materialize(version, end=AT).status == "succeeded"

    refused = ask({"driver_id": [1]}, "placed")

    assert (refused.status_code, refused.json()["code"]) == (422, "not_computed")
    assert "'place' is STRUCT" in refused.json()["detail"]
