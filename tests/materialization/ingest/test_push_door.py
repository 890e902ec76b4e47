"""The short way takes what the view would, says the same, and leaves everything else to it."""

from __future__ import annotations

import gzip
import io
import json
from datetime import datetime, timedelta

import pytest
from django.db import OperationalError
from django.test import Client
from django.utils import timezone

from lib.connections import RedisUnreachable
from materialization.edges.stores import push_log
from registry.choices import Role
from serving.ingest import door
from tests import factories
from tests.materialization.ingest.door_client import DoorClient
from tests.materialization.ingest.push_world import ready
from tests.materialization.run_world import committed

pytestmark = pytest.mark.django_db
URL = "/api/v1/projects/rides"


@pytest.fixture
def version(cast, online_redis):
    return ready(cast, at=timezone.now() - timedelta(minutes=1))


@pytest.fixture
def token(cast, version):
    with committed():
        return factories.token_for(factories.make_service_account("stream", cast, Role.PRODUCER))


@pytest.fixture
def send(client, token):
    def call(fare=1.0, by=client, path="push", body=None, **more):
        now = timezone.now().isoformat()
        row = {"driver_id": [1], "fare": [fare], "at": [now], "city": ["Bern"]}
        written = {"driver_id": [1], "fare": [fare], "event_timestamp": [now], "town": ["Bern"]}
        sent = {"push_source_name": "trips", "df": row}
        if path != "push":
            sent = {"feature_view_name": "last_trip", "df": written | {"seats": [None]}}
        headers = {"Authorization": f"Bearer {token}"} | more.pop("headers", {})
        return by.post(
            f"{URL}/{path}{more.pop('query', '')}",
            data=json.dumps(sent).encode() if body is None else body,
            content_type="application/json",
            headers=headers,
            **more,
        )

    return call


@pytest.mark.parametrize("path", ["push", "write-to-online-store"])
def test_an_answer_has_what_the_views_has(version, send, path):
    before = timezone.now()
    quick, view = send(path=path), send(path=path, by=Client())

    assert (quick.status_code, view.status_code) == (200, 200)
    assert (quick.by_the_door, hasattr(view, "by_the_door")) == (True, False)
    for name in ("Content-Type", "X-Content-Type-Options"):
        assert quick[name] == view[name]
    answers = quick.json(), view.json()
    received = [datetime.fromisoformat(each.pop("received_at")) for each in answers]
    assert before <= received[0] <= received[1] <= timezone.now()
    assert answers[0] == answers[1]
    assert push_log().lag(version.table.uid) == 2


def test_what_is_no_plain_push_is_the_views(version, send, settings):
    assert send().by_the_door
    settings.PUSH_MAX_BYTES = 10_000
    for status, more in (
        (422, {"query": "?a=1"}),
        (400, {"headers": {"Host": "evil.example"}}),
        (406, {"headers": {"Accept": "text/csv"}}),
        (401, {"headers": {"Authorization": "Bearer assay_wrong"}}),
        (401, {"headers": {"Authorization": ""}}),
        (413, {"body": b" " * 10_001}),
        (422, {"CONTENT_LENGTH": "999", "wsgi.input": io.BytesIO(b"{}")}),
        (422, {"body": b"{"}),
        (422, {"headers": {"Idempotency-Key": "x" * 201}}),
        (422, {"fare": -1.0}),
    ):
        answer = send(**more)
        assert answer.status_code == status, (more, answer.content)
        assert not hasattr(answer, "by_the_door"), more


def test_a_compressed_push_is_the_views(version, send):
    now = timezone.now().isoformat()
    df = {"driver_id": [1], "fare": [1.0], "at": [now], "city": ["Bern"]}
    body = gzip.compress(json.dumps({"push_source_name": "trips", "df": df}).encode())

    answer = send(body=body, headers={"Content-Encoding": "gzip"})

    assert (answer.status_code, hasattr(answer, "by_the_door")) == (200, False)


@pytest.mark.parametrize(
    ("met", "status"), [(RedisUnreachable("gone"), 503), (OperationalError("gone"), 500)]
)
def test_what_may_be_taken_is_not_sent_on(version, token, send, monkeypatch, met, status):
    """It is taken, and then nobody hears of it: another try would take it once more."""
    assert send().status_code == 200
    push_at_once = door.push_at_once

    def taken_and_lost(*arguments, **named):
        push_at_once(*arguments, **named)
        raise met

    monkeypatch.setattr(door, "push_at_once", taken_and_lost)

    answer = send(by=DoorClient(raise_request_exception=False))

    assert (answer.status_code, push_log().lag(version.table.uid)) == (status, 2)
