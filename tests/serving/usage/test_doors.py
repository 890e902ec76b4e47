"""Every way to read features is noted, each as what it is, once."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.serving import datasets_world, historical_world, jobs_world, online_world
from tests.serving.historical_world import stored_view
from tests.serving.on_demand.world import approve

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = datetime.now(UTC)
ASKED = {
    "features": ["driver_hourly:avg_daily_trips"],
    "entities": {"driver_id": [1001, 1002], "event_timestamp": ["2026-03-01T14:00:00Z"] * 2},
}


@pytest.fixture
def drivers(cast):
    return stored_view(cast, [{"driver_id": 1001, "event": NOON, "avg_daily_trips": 3}], at=NOON)


def told(usage) -> dict[str, tuple[int, int]]:
    """Return reads and rows by door, of the one feature that is read here."""
    found = usage(view="driver_hourly", feature="avg_daily_trips", by="door,reader").json()
    return {
        row["door"]: (row["reads"], row["rows"])
        for row in found["results"]
        if row["reader"] == "consumer"
    }


def test_training_sets_are_noted(client, token, drivers, stored, usage):
    historical_world.answer(historical_world.ask(client, token, ASKED))
    stored()

    assert told(usage) == {"historical": (1, 2)}
    [row] = usage(by="version").json()["results"]
    assert row["seconds"]["slowest"] > 0


def test_a_training_set_that_is_refused_is_no_read(client, token, drivers, stored, usage):
    refused = historical_world.ask(client, token, {**ASKED, "entities": {"driver_id": [1]}})

    assert refused.status_code == 422
    stored()
    assert told(usage) == {}


def test_jobs_and_their_downloads_are_noted(client, cast, drivers, stored, usage):
    caller = jobs_world.Caller(client, cast.consumer)
    job = caller.ask(ASKED)
    stored()
    assert told(usage) == {}  # it was asked for, and not read yet

    jobs_world.make(job, NOW)
    caller.rows(job)
    caller.rows(job)
    stored()

    assert told(usage) == {"job": (1, 2), "download": (2, 4)}


def test_datasets_and_their_downloads_are_noted(client, cast, drivers, stored, usage):
    caller = datasets_world.Caller(client, cast.consumer)
    caller.post(body={"name": "churn", **ASKED})
    datasets_world.make(NOW)
    caller.rows()
    stored()

    assert told(usage) == {"dataset": (1, 2), "download": (1, 2)}


def test_files_that_are_listed_are_noted(client, token, drivers, stored, usage):
    headers = {"Authorization": f"Bearer {token}"}
    url = "/api/v1/projects/rides/offline-files"
    assert client.get(url, {"feature_view": "driver_hourly"}, headers=headers).status_code == 200
    stored()

    assert told(usage) == {"files": (1, 1)}


def test_prompts_are_noted(client, token, version, stored, usage):
    body = {"features": ["driver_hourly:avg_daily_trips"], "entities": {"driver_id": [1001]}}
    path = "/api/v1/projects/rides/get-feature-context"
    headers = {"Authorization": f"Bearer {token}"}
    response = client.post(path, body, content_type="application/json", headers=headers)
    assert response.status_code == 200
    online_world.ask(client, token, body)
    stored()

    assert told(usage) == {"context": (1, 1), "online": (1, 1)}


def test_what_computed_features_are_computed_of_is_noted_through_every_door(
    client, cast, token, drivers, stored, usage
):
    approve(cast)
    computed = {
        "features": ["ride_risk:per_trip"],
        "entities": {**ASKED["entities"], "fare": [20, 30]},
    }
    historical_world.answer(historical_world.ask(client, token, computed))
    caller = jobs_world.Caller(client, cast.consumer)
    job = caller.ask(computed)
    jobs_world.make(job, NOW)
    caller.rows(job)
    kept = datasets_world.Caller(client, cast.consumer)
    kept.post(body={"name": "churn", **computed})
    datasets_world.make(NOW)
    kept.rows()
    stored()

    found = usage(view="driver_hourly", by="version,door,through").json()["results"]
    assert {(row["door"], row["through"], row["reads"], *row["features"]) for row in found} == {
        ("historical", "ride_risk@1.0.0", 1, "avg_daily_trips"),
        ("job", "ride_risk@1.0.0", 1, "avg_daily_trips"),
        ("dataset", "ride_risk@1.0.0", 1, "avg_daily_trips"),
        ("download", "ride_risk@1.0.0", 2, "avg_daily_trips"),
    }


def test_reads_that_nobody_timed_have_no_seconds_and_change_nobody_elses(
    client, cast, token, drivers, stored, usage
):
    historical_world.answer(historical_world.ask(client, token, ASKED))
    caller = jobs_world.Caller(client, cast.consumer)
    job = caller.ask(ASKED)
    jobs_world.make(job, NOW)
    for _ in range(3):
        caller.rows(job)
    stored()

    by_door = {row["door"]: row["seconds"] for row in usage(by="door").json()["results"]}
    nothing = {"mean": None, "p50_within": None, "p99_within": None, "slowest": None}
    assert (by_door["job"], by_door["download"]) == (nothing, nothing)
    assert by_door["historical"]["slowest"] > 0
    [row] = usage(by="reader").json()["results"]
    assert (row["reads"], row["seconds"]) == (5, by_door["historical"])
