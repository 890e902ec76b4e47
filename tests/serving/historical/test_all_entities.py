"""Training sets without a frame: who is there, when, in pages, and what is refused."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta

import pytest
from pyarrow import ipc

from registry.models import AuditEntry
from tests import factories
from tests.oracle import beginnings, entities, latest_known
from tests.serving.historical.test_named_views import ROUTES
from tests.serving.historical_world import answer, ask, stored_view

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ARROW = "application/vnd.apache.arrow.stream"
ROWS = [
    {"driver_id": 2, "event": NOON - 3 * HOUR, "avg_daily_trips": 3},
    {"driver_id": 1, "event": NOON - HOUR, "created": NOON + HOUR, "avg_daily_trips": 1},
    {"driver_id": 1, "event": NOON - 4 * HOUR, "avg_daily_trips": 7},
    {"driver_id": 3, "event": NOON - 3 * DAY, "avg_daily_trips": 5},  # past its TTL of two days
    {"driver_id": 4, "event": NOON + DAY, "avg_daily_trips": 8},
]
TRIPS = ["driver_hourly:avg_daily_trips"]


@pytest.fixture
def drivers(cast):
    return stored_view(cast, ROWS, at=NOON)


def text(instant):
    return instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def test_at_an_instant_there_is_each_entity_of_which_something_is_known(client, token, drivers):
    sent = {"features": TRIPS, "all_entities": {"at": text(NOON)}}

    response = ask(client, token, sent)

    assert answer(response) == {
        "driver_id": [1, 2],
        "event_timestamp": [text(NOON)] * 2,
        "avg_daily_trips": [7, 3],
    }
    assert response.json()["metadata"]["value_types"] == ["int64", "timestamp", "int32"]
    assert "next" not in response.json()["metadata"]
    later = {"at": ["2026-03-02T12:00:00Z", text(NOON)]}
    assert answer(ask(client, token, {**sent, "all_entities": later, "timing": "event"})) == {
        "driver_id": [1, 2, 1, 2, 4],
        "event_timestamp": [text(NOON)] * 2 + [text(NOON + DAY)] * 3,
        "avg_daily_trips": [1, 3, 1, 3, 8],
    }


def test_between_two_times_there_is_what_became_known_and_when(client, token, drivers):
    sent = {
        "features": TRIPS,
        "all_entities": {"start": "2026-03-01T08:00:00", "end": text(NOON + HOUR)},
    }

    found = answer(ask(client, token, sent))

    assert found["driver_id"] == [1, 2, 1]
    assert found["event_timestamp"] == [text(NOON + h * HOUR) for h in (-4, -3, 1)]
    assert found["avg_daily_trips"] == [7, 3, 1]


def test_a_range_in_steps_is_each_of_its_instants(client, token, drivers):
    asked = {"start": text(NOON), "end": "2026-03-02T12:00:00", "every": "12h"}

    stepped = answer(ask(client, token, {"features": TRIPS, "all_entities": asked}))

    at = {"at": [text(NOON + h * HOUR) for h in (0, 12, 24)]}
    assert stepped == answer(ask(client, token, {"features": TRIPS, "all_entities": at}))
    assert len(stepped["driver_id"]) == 7


def test_pages_follow_one_another_in_every_form(client, token, drivers):
    asked = {"at": [text(NOON), text(NOON + DAY)], "limit": 2}
    sent = {"features": TRIPS, "all_entities": asked}
    first = ask(client, token, sent)
    after = first.json()["metadata"]["next"]
    assert after == {"driver_id": 2, "event_timestamp": text(NOON)}

    second = ask(client, token, {**sent, "all_entities": {**asked, "after": after}}, accept=ARROW)
    table = ipc.open_stream(second.content).read_all()
    then = json.loads(second["Assay-Next"])
    third = ask(client, token, {**sent, "all_entities": {**asked, "after": then}})

    assert table["driver_id"].to_pylist() == [1, 2]
    assert answer(third)["driver_id"] == [4]
    assert "next" not in third.json()["metadata"]
    assert answer(first)["driver_id"] == [1, 2]


def test_the_trail_says_what_was_asked(client, token, drivers):
    at = [text(NOON + n * HOUR) for n in range(30)]

    ask(client, token, {"features": TRIPS, "all_entities": {"at": at}})

    data = AuditEntry.objects.get(verb="training_set.read").data
    assert data["all_entities"] == {"at": at[:20], "instants": 30}
    assert data["rows"] > 30


def test_whoever_may_not_read_learns_no_key(client, cast, drivers):
    sent = {"features": TRIPS, "all_entities": {"at": text(NOON)}}

    assert ask(client, factories.token_for(cast.auditor), sent).status_code == 403
    assert ask(client, factories.token_for(cast.outsider), sent).status_code == 404


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, '"at": an instant or a list'),
        ({"at": "now"}, "all_entities: at 'now': write an instant"),
        ({"at": []}, "0 instants; one question asks about 1 to 10000"),
        ({"at": ["2026-01-01"] * 10_001}, "10001 instants"),
        ({"at": "2026-01-01", "start": "2026-01-01"}, '"at": an instant or a list'),
        ({"start": "2026-01-01"}, "both a start and an end"),
        ({"every": "1d"}, "both a start and an end"),
        ({"start": "2026-01-02", "end": "2026-01-01"}, "before start"),
        ({"start": "0001-01-01", "end": "9999-12-31", "every": "1s"}, "instants; one question"),
        ({"start": "2026-01-01", "end": "2026-01-02", "every": "1x"}, "every: duration '1x'"),
        ({"at": "2026-01-01", "limit": 0}, "limit 0 is not 1 to"),
        ({"at": "2026-01-01", "limit": 10**9}, "HISTORICAL_MAX_ROWS"),
        ({"at": "2026-01-01", "limit": 2.5}, "$.all_entities.limit"),
        ({"at": "2026-01-01", "after": {}}, "after has nothing; it is a row of an answer"),
        (
            {"at": "2026-01-01", "after": {"driver_id": "1", "event_timestamp": "2026-01-01"}},
            "join key 'driver_id' is int64",
        ),
        (
            {"at": "2026-01-01", "after": {"driver_id": None, "event_timestamp": "2026-01-01"}},
            "driver_id is null",
        ),
        ({"at": "2026-01-01", "after": {"driver_id": 1, "event_timestamp": 3}}, "write an instant"),
        ({"att": "2026-01-01"}, "unknown field `att`"),
        ([], "$.all_entities"),
    ],
)
def test_refusals_say_what_is_valid(client, token, drivers, asked, says):
    response = ask(client, token, {"features": TRIPS, "all_entities": asked})

    assert (response.status_code, says in response.json()["detail"]) == (422, True), (
        response.content
    )


def test_a_frame_and_all_entities_exclude_each_other(client, token, drivers):
    both = {"entities": {"driver_id": [1]}, "all_entities": {"at": "2026-01-01"}}

    response = ask(client, token, {"features": TRIPS, **both})

    assert (response.status_code, '"all_entities"' in response.json()["detail"]) == (422, True)


def test_too_many_rows_are_refused_naming_the_way_on(client, token, drivers, settings):
    settings.HISTORICAL_MAX_ROWS = 1

    response = ask(client, token, {"features": TRIPS, "all_entities": {"at": text(NOON)}})

    assert (response.status_code, response.json()["code"]) == (413, "too_many_rows")
    assert '"limit"' in response.json()["detail"]
    settings.HISTORICAL_MAX_VALUES = 2
    limited = {"at": text(NOON), "limit": 1}
    response = ask(client, token, {"features": TRIPS, "all_entities": limited})
    assert (response.status_code, response.json()["code"]) == (413, "too_many_values")


def test_views_of_other_keys_are_refused_naming_both(client, token, cast, drivers):
    stored_view(cast, [], at=NOON, text=ROUTES)
    sent = {"features": [*TRIPS, "route_stats:km"], "all_entities": {"at": "2026-01-01"}}

    response = ask(client, token, sent)

    assert response.status_code == 422
    says = "driver_hourly@1.0.0 driver_id (int64) and route_stats@1.0.0 start (string), goal (str"
    assert says in response.json()["detail"]


def test_a_key_that_is_called_as_a_feature_is_refused(client, token, drivers):
    views = {"driver_hourly": {"join_keys": {"driver_id": "avg_daily_trips"}}}
    sent = {"features": TRIPS, "views": views, "all_entities": {"at": "2026-01-01"}}

    assert ask(client, token, sent).json()["code"] == "feature_name_collision"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("timing", ["known", "event"])
def test_all_of_several_views_is_as_the_loops_have_it(client, token, cast, seed, timing):
    chance = random.Random(seed)
    rows = [
        {"start": chance.choice("abc"), "goal": chance.choice("abc"), "km": n, **_stamps(chance, n)}
        for n in range(60)
    ]
    stored_view(cast, rows, at=NOON, text=ROUTES)
    views = {
        "out": {"view": "route_stats", "join_keys": {"start": "x", "goal": "y"}},
        "back": {"view": "route_stats", "join_keys": {"start": "y", "goal": "x"}},
    }
    sent = {
        "features": ["out:km", "back:km"], "views": views, "full_feature_names": True,
        "timing": timing,
    }  # fmt: skip
    options = {"ttl": 3 * HOUR, "known": timing == "known"}
    ways = {"out": ["start", "goal"], "back": ["goal", "start"]}
    at = [NOON + n * HOUR for n in range(-9, 9, 3)]
    start, end = NOON - 6 * HOUR, NOON + 5 * HOUR

    at_times = answer(ask(client, token, {**sent, "all_entities": {"at": [*map(text, at)]}}))
    changes = answer(
        ask(client, token, {**sent, "all_entities": {"start": text(start), "end": text(end)}})
    )

    expected = set().union(*(entities(rows, keys, at, **options) for keys in ways.values()))
    check(at_times, expected, rows, ways, options)
    began = set().union(*(beginnings(rows, keys, **options) for keys in ways.values()))
    check(changes, {each for each in began if start <= each[0] <= end}, rows, ways, options)


def check(found, expected, rows, ways, options):
    asked = sorted(expected)
    assert list(zip(found["event_timestamp"], found["x"], found["y"], strict=True)) == [
        (text(at), x, y) for at, x, y in asked
    ]
    for name, keys in ways.items():
        taken = [
            latest_known(rows, dict(zip(keys, key, strict=True)), at, **options)
            for at, *key in asked
        ]
        assert found[f"{name}__km"] == [row and row["km"] for row in taken]
    assert len(asked) > 5


def _stamps(chance, n):
    event = NOON + timedelta(minutes=chance.randrange(-600, 500), seconds=n)
    late = timedelta(minutes=chance.choice([0, 0, 10, 300]))
    stamps = {"event_timestamp": event, "created_timestamp": event + late, "__sequence": 1}
    return {**stamps, "event": event, "created": event + late}


@pytest.mark.parametrize("called", [("x", "X"), ("__at", "__since"), ("Event_Timestamp", "k0")])
def test_keys_keep_the_names_a_request_gives_them(client, token, cast, called):
    rows = [
        {"start": "a", "goal": goal, "event": NOON - HOUR, "km": n} for n, goal in enumerate("bc")
    ]
    stored_view(cast, rows, at=NOON, text=ROUTES)
    start, goal = called
    views = {"route_stats": {"join_keys": {"start": start, "goal": goal}}}
    asked = {"at": text(NOON), "limit": 1}
    sent = {"features": ["route_stats:km"], "views": views, "all_entities": asked}

    first = ask(client, token, sent)
    after = first.json()["metadata"]["next"]
    second = ask(client, token, {**sent, "all_entities": {**asked, "after": after}})

    times = {"event_timestamp": [text(NOON)]}
    assert answer(first) == {start: ["a"], goal: ["b"], **times, "km": [0]}
    assert answer(second) == {start: ["a"], goal: ["c"], **times, "km": [1]}
