"""Rows that are pushed: online when the call returns, offline once they are drained, each once."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from materialization.edges.stores import push_log
from materialization.ingest.refusals import Refusals
from materialization.models import TableSequence
from materialization.requests.draining import reload_restarted
from materialization.runner.draining import drain_logs
from materialization.stores.layout import counter_key, log_key
from materialization.stores.push_command import LOGGED
from registry.choices import Role
from registry.operations.people.tokens import Limits, issue_token
from tests import factories
from tests.materialization.ingest.push_world import DEFINITIONS, SOURCE, VIEW, approved, ready
from tests.materialization.run_world import (
    committed,
    fresh,
    materialize,
    offline,
    online,
    perform,
    snapshot,
    table_of,
)
from tests.serving.historical_world import ask
from tests.serving.jobs_world import Caller, make

if TYPE_CHECKING:
    from datetime import datetime

pytestmark = pytest.mark.django_db
URL = "/api/v1/projects/rides"
KEYS: dict[str, list[Any]] = {"driver_id": [1001, 1002, 4711]}


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def version(cast, now):
    return ready(cast, at=now - timedelta(minutes=1))


@pytest.fixture
def producer(cast):
    return factories.make_service_account("stream", cast, Role.PRODUCER)


@pytest.fixture
def send(client, producer):
    token = factories.token_for(producer)

    def call(path: str, body: dict[str, Any], *, by: str = token, **headers: str) -> Any:
        return client.post(
            f"{URL}/{path}",
            data=json.dumps(body),
            content_type="application/json",
            headers={"Authorization": f"Bearer {by}", **headers},
        )

    return call


def rows(now: datetime, **changed: Any) -> dict[str, Any]:
    times = [(now - timedelta(seconds=back)).isoformat() for back in (20, 10)]
    return {
        "driver_id": [1001, 1002],
        "at": times,
        "fare": [12.5, 8],
        "city": ["Bern", None],
    } | changed


def pushed(now: datetime, **changed: Any) -> dict[str, Any]:
    return {"push_source_name": "trips", "df": rows(now, **changed)}


def test_a_pushed_row_is_in_the_very_next_read(version, send, now):
    answer = send("push", pushed(now))

    assert answer.status_code == 200, answer.content
    said = answer.json()
    assert (said["rows"], said["taken"], said["refused"]) == (2, 2, [])
    assert said["feature_views"] == ["last_trip@1.0.0"]
    found = online(version, KEYS, at=timezone.now())
    assert found == {"fare": [12.5, 8.0, None], "town": ["Bern", None, None], "seats": [None] * 3}


def test_a_drained_row_is_offline_as_it_is_online_and_once(version, send, now):
    send("push", pushed(now))
    send("push", pushed(now, fare=[13.0, 9.0], seats=[3, None]))
    later = timezone.now()

    assert drain_logs() == 4
    assert drain_logs() == 0
    assert snapshot(version).rows == 4
    assert push_log().logged() == []
    assert offline(version, KEYS, at=later) == online(version, KEYS, at=later)
    assert offline(version, KEYS, at=later)["fare"] == [13.0, 9.0, None]
    # Nobody knew of them before they came.
    assert offline(version, KEYS, at=now - timedelta(seconds=5))["fare"] == [None] * 3


def test_a_training_set_says_which_rows_are_not_stored_yet(
    version, send, now, client, cast, settings
):
    send("push", pushed(now))
    token, late = factories.token_for(cast.consumer), "last_trip@1.0.0: 2 rows that arrived since"
    body = {"features": ["last_trip:fare"], "entities": {**KEYS, "event_timestamp": []}}

    def said(at: datetime, timing: str = "known") -> list[str]:
        body["entities"]["event_timestamp"] = [at.isoformat()] * 3
        warnings = answered(client, token, {**body, "timing": timing})
        job = Caller(client, cast.consumer).ask({**body, "timing": timing})
        found = make(job, timezone.now()).found["warnings"]
        assert [each for each in found if "stored yet" in each] == warnings
        return warnings

    (waiting,) = said(timezone.now())
    assert waiting.startswith(late)
    assert said(now - timedelta(hours=1)) == []  # nobody knew of them then
    assert said(now - timedelta(hours=1), "event")[0].startswith(late)
    drain_logs()
    assert said(timezone.now()) == []
    settings.REDIS_URL = "unix:///nowhere.sock"
    (silent,) = answered(client, token, body)
    assert silent == (
        "last_trip@1.0.0: Redis does not answer; what arrived lately may not be stored yet."
    )


def answered(client, token, body) -> list[str]:
    """Return what a training set says of rows that are not stored."""
    response = ask(client, token, body)
    assert response.status_code == 200, response.content
    said = response.json()["metadata"].get("warnings", [])
    return [each for each in said if "stored yet" in each]


def test_a_correction_wins_and_an_older_row_does_not(version, send, now):
    send("push", pushed(now))
    older = [(now - timedelta(hours=1)).isoformat(), (now - timedelta(seconds=5)).isoformat()]

    send("push", pushed(now, at=older, fare=[1.0, 2.0]))

    assert online(version, KEYS, at=timezone.now())["fare"] == [12.5, 2.0, None]
    drain_logs()
    assert offline(version, KEYS, at=timezone.now())["fare"] == [12.5, 2.0, None]


def test_one_bad_row_refuses_all_and_partial_takes_the_others(version, send, now):
    bad = pushed(now, fare=[-1, 8])

    refused = send("push", bad)

    assert (refused.status_code, refused.json()["code"]) == (422, "rows_refused")
    assert refused.json()["refused"] == [
        {"row": 0, "column": "fare", "value": "-1.0", "valid": "the check asks for min 0."}
    ]
    assert online(version, KEYS, at=timezone.now())["fare"] == [None] * 3
    taken = send("push", bad | {"partial": True}).json()
    assert (taken["taken"], taken["refused_count"]) == (1, 1)
    assert online(version, KEYS, at=timezone.now())["fare"] == [None, 8.0, None]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("driver_id", "1001"),
        ("driver_id", None),
        ("driver_id", 1.5),
        ("fare", "12.5"),
        ("fare", True),
        ("city", 5),
        ("at", 1700000000),
        ("at", None),
        ("at", "2999-01-01T00:00:00Z"),  # further than rows wait
        ("seats", 2**31),
    ],
)
def test_what_is_no_value_of_its_column_is_refused_by_row(version, send, now, column, value):
    df = rows(now, seats=[1, 2])
    df[column] = [df[column][0], value]

    refused = send("push", {"push_source_name": "trips", "df": df})

    assert refused.status_code == 422, refused.content
    assert [(r["row"], r["column"]) for r in refused.json()["refused"]] == [(1, column)]
    assert push_log().logged() == []


def test_a_key_has_so_many_bytes(cast, send, now):
    text = DEFINITIONS.replace("driver_id, type: int64", "driver_id, type: string")
    version = ready(cast, text.replace("driver_id: int64", "driver_id: string"), at=now)
    longest, longer = "k" * 4096, "é" * 2049

    refused = send("push", pushed(now, driver_id=[longest, longer])).json()

    assert [(each["row"], each["column"]) for each in refused["refused"]] == [(1, "driver_id")]
    assert refused["refused"][0]["valid"] == "a key has at most 4,096 bytes."
    huge = send("push", pushed(now, driver_id=["k" * 1_000_000, "k"]))
    assert (huge.status_code, len(huge.content) < 2_000) == (422, True)
    assert send("push", pushed(now, driver_id=[longest, "k"])).status_code == 200
    read = online(version, {"driver_id": [longest, longer, "k"]}, at=timezone.now())
    assert read["fare"] == [12.5, None, 8.0]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"push_source_name": "trip"}, "push_source_not_found"),
        ({"to": "offline"}, "push_offline_only"),
        ({"to": "nowhere"}, "invalid_request"),
        ({"df": {"driver_id": [1], "fares": [2]}}, "unknown_pushed_column"),
        ({"df": {"driver_id": [1], "fare": [2]}}, "missing_pushed_column"),
        ({"df": {"driver_id": [1], "fare": [2, 3]}}, "ragged_columns"),
        ({"df": [1]}, "invalid_request"),
        ({"surprise": 1}, "invalid_request"),
    ],
)
def test_a_push_that_cannot_be_is_told_why(version, send, now, body, code):
    refused = send("push", pushed(now) | body)

    assert refused.status_code in (404, 422)
    assert refused.json()["code"] == code
    if code == "missing_pushed_column":
        assert "which last_trip@1.0.0 reads; they have driver_id, fare." in refused.json()["detail"]


def test_where_no_push_source_is_the_refusal_says_what_to_apply(send, now):
    refused = send("push", pushed(now)).json()

    assert refused["code"] == "push_source_not_found"
    assert "apply a data source of `type: push`" in refused["detail"]


def test_of_a_source_of_another_kind_it_is_said_what_it_is_to_whoever_may_know(
    cast, version, producer, send, now
):
    topic = "kind: DataSource\nname: {0}\ntype: redis_stream\nstream_key: x\nconnection: events\n"
    stream = (topic + "schema: {{at: timestamp}}\nevent_timestamp: at").format("clicks")
    with committed():
        factories.apply("\n---\n".join((factories.SOURCE, stream)), cast)
        limited = issue_token(
            user=producer, name="partner", actor=producer, at=now - timedelta(minutes=1),
            project=cast.project, limits=Limits(views=["last_trip"]),
        )[1]  # fmt: skip

    def refused(name: str, **by: str) -> str:
        answer = send("push", {**pushed(now), "push_source_name": name}, **by).json()
        assert answer["code"] == "push_source_not_found"
        return answer["detail"]

    said = refused("driver_stats")
    assert "of `type: file`" in said
    assert "loaded by runs (POST materialize)" in said
    assert said.endswith("Pushed to is one of: trips.")
    assert "are read of a stream: write them there" in refused("clicks")
    for name in ("driver_stats", "clicks"):
        nothing = refused("nothing", by=limited).replace("nothing", name)
        assert refused(name, by=limited) == nothing
    assert send("push", pushed(now), by=limited).status_code == 200


def test_a_call_that_is_repeated_with_its_key_counts_once(version, send, now):
    key = {"Idempotency-Key": "batch-1"}
    first = send("push", pushed(now), **key).json()

    again = send("push", pushed(now), **key).json()

    assert again == {**first, "repeated": True, "feature_views": []}
    other = send("push", pushed(now, fare=[1, 2]), **key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert drain_logs() == 2


def test_a_call_that_is_repeated_is_answered_as_it_was_whatever_was_approved_since(
    cast, version, send, now
):
    key = {"Idempotency-Key": "batch-1"}
    assert send("push", pushed(now), **key).status_code == 200
    other = VIEW.replace("name: last_trip", "name: seated").replace(
        "type: int32}", "type: int32, checks: {not_null: 1}}"
    )
    approved(cast, f"{factories.ENTITY}\n---\n{SOURCE}\n---\n{other}")

    again = send("push", pushed(now), **key)

    assert (again.status_code, again.json()["taken"]) == (200, 2)
    assert send("push", pushed(now)).status_code == 422


def test_many_tables_without_counters_are_pushed_to_at_once(cast, version, send, now):
    for name in ("second", "third", "fourth"):
        other = VIEW.replace("name: last_trip", f"name: {name}")
        approved(cast, f"{factories.ENTITY}\n---\n{SOURCE}\n---\n{other}")

    assert len(send("push", pushed(now)).json()["feature_views"]) == 4


def test_rows_are_stored_after_the_database_was_restored_from_an_older_copy(
    version, send, now, online_redis
):
    send("push", pushed(now))
    drain_logs()
    TableSequence.objects.all().delete()
    online_redis.flushall()
    with committed():
        materialize(version, end=timezone.now())

    send("push", pushed(now, fare=[1.0, 2.0]))

    assert drain_logs() == 2
    assert offline(version, KEYS, at=timezone.now())["fare"] == [1.0, 2.0, None]


def test_a_full_log_takes_nothing_and_says_when_to_come_again(version, send, now, settings):
    settings.PUSH_MAX_WAITING = 1
    send("push", pushed(now))

    full = send("push", pushed(now, fare=[1, 2]))

    assert (full.status_code, full.json()["code"]) == (503, "push_log_full")
    assert full["Retry-After"]
    assert online(version, KEYS, at=timezone.now())["fare"] == [12.5, 8.0, None]
    drain_logs()
    assert send("push", pushed(now)).status_code == 200


def test_a_log_is_full_by_its_bytes_too(version, send, now, settings):
    settings.PUSH_MAX_WAITING_MB = 1
    large = pushed(now, city=["x" * 400_000, None])

    statuses = [send("push", large).status_code for _ in range(4)]

    assert statuses == [200, 200, 503, 503]
    drain_logs()
    assert send("push", large).status_code == 200


def test_a_push_that_is_wrong_everywhere_is_counted_and_a_hundred_are_told(version, send, now):
    wrong = {"push_source_name": "trips", "df": {n: ["x"] * 2000 for n in rows(now)}}

    told = send("push", wrong).json()

    assert (told["refused_count"], len(told["refused"])) == (2000, 100)


def test_refusals_keep_no_more_than_is_told():
    shown = []
    refusals = Refusals()
    for row in range(10_000):
        refusals.add(row, "fare", lambda row=row: shown.append(row) or "x", "a number")

    assert len(refusals.rows) == 10_000
    assert len(shown) == len(refusals.to_json()) == 100


def test_feasts_writes_go_the_same_way(version, send, now):
    df = {
        "driver_id": [1001],
        "fare": [3.5],
        "town": ["Chur"],
        "event_timestamp": [(now - timedelta(seconds=1)).replace(tzinfo=None).isoformat()],
        "created": [None],
    }
    body = {"feature_view_name": "last_trip", "df": df, "allow_registry_cache": False}

    assert send("write-to-online-store", body).status_code == 200
    assert online(version, KEYS, at=timezone.now())["town"] == ["Chur", None, None]
    none = send("write-to-online-store", body | {"feature_view_name": "last_trip@2.0.0"})
    assert (none.status_code, none.json()["code"]) == (404, "view_not_pushed")
    none = send("write-to-online-store", body | {"feature_view_name": "last_trip@"})
    assert (none.status_code, none.json()["code"]) == (422, "invalid_reference")


@pytest.mark.parametrize("who", ["consumer", "author", "steward", "operator", "auditor"])
def test_who_lacks_the_right_pushes_nothing(version, send, cast, now, who):
    token = factories.token_for(getattr(cast, who))

    assert send("push", pushed(now), by=token).status_code == 403
    assert push_log().logged() == []


def test_what_redis_lost_comes_back_from_what_was_drained(version, send, now, online_redis):
    send("push", pushed(now))
    drain_logs()
    online_redis.flushall()

    with committed():
        materialize(version, end=timezone.now())

    assert online(fresh(version), KEYS, at=timezone.now())["fare"] == [12.5, 8.0, None]
    assert send("push", pushed(now, fare=[1.0, 2.0])).status_code == 200
    assert online(version, KEYS, at=timezone.now())["fare"] == [1.0, 2.0, None]
    assert drain_logs() == 2
    assert snapshot(version).rows == 4


def test_a_redis_that_came_back_with_an_older_state_is_loaded_again(
    version, send, now, online_redis
):
    send("push", pushed(now))
    with committed():
        reload_restarted(at=timezone.now())  # it was loaded into this one
    assert not version.table.runs.filter(status="queued").exists()
    key = next(each for each in online_redis.keys("r*") if b"1001" in each)
    older = online_redis.dump(key)
    send("push", pushed(now, fare=[99.0, 98.0], at=[timezone.now().isoformat()] * 2))
    drain_logs()
    # What another process of the server knows of: the row as it was, and another process's name.
    online_redis.restore(key, 0, older, replace=True)
    counter = counter_key(version.table.uid)
    online_redis.hset(counter, mapping={"loaded": "another", "server": "another", "last": 1})

    with committed():
        reload_restarted(at=timezone.now())
        reload_restarted(at=timezone.now())  # until it is loaded
    (run,) = version.table.runs.filter(status="queued")
    assert run.kind == "reload"
    perform(run, at=timezone.now())

    assert online(version, KEYS, at=timezone.now())["fare"] == [99.0, 98.0, None]
    with committed():
        reload_restarted(at=timezone.now())
    assert not version.table.runs.filter(status="queued").exists()
    # Its numbers go on behind all that were given.
    later = timezone.now()
    send("push", pushed(now, fare=[1.0, 2.0], at=[later.isoformat()] * 2))
    assert drain_logs() == 2
    assert offline(version, KEYS, at=timezone.now())["fare"] == [1.0, 2.0, None]


def test_what_was_drained_and_not_trimmed_is_not_stored_again(version, send, now, online_redis):
    send("push", pushed(now))
    key = log_key(table_of(version).uid)
    log = online_redis.dump(key)
    drain_logs()
    online_redis.restore(key, 0, log, replace=True)
    online_redis.sadd(LOGGED, table_of(version).uid)

    assert drain_logs() == 0
    assert snapshot(version).rows == 2
    assert push_log().logged() == []
