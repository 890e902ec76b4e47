"""The registry sees datasets: what one is made of, and which keep something of a version."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from serving.datasets.lineage import find
from tests import factories
from tests.serving.datasets_world import Caller, make
from tests.serving.historical_world import stored_view
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ASKED = {
    "name": "churn",
    "features": ["driver_hourly:avg_daily_trips", "driver_hourly:conv_rate"],
    "entities": {"driver_id": [1001], "event_timestamp": ["2026-03-01T14:00:00Z"]},
}


@pytest.fixture
def drivers(cast):
    rows = [{"driver_id": 1001, "event": NOON, "avg_daily_trips": 3}]
    return stored_view(cast, rows, at=NOON)


@pytest.fixture
def caller(client, cast, drivers):
    return Caller(client, cast.consumer)


@pytest.fixture
def made(caller):
    caller.post(body=ASKED)
    return make(NOON + timedelta(days=1))


def steps(client, cast, path, **query):
    headers = {"Authorization": f"Bearer {factories.token_for(cast.consumer)}"}
    found = client.get(f"/api/v1/projects/rides/lineage/{path}", query, headers=headers)
    assert found.status_code == 200, found.content
    return [(each["distance"], each["kind"], each["name"]) for each in found.json()["results"]]


def test_a_dataset_leads_back_to_its_sources(client, cast, made):
    found = steps(client, cast, "dataset/churn@1", direction="upstream")

    assert found[0] == (0, "dataset", "churn@1")
    assert (-1, "feature", "driver_hourly:conv_rate") in found
    assert (-2, "column", "driver_stats.conv_rate") in found
    assert (-3, "data-source", "driver_stats") in found


@pytest.mark.parametrize("name", ["a\0@1", "@1", "Churn@1", "churn@1\0", "churn@9999999999"])
def test_a_name_that_no_dataset_can_have_is_not_asked_of_the_database(
    cast, name, django_assert_num_queries
):
    with django_assert_num_queries(0):
        assert find(cast.project, name) is None


def test_a_feature_leads_to_the_datasets_that_have_it(client, cast, made):
    path = "feature/driver_hourly:conv_rate"
    assert (1, "dataset", "churn@1") in steps(client, cast, path, direction="downstream")
    other = "feature/driver_hourly:acc_rate"
    assert "dataset" not in {kind for _, kind, _ in steps(client, cast, other)}


def test_of_a_name_the_newest_is_there_and_the_older_are_counted(client, cast, caller, made):
    for _ in range(2):
        caller.post(body=ASKED)
        make(NOON + timedelta(days=1))
    caller.post(body={**ASKED, "name": "other"})
    make(NOON + timedelta(days=1))
    path = "feature/driver_hourly:conv_rate"

    found = steps(client, cast, path, direction="downstream")

    named = sorted(name for _, kind, name in found if kind == "dataset")
    assert named == ["churn@3", "other@1"]
    headers = {"Authorization": f"Bearer {factories.token_for(cast.consumer)}"}
    answer = client.get(f"/api/v1/projects/rides/lineage/{path}", headers=headers).json()
    said = {each["name"]: each for each in answer["results"]}
    assert [(said[each]["older"], said[each]["status"]) for each in named] == [
        (2, "done"), (0, "done"),
    ]  # fmt: skip
    # An older one that is asked about leads to its sources all the same.
    older = steps(client, cast, "dataset/churn@1", direction="upstream")
    assert (-3, "data-source", "driver_stats") in older


def test_one_that_was_ended_is_there_where_it_is_asked_about(client, cast, caller, made):
    with committed():
        caller.post("/churn/1/end", body={"reason": "Replaced"})

    found = steps(client, cast, "dataset/churn@1", direction="upstream")
    assert (-3, "data-source", "driver_stats") in found
    path = "feature/driver_hourly:conv_rate"
    assert "dataset" not in {kind for _, kind, _ in steps(client, cast, path)}


def test_what_is_not_made_is_not_there(client, cast, caller):
    caller.post(body=ASKED)

    headers = {"Authorization": f"Bearer {factories.token_for(cast.consumer)}"}
    answer = client.get("/api/v1/projects/rides/lineage/dataset/churn@1", headers=headers)

    assert answer.json()["code"] == "lineage_not_found"


def test_the_packet_of_a_change_names_the_datasets_that_keep_its_view(client, cast, made):
    with committed():
        second = factories.make_version(
            cast, text=factories.DEFINITIONS.replace("Conversion rate", "Share of rides")
        )

    assert second.packet["kept_in"] == ["dataset churn@1: driver_hourly@1.0.0"]


def test_the_packet_counts_older_ones(client, cast, caller, made):
    caller.post(body=ASKED)
    make(NOON + timedelta(days=1))
    with committed():
        second = factories.make_version(
            cast, text=factories.DEFINITIONS.replace("Conversion rate", "Share of rides")
        )

    assert second.packet["kept_in"] == ["dataset churn@2 (and 1 older): driver_hourly@1.0.0"]
