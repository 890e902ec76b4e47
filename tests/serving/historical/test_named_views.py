"""Join keys under a frame's own names, and one view under several: answers, names, refusals."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.models import AuditEntry
from tests import factories
from tests.oracle import joined
from tests.serving.historical_world import URL, answer, ask, stored_view

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TEXT = "2026-03-01T12:00:00Z"
DRIVERS = [
    {"driver_id": 1, "event": NOON - HOUR, "avg_daily_trips": 10, "conv_rate": 0.5},
    {"driver_id": 2, "event": NOON - HOUR, "avg_daily_trips": 20},
]
DRIVER = {"view": "driver_hourly", "join_keys": {"driver_id": "chosen_id"}}
ROUTES = """
kind: Entity
name: route
join_keys: [{name: start, type: string}, {name: goal, type: string}]
---
kind: DataSource
name: routes
type: file
path: data/routes.parquet
event_timestamp: at
created_timestamp: known
---
kind: FeatureView
name: route_stats
entities: [route]
source: routes
features: [{name: km, type: int64}]
ttl: 3h
"""


@pytest.fixture
def drivers(cast):
    return stored_view(cast, DRIVERS, at=NOON)


def body(features, views, *, times=1, **columns):
    entities = {**columns, "event_timestamp": [TEXT] * times}
    return {"features": features, "views": views, "entities": entities}


def test_one_view_is_joined_by_two_columns_under_two_names(client, token, drivers):
    views = {
        "chosen": DRIVER,
        "refused": {"view": "driver_hourly", "join_keys": {"driver_id": "refused_id"}},
    }
    features = ["chosen:avg_daily_trips", "refused@1.0.0:avg_daily_trips", "chosen:conv_rate"]
    sent = body(features, views, times=2, chosen_id=[1, 2], refused_id=[2, None])

    found = answer(ask(client, token, {**sent, "full_feature_names": True}))

    del found["event_timestamp"]
    assert found == {
        "chosen_id": [1, 2],
        "refused_id": [2, None],
        "chosen__avg_daily_trips": [10, 20],
        "refused@1.0.0__avg_daily_trips": [20, None],
        "chosen__conv_rate": [0.5, None],
    }


def test_the_trail_has_the_views_by_their_own_names_and_what_they_were_called(
    client, token, drivers
):
    views = {"chosen": DRIVER, "driver_hourly": {"join_keys": {"driver_id": "other"}}}
    features = ["chosen:conv_rate", "driver_hourly:avg_daily_trips", "driver_hourly:acc_rate"]

    response = ask(client, token, body(features, views, chosen_id=[1], other=[9]))

    data = AuditEntry.objects.get(verb="training_set.read").data
    assert response.status_code == 200
    assert data["features"] == [
        f"driver_hourly:{name}" for name in ("conv_rate", "avg_daily_trips", "acc_rate")
    ]
    assert data["versions"] == ["driver_hourly@1.0.0"]
    assert data["matched"] == {"chosen (driver_hourly@1.0.0)": 1, "driver_hourly@1.0.0": 0}
    assert data["views"] == {
        "chosen": DRIVER,
        "driver_hourly": {"view": None, "join_keys": {"driver_id": "other"}},
    }


def test_a_star_and_a_service_take_the_names_too(client, token, cast, drivers):
    factories.apply("kind: FeatureService\nname: churn\nfeatures: ['driver_hourly:*']", cast)
    starred = body(["chosen:*"], {"chosen": DRIVER}, chosen_id=[1])
    served = body(None, {"driver_hourly": {"join_keys": {"driver_id": "chosen_id"}}}, chosen_id=[1])

    by_service = answer(ask(client, token, {**served, "feature_service": "churn"}))

    assert answer(ask(client, token, starred)) == by_service
    assert by_service["avg_daily_trips"] == [10]


def test_an_upload_says_them_as_json_in_its_query(client, token, drivers):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"chosen_id": [2], "event_timestamp": [NOON]}), sink)
    query = {"features": "chosen:avg_daily_trips", "views": json.dumps({"chosen": DRIVER})}

    found = answer(
        client.post(
            URL,
            sink.getvalue().to_pybytes(),
            content_type="application/vnd.apache.parquet",
            query_params=query,
            headers={"Authorization": f"Bearer {token}"},
        )
    )

    assert found["avg_daily_trips"] == [20]


@pytest.mark.parametrize(
    ("views", "status", "says"),
    [
        ({"chosn": DRIVER}, 422, "of 'chosn'. Did you mean 'chosen'?"),
        ({"chosen": {**DRIVER, "view": "driver_huorly"}}, 404, "driver_hourly"),
        ({"chosen": {**DRIVER, "view": "driver_hourly@1.0.0"}}, 422, "chosen@1.2.0:feature"),
        ({"chosen": {**DRIVER, "join_keys": {"driver": "x"}}}, 422, "Did you mean 'driver_id'?"),
        ({"chosen": {**DRIVER, "join_keys": {"driver_id": "idd"}}}, 422, "no column 'idd', a join"),
        ({"chosen": {"view": "driver_hourly"}}, 422, "no column 'driver_id', a join key of chosen"),
        ({"chosen": {**DRIVER, "join_keys": {"driver_id": "a\0"}}}, 422, "cannot be in the column"),
        (
            {"chosen": {**DRIVER, "join_keys": {"driver_id": "event_timestamp"}}},
            422,
            "cannot be in the column 'event_timestamp'",
        ),
        ({"chosen": {**DRIVER, "keys": {}}}, 422, "unknown field `keys`"),
        ({"cho__sen": DRIVER}, 422, "'cho__sen' cannot stand in a reference"),
        ({"c" * 64: DRIVER}, 422, "cannot stand in a reference"),
        ([], 422, "$.views"),
    ],
)
def test_what_means_nothing_or_two_things_is_refused(client, token, drivers, views, status, says):
    response = ask(client, token, body(["chosen:conv_rate"], views, chosen_id=[1]))

    assert (response.status_code, says in response.json()["detail"]) == (status, True), (
        response.content
    )


def test_two_names_of_one_feature_collide_unless_names_are_full(client, token, drivers):
    views = {"chosen": DRIVER, "other": DRIVER}

    response = ask(
        client, token, body(["chosen:conv_rate", "other:conv_rate"], views, chosen_id=[1])
    )

    assert response.status_code == 422
    assert response.json()["features"] == ["chosen:conv_rate", "other:conv_rate"]


def test_one_column_is_no_two_keys(client, token, cast):
    stored_view(cast, [], at=NOON, text=ROUTES)
    views = {"route_stats": {"join_keys": {"start": "goal"}}}

    response = ask(client, token, body(["route_stats:km"], views, goal=["a"]))

    assert response.status_code == 422
    says = "join keys 'start' and 'goal' would both be read from the column 'goal'"
    assert says in response.json()["detail"]


def test_a_service_names_its_own_views(client, token, cast, drivers):
    factories.apply("kind: FeatureService\nname: churn\nfeatures: ['driver_hourly:*']", cast)
    views = {"driver_hourly": {"view": "another"}}
    sent = {**body(None, views, driver_id=[1]), "feature_service": "churn"}

    response = ask(client, token, sent)

    assert response.status_code == 422
    assert "says itself which views it reads" in response.json()["detail"]


def test_a_view_is_hidden_whatever_it_is_called(client, cast, drivers):
    sent = body(["chosen:conv_rate"], {"chosen": DRIVER}, chosen_id=[1])

    assert ask(client, factories.token_for(cast.auditor), sent).status_code == 403


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("timing", ["known", "event"])
def test_several_views_with_renamed_keys_are_as_the_loop_has_them(
    client, token, cast, seed, timing
):
    chance = random.Random(seed)
    drivers = [
        {"driver_id": chance.randrange(4), "avg_daily_trips": n, **_stamps(chance)}
        for n in range(40)
    ]
    routes = [
        {"start": chance.choice("abc"), "goal": chance.choice("abc"), "km": n, **_stamps(chance)}
        for n in range(120)
    ]
    stored_view(cast, drivers, at=NOON)
    stored_view(cast, routes, at=NOON, text=ROUTES)
    frame = [
        {
            "buyer": chance.choice([0, 1, 2, 3, 9, None]),
            "driver_id": chance.randrange(4),
            "here": chance.choice("abcd"),
            "there": chance.choice(["a", "b", None]),
            "event_timestamp": NOON + chance.randrange(-10, 14) * HOUR / 2,
        }
        for _ in range(30)
    ]
    uses = {  # name → rows, join key → column, TTL, feature
        "buyer": (drivers, {"driver_id": "buyer"}, 48 * HOUR, "avg_daily_trips"),
        "driver_hourly": (drivers, {"driver_id": "driver_id"}, 48 * HOUR, "avg_daily_trips"),
        "out": (routes, {"start": "here", "goal": "there"}, 3 * HOUR, "km"),
        "back": (routes, {"goal": "here", "start": "there"}, 3 * HOUR, "km"),
    }
    views = {
        name: {"view": "driver_hourly" if rows is drivers else "route_stats", "join_keys": keys}
        for name, (rows, keys, _, _) in uses.items()
    }
    columns = {name: [row[name] for row in frame] for name in frame[0]}
    columns["event_timestamp"] = [time.isoformat() for time in columns["event_timestamp"]]
    features = [f"{name}:{feature}" for name, (*_, feature) in uses.items()]
    sent = {"features": features, "views": views, "entities": columns, "timing": timing}

    found = answer(ask(client, token, {**sent, "full_feature_names": True}))

    for name, (rows, keys, ttl, feature) in uses.items():
        taken = joined(frame, rows, keys, ttl=ttl, known=timing == "known")
        expected = [row and row[feature] for row in taken]
        assert found[f"{name}__{feature}"] == expected, name
        assert sum(row is not None for row in taken) > 1  # there was something to be found


def _stamps(chance):
    event = NOON + timedelta(minutes=chance.randrange(-600, 200))
    late = timedelta(minutes=chance.choice([0, 0, 10, 300]))
    stamps = {"event_timestamp": event, "created_timestamp": event + late, "__sequence": 1}
    return {**stamps, "event": event, "created": event + late}
