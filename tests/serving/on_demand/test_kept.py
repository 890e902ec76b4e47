"""Computed features in what workers make: datasets and jobs have what one answer has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse

from registry.models import FeatureViewVersion
from registry.operations.lifecycle.releases import mark_table_ready, promote_version
from serving.datasets.comparing import differences
from serving.jobs.edges import job_bounds
from serving.jobs.making import plan_of
from serving.models import Dataset, HistoricalJob
from tests import factories
from tests.serving import datasets_world, jobs_world
from tests.serving.historical_world import answer, ask, commit, stored_view
from tests.serving.on_demand.world import RISK, approve
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
AT = [(NOON + hours * HOUR).isoformat() for hours in (1, 2, 3, 4, 5)]
ASKED = {
    "features": [
        "ride_risk:expected_fare",
        "driver_hourly:avg_daily_trips",
        "ride_risk:per_trip",
        "ride_risk:fare_share",
        "ride_risk:idle_minutes",
    ],
    "entities": {
        "driver_id": [1, 2, 1, 3, 2],
        "fare": [20, 5.5, None, 7, -1],
        "seen": [NOON.isoformat()] * 5,
        "event_timestamp": AT,
    },
}
ROWS: Any = ASKED["entities"]
CSV = "driver_id,fare,seen,event_timestamp\n" + "\n".join(
    f"{driver},{'' if fare is None else fare},{seen},{at}"
    for driver, fare, seen, at in zip(*ROWS.values(), strict=True)
)
LACKING = (
    "ride_risk@1.0.0:fare_share: an operation had no result in at least one row and is null there"
)


def row(driver, event, rate, trips):
    return {"driver_id": driver, "event": event, "conv_rate": rate, "avg_daily_trips": trips}


@pytest.fixture
def stored(cast):
    rows = [row(1, NOON, 0.5, 10), row(2, NOON, None, 0)]
    return stored_view(cast, rows, at=NOON)


@pytest.fixture
def risk(cast, stored):
    return approve(cast)


def computed(table):
    return {
        each: table[each].to_pylist() for each in (n.partition(":")[2] for n in ASKED["features"])
    }


def dataset(caller, body=ASKED, **more):
    asked = caller.post(body={"name": "churn", **body}, **more)
    assert asked.status_code == 202, asked.content
    made = datasets_world.make(NOON + DAY)
    assert (made.status, made.error) == ("done", "")
    return made


def test_a_dataset_has_what_one_answer_has_and_its_manifest_says_what_of(client, cast, risk):
    at_once = answer(ask(client, factories.token_for(cast.consumer), ASKED))
    caller = datasets_world.Caller(client, cast.consumer)

    made = dataset(caller)

    rows = caller.rows()
    assert at_once["expected_fare"] == [10.0, 0.0, None, 0.0, 0.0]
    assert computed(rows) == {name: at_once[name] for name in computed(rows)}
    manifest = made.manifest
    assert manifest["features"][0] == {
        "name": "expected_fare",
        "reference": "ride_risk@1.0.0:expected_fare",
        "type": "float64",
    }
    assert [view["feature_view"] for view in manifest["views"]] == ["driver_hourly"]
    (view,) = manifest["on_demand"]
    assert (view["feature_view"], view["version"]) == ("ride_risk", "1.0.0")
    assert view["data_fingerprint"] == risk.data_fingerprint
    assert view["features"]["expected_fare"] == {
        "inputs": ["driver_hourly@1.0.0:conv_rate"],
        "request": {"fare": "float64"},
    }
    assert any(LACKING in warning for warning in manifest["warnings"])
    assert [each["name"] for each in made.profile["columns"]] == list(computed(rows))


def test_it_is_computed_again_of_the_same_versions_whatever_came_since(client, cast, stored, risk):
    caller = datasets_world.Caller(client, cast.consumer)
    made = dataset(caller)
    commit(stored, [row(1, NOON + 30 * timedelta(minutes=1), 0.9, 3)], sequence=2)
    other = factories.VIEW.replace(
        "conv_rate, type: float32", "conv_rate, column: r, type: float32"
    )
    with committed():
        second = factories.make_version(cast, text=other)
    commit(second, [row(1, NOON, 0.25, 1)])
    with committed():
        mark_table_ready(table=second.table, at=NOON, kept_for=None)
        promote_version(version=second, actor=cast.steward, at=factories.AT)
        approve(cast, RISK.replace("coalesce(conv_rate, 0)", "coalesce(conv_rate, 1)"))

    check = datasets_world.verify(caller, NOON + 2 * DAY)

    assert (check["verdict"], check["found"]["changed"]) == ("equal", [])
    later = (
        datasets_world.make(NOON + DAY) if caller.post(body={"name": "churn", **ASKED}) else None
    )
    assert later is not None
    assert later.manifest["on_demand"][0]["features"]["expected_fare"]["inputs"] == [
        "driver_hourly@2.0.0:conv_rate"
    ]
    lines = {line.what: line for line in differences(made.manifest, later.manifest)}
    assert not lines["inputs of ride_risk:expected_fare"].is_equal


def test_a_value_that_was_changed_is_found(client, cast, risk):
    caller = datasets_world.Caller(client, cast.consumer)
    made = dataset(caller)
    Dataset.objects.filter(pk=made.pk).update(
        columns=[{**made.columns[0], "feature": "per_trip", "inputs": [0]}, *made.columns[1:]]
    )

    found = datasets_world.verify(caller, NOON + 2 * DAY)

    assert found["verdict"] == "different"
    assert list(found["found"]["columns"]) == ["expected_fare"]


@pytest.mark.parametrize("form", ["json", "csv"])
def test_a_job_made_in_pieces_has_what_one_answer_has(client, cast, risk, settings, form):
    at_once = answer(ask(client, factories.token_for(cast.consumer), ASKED))
    settings.HISTORICAL_MAX_ROWS = 2
    caller = jobs_world.Caller(client, cast.consumer)

    if form == "json":
        job = caller.ask(ASKED)
    else:
        query = "?" + "&".join(f"features={each}" for each in ASKED["features"])
        asked = caller.post(query, body=CSV.encode(), content_type="text/csv")
        job = asked.json()["id"]
    made = jobs_world.make(job, datetime.now(UTC))

    assert (made.status, made.error) == ("done", "")
    rows = caller.rows(job)
    assert computed(rows) == {name: at_once[name] for name in computed(rows)}
    assert made.request["features"][0] == "ride_risk@1.0.0:expected_fare"
    assert sum(LACKING in warning for warning in made.found["warnings"]) == 1


def test_what_is_computed_of_the_request_alone_has_rows_too(client, cast, risk):
    text = """
kind: OnDemandFeatureView
name: fares
inputs: {request: {fare: float64}}
features:
  - {name: doubled, type: float64, sql: "fare * 2"}
"""
    approve(cast, text)
    frame = {"fare": [1, 2.5], "event_timestamp": AT[:2]}
    body = {"features": ["fares:doubled"], "entities": frame}
    jobs = jobs_world.Caller(client, cast.consumer)
    datasets = datasets_world.Caller(client, cast.consumer)

    job = jobs.ask(body)
    jobs_world.make(job, datetime.now(UTC))
    dataset(datasets, body)

    assert jobs.rows(job)["doubled"].to_pylist() == [2.0, 5.0]
    assert datasets.rows()["doubled"].to_pylist() == [2.0, 5.0]
    assert datasets_world.verify(datasets, NOON + 2 * DAY)["verdict"] == "equal"


@pytest.mark.parametrize("world", [datasets_world, jobs_world])
def test_whose_right_to_an_input_ended_gets_no_rows(client, cast, world):
    text = factories.DEFINITIONS.replace(
        "{name: conv_rate, type: float32",
        "{name: conv_rate, type: float32, sensitivity: confidential",
    )
    with committed():
        version = factories.make_version(cast, text=text)
        factories.approve(version, cast.second_steward)
    commit(version, [row(1, NOON, 0.5, 10)])
    with committed():
        mark_table_ready(table=version.table, at=NOON, kept_for=None)
        made = approve(cast)
        factories.approve(made, cast.second_steward)
    body = {**ASKED, "features": ["ride_risk:expected_fare"]}
    caller = world.Caller(client, cast.consumer)

    refused = caller.post(body={**body, **({"name": "churn"} if world is datasets_world else {})})

    assert (refused.status_code, refused.json()["code"]) == (403, "grant_needed")


def test_its_page_says_what_is_computed(client, cast, risk):
    made = dataset(datasets_world.Caller(client, cast.consumer))
    client.force_login(cast.consumer)

    page = client.get(reverse("admin:serving_dataset_change", args=[made.pk])).content.decode()

    text = page.replace("<wbr>", "")
    assert "ride_risk@1.0.0" in text
    assert "computed of the others, and of the frame" in text


def test_a_version_that_a_dataset_was_computed_by_stays(client, cast, risk):
    made = dataset(datasets_world.Caller(client, cast.consumer))

    assert [part.version for part in made.parts.all()] == [
        FeatureViewVersion.objects.get(feature_view__name="driver_hourly"),
        risk,
    ]


@pytest.mark.parametrize("door", ["historical", "job", "dataset"])
def test_of_what_reads_nothing_stored_there_are_no_entities_to_find(client, cast, risk, door):
    text = """
kind: OnDemandFeatureView
name: clock
inputs: {request: {fare: float64}}
features:
  - {name: hour, type: int64, sql: "hour(now)"}
  - {name: doubled, type: float64, sql: "fare * 2"}
"""
    approve(cast, text)
    body = {"features": ["clock:hour"], "all_entities": {"at": AT[0]}}

    if door == "historical":
        refused = ask(client, factories.token_for(cast.consumer), body)
    elif door == "job":
        refused = jobs_world.Caller(client, cast.consumer).post(body=body)
    else:
        refused = datasets_world.Caller(client, cast.consumer).post(body={"name": "churn", **body})

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert "no entities to find" in refused.json()["detail"]


def test_what_a_computed_column_is_made_of_counts_in_the_room_of_rows(client, cast, settings):
    many = [f"f{n}" for n in range(50)]
    lines = "".join(f"  - {{name: {name}, type: float64}}\n" for name in many)
    stored = factories.DEFINITIONS.replace("features:\n", f"features:\n{lines}", 1)
    stored_view(cast, [row(1, NOON, 0.5, 10)], at=NOON, text=stored)
    inputs = ", ".join(f'"driver_hourly:{name}"' for name in many)
    text = f"""
kind: OnDemandFeatureView
name: sums
inputs: {{features: [{inputs}]}}
features:
  - {{name: total, type: float64, sql: "{" + ".join(many)}"}}
"""
    approve(cast, text)
    frame = {"driver_id": [1] * 3, "event_timestamp": AT[:3]}
    body = {"features": ["sums:total"], "entities": frame}
    settings.HISTORICAL_MAX_VALUES = 100  # of 3 columns there is room for 33 rows, of 53 for one

    refused = ask(client, factories.token_for(cast.consumer), body)
    caller = jobs_world.Caller(client, cast.consumer)
    job = caller.ask(body)
    plan = plan_of(HistoricalJob.objects.get(pk=job))
    made = jobs_world.make(job, datetime.now(UTC))

    assert (refused.status_code, refused.json()["setting"]) == (413, "HISTORICAL_MAX_VALUES")
    assert plan.width == 51
    assert job_bounds().rows_at_a_time(plan.width + 2) == 1
    assert (made.status, made.rows) == ("done", 3)
