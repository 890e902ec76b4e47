"""Searches of pushed vectors: found a turn after they came, and told as they are at once."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from materialization.edges.stores import later_rows
from materialization.models import VectorIndex
from materialization.requests.indexing import index_due
from materialization.runner import indexing
from materialization.runner.draining import drain_logs
from materialization.vector_indexes import tables_at_rest
from registry.models import FeatureTable
from serving.choices import Door
from serving.online.watching import WATCH
from tests import factories
from tests.materialization.ingest.push_world import ready
from tests.serving.online_world import committed
from tests.serving.search_world import post

pytestmark = pytest.mark.django_db
TEXT = """
kind: Entity
name: person
join_keys: [{name: person_id, type: string}]
---
kind: DataSource
name: faces
type: push
schema: {person_id: string, at: timestamp, face: vector<2>}
event_timestamp: at
---
kind: FeatureView
name: faces
entities: [person]
source: faces
features: [{name: face, type: vector<2>}]
ttl: 2d
"""
MINUTES = timedelta(minutes=2)
NEAR = {"feature": "faces:face", "vector": [1, 0], "metric": "l2"}


@pytest.fixture
def push(client, cast, now):
    token = factories.token_for(cast.owner)

    def push(at, **rows) -> None:
        df = {
            "person_id": list(rows),
            "at": [at.isoformat()] * len(rows),
            "face": list(rows.values()),
        }
        body = {"push_source_name": "faces", "df": df, "to": "online_and_offline"}
        with committed():
            response = client.post(
                "/api/v1/projects/rides/push",
                data=json.dumps(body),
                content_type="application/json",
                headers={"Authorization": f"Bearer {token}"},
            )
        assert response.status_code == 200, response.content

    return push


def found(client, token):
    answer = post(client, token, NEAR).json()
    hits = [(hit["entity"]["person_id"], hit["distance"]) for hit in answer["hits"]]
    return hits, answer["metadata"]["is_behind"]


def test_pushed_vectors(client, cast, token, push, now):
    ready(cast, TEXT, at=now)
    assert found(client, token) == ([], False)

    push(now - timedelta(minutes=9), ana=[1, 0], bo=[0, 0])
    assert found(client, token) == ([], True)

    with committed():
        drain_logs()
        assert indexing.index_tables(clock=lambda: now) == 0  # it was a moment ago
        assert indexing.index_tables(clock=lambda: now + MINUTES) == 1
    assert found(client, token) == ([("ana", 0), ("bo", 1)], False)

    push(now - timedelta(minutes=8), ana=[-1, 0])
    assert found(client, token) == ([("bo", 1), ("ana", 2)], True)


def test_the_sweep_asks_for_what_was_stored_since(client, cast, token, push, now, monkeypatch):
    from materialization import tasks

    asked = []
    monkeypatch.setattr(tasks.index_tables, "delay", lambda: asked.append(1))
    ready(cast, TEXT, at=now)
    index_due(at=now)
    assert asked == []

    FeatureTable.objects.update(stored_version=F("stored_version") + 1)
    index_due(at=now + timedelta(seconds=50))
    assert asked == []  # it was written a moment ago
    index_due(at=now + MINUTES)

    assert asked == [1]
    VectorIndex.objects.update(lease_expires_at=now + 2 * MINUTES)
    index_due(at=now + MINUTES)
    assert asked == [1]
    assert not tables_at_rest(now + MINUTES).exists()
    assert tables_at_rest(now + 3 * MINUTES).exists()


def test_a_row_of_the_future_hides_nobody(client, cast, token, push, now):
    ready(cast, TEXT, at=now)
    push(now - timedelta(minutes=9), ana=[1, 0], bo=[0, 0])
    push(timezone.now() + timedelta(hours=1), ana=[-1, 0])
    with committed():
        drain_logs()
        assert indexing.index_tables(clock=lambda: timezone.now() + MINUTES) == 1

    assert found(client, token) == ([("ana", 0), ("bo", 1)], False)

    uid = VectorIndex.objects.get().table.uid
    assert later_rows().bring(uid, at=timezone.now() + timedelta(hours=2)) == 1
    assert found(client, token) == ([("bo", 1), ("ana", 2)], False)


def test_a_search_is_in_the_usage_as_one(client, cast, token, push, now):
    ready(cast, TEXT, at=now)
    WATCH.flush()
    seen = []

    found(client, token)

    seen = [note.door for note in WATCH._notes.take()[0]]
    assert seen == [Door.SEARCH]
