"""Pushes by a plan: no question to the database, and what is changed counts from the next on."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from lib import flushing
from materialization.edges.engines import transforms
from materialization.edges.stores import push_log
from materialization.runner.draining import drain_logs
from registry.choices import Role
from registry.models import ApiToken, AuditEntry
from registry.operations.people import members, tokens
from registry.trail.deeds import deed_of
from registry.trail.excess import record_excess
from serving.ingest import door, watching
from serving.ingest.watching import WATCH
from tests import factories
from tests.materialization.ingest.push_world import DEFINITIONS, SOURCE, VIEW, approved, ready
from tests.materialization.run_world import committed, online, table_of

pytestmark = pytest.mark.django_db
OTHER = f"{factories.ENTITY}\n---\n{SOURCE}\n---\n" + VIEW.replace("last_trip", "other_trip")


@pytest.fixture(autouse=True)
def noted():
    """What one test pushed is not told of in the next."""
    yield
    WATCH.flush()


@pytest.fixture
def version(cast, online_redis):
    return ready(cast, at=timezone.now() - timedelta(minutes=1))


@pytest.fixture
def producer(cast):
    with committed():
        return factories.make_service_account("stream", cast, Role.PRODUCER)


@pytest.fixture
def token(producer):
    return factories.token_for(producer)


@pytest.fixture
def send(client, token):
    def call(fare=1.0, path="push", **headers):
        row = {"driver_id": [1], "fare": [fare]}
        now = [timezone.now().isoformat()]
        body = {"push_source_name": "trips", "df": row | {"at": now, "city": ["Bern"]}}
        if path != "push":
            df = row | {"event_timestamp": now, "town": ["Bern"], "seats": [None]}
            body = {"feature_view_name": "last_trip", "df": df}
        return client.post(
            f"/api/v1/projects/rides/{path}",
            data=json.dumps(body),
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}"} | headers,
        )

    return call


@pytest.mark.parametrize("path", ["push", "write-to-online-store"])
def test_a_push_that_has_its_plan_asks_the_database_nothing(version, send, path, settings):
    settings.PLAN_CONFIRM_SECONDS = 600
    first = send(1.0, path=path)
    assert first.status_code == 200, first.content

    with CaptureQueriesContext(connection) as asked:
        assert send(2.0, path=path).status_code == 200

    assert [each["sql"] for each in asked.captured_queries] == []
    assert online(version, {"driver_id": [1]}, at=timezone.now())["fare"] == [2.0]
    assert drain_logs() == 2


def test_a_right_that_is_taken_away_counts_from_the_next_push(cast, version, send, producer):
    assert send().status_code == 200

    with committed():
        at = timezone.now()
        members.revoke_role(
            project=cast.project, user=producer, role=Role.PRODUCER, actor=cast.owner, at=at
        )

    assert send(5.0).status_code in (403, 404)
    assert online(version, {"driver_id": [1]}, at=timezone.now())["fare"] == [1.0]


def test_a_token_that_is_revoked_pushes_no_more(cast, version, send):
    assert send().status_code == 200

    with committed():
        held = ApiToken.objects.latest("pk")
        tokens.revoke_token(token=held, actor=cast.superuser, at=timezone.now())

    assert send(5.0).status_code == 401
    assert push_log().lag(version.table.uid) == 1


def test_a_view_that_is_approved_gets_the_next_row(cast, version, send):
    assert send().json()["feature_views"] == ["last_trip@1.0.0"]

    approved(cast, OTHER)

    assert send().json()["feature_views"] == ["last_trip@1.0.0", "other_trip@1.0.0"]


def test_another_redis_process_has_plans_made_anew(version, send, online_redis):
    assert send().status_code == 200
    online_redis.flushall()

    assert send(2.0).status_code == 200
    assert push_log().lag(version.table.uid) == 1


def test_what_is_refused_is_refused_in_the_same_words(version, send):
    assert send().status_code == 200

    refused = send(-1.0)

    assert (refused.status_code, refused.json()["code"]) == (422, "rows_refused")
    assert refused["Content-Type"].startswith("application/problem+json")


def test_a_key_counts_a_push_once_with_a_plan_too(version, send):
    key = {"Idempotency-Key": "one"}
    assert send(**key).status_code == 200

    other = send(3.0, **key)

    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    assert push_log().lag(version.table.uid) == 1


def told():
    WATCH.flush()
    record_excess(at=timezone.now() + timedelta(hours=1))
    return {
        entry.verb: f"{entry.actor_name} {deed_of(entry)} {entry.subject_label}"
        for entry in AuditEntry.objects.named().filter(verb__startswith="rows.")
    }


def test_the_trail_has_how_many_rows_were_pushed_and_refused(version, send):
    for fare in (1.0, 2.0, 3.0):
        assert send(fare).status_code == 200
    assert send(-1.0).status_code == 422

    assert told() == {
        "rows.pushed": "stream pushed 3 rows to last_trip@1.0.0",
        "rows.refused": "stream pushed 1 rows that were refused by last_trip@1.0.0",
    }


def test_pushes_that_nobody_had_time_to_add_up_are_counted(version, send, monkeypatch):
    WATCH.flush()
    before = watching.DROPPED._value.get()
    monkeypatch.setattr(WATCH._flusher, "wake", lambda: None)
    monkeypatch.setattr(flushing, "MOST_WAITING", 1)
    for _ in range(3):
        assert send().status_code == 200

    assert told() == {"rows.pushed": "stream pushed 1 rows to last_trip@1.0.0"}
    assert watching.DROPPED._value.get() - before == 2


def test_a_push_that_is_repeated_is_told_once(version, send):
    for _ in range(3):
        assert send(**{"Idempotency-Key": "one"}).status_code in (200, 409)

    assert told() == {"rows.pushed": "stream pushed 1 rows to last_trip@1.0.0"}


WHERE = "where: fare > 100\n"


@pytest.fixture
def choosy(cast, online_redis, settings):
    """A view that leaves nearly all rows out; nobody looks whether plans hold but the push."""
    settings.PLAN_CONFIRM_SECONDS = 600
    yield ready(cast, DEFINITIONS + WHERE, at=timezone.now() - timedelta(minutes=1))
    transforms().end()


def test_a_push_of_which_nothing_is_kept_is_not_answered_by_an_old_plan(cast, choosy, send):
    assert send(5.0).json()["left_out"] == {"last_trip@1.0.0": 1}

    other = approved(cast, OTHER)
    answer = send(5.0).json()

    assert answer["feature_views"] == ["last_trip@1.0.0", "other_trip@1.0.0"]
    assert push_log().lag(table_of(other).uid) == 1


def test_nobody_learns_by_it_what_a_view_leaves_out(cast, choosy, send):
    assert send(5.0).status_code == 200

    with committed():
        held = ApiToken.objects.latest("pk")
        tokens.revoke_token(token=held, actor=cast.superuser, at=timezone.now())

    assert send(5.0).status_code == 401


@pytest.mark.parametrize("name", ["a\x00", "\ud800", "%", "x" * 300, ""])
def test_what_nothing_is_called_is_not_looked_up(version, client, token, name):
    for path, key in (("push", "push_source_name"), ("write-to-online-store", "feature_view_name")):
        refused = client.post(
            f"/api/v1/projects/rides/{path}",
            data=json.dumps({key: name, "df": {}}),
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}"},
        )

        assert refused.status_code in (404, 422), refused.content


def test_of_nobody_no_body_is_read(version, client, monkeypatch):
    read = []
    monkeypatch.setattr("serving.ingest.api.parse_push", read.append)
    monkeypatch.setitem(door.PARSE, "push", read.append)

    refused = client.post(
        "/api/v1/projects/rides/push",
        data=b"x" * 1000,
        content_type="application/json",
        headers={"Authorization": "Bearer assay_nobody"},
    )

    assert (refused.status_code, read) == (401, [])
