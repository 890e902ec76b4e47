"""Alive, ready, counted: what monitors read, and what a broken part looks like to them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.utils import timezone

from featurestore_project import health, startup
from materialization.requests.turns import take_turn


def test_alive_needs_no_other_part(client):
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.django_db
def test_ready_when_every_part_answers(client):
    response = client.get("/readyz")

    assert response.status_code == 200
    said = response.json()["checks"]
    never = "ok, but the sweep never ran: see to the beat and sweep processes"
    assert said.pop("sweep") == never
    assert said == {
        "database": "ok",
        "migrations": "ok",
        "redis": "ok",
        "clocks": "ok",
        "disk": "ok",
        "offline_store": "ok",
    }


@pytest.mark.django_db
def test_not_ready_while_redis_is_away(client, settings, tmp_path):
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"

    response = client.get("/readyz")

    assert (response.status_code, response["Retry-After"]) == (503, "1")
    assert response.json()["checks"]["redis"].startswith("Redis does not answer (")


@pytest.mark.django_db
def test_not_ready_on_a_redis_that_drops_values(client, online_redis):
    online_redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        response = client.get("/readyz")

        assert response.status_code == 503
        assert "set noeviction" in response.json()["checks"]["redis"]
        with pytest.raises(ImproperlyConfigured, match="allkeys-lru"):
            startup.refuse_evicting_redis()
    finally:
        online_redis.config_set("maxmemory-policy", "noeviction")


def test_no_start_with_a_store_whose_files_would_not_be_found(settings, tmp_path):
    settings.OFFLINE_STORE = tmp_path / "a[1]"

    with pytest.raises(ImproperlyConfigured, match="Set OFFLINE_STORE"):
        startup.refuse_lost_store()


@pytest.mark.django_db
@pytest.mark.parametrize(("ago", "word"), [(0, "ok"), (59, "ok"), (61, "the sweep last ran 6")])
def test_a_late_sweep_is_said_and_readers_keep_their_server(client, settings, ago, word):
    settings.SWEEP_EVERY_SECONDS = 10
    take_turn(every=timedelta(seconds=10), at=timezone.now() - timedelta(seconds=ago))

    response = client.get("/readyz")

    assert response.status_code == 200
    assert word in response.json()["checks"]["sweep"]


@pytest.mark.django_db
def test_a_clock_that_is_off_is_said(client, monkeypatch):
    real = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: real() + timedelta(minutes=10))

    said = client.get("/readyz").json()["checks"]["clocks"]

    # SQLite has no clock but this machine's; the server of Redis has one of its own.
    ours = "this process is 600." if connection.vendor == "postgresql" else "Redis is 600."
    assert said.startswith("ok, but the clock of ")
    assert ours in said or "Redis is 599." in said


def test_a_disk_without_room_is_said(tmp_path, monkeypatch):
    assert health.disk_problem(tmp_path / "made" / "later") == ""

    monkeypatch.setattr(health, "LEAST_FREE_BYTES", 1 << 62)
    assert health.disk_problem(tmp_path).endswith("MB left")


@pytest.mark.django_db
def test_metrics_are_prometheus_text(client):
    response = client.get("/metrics")

    assert response["Content-Type"].startswith("text/plain")
    assert b"# TYPE assay_materialization_runs gauge" in response.content


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("option", "value", "back", "words"),
    [
        ("maxmemory", "1", "0", "ok, but Redis is full and takes no more values"),
        ("min-replicas-to-write", "1", "0", "ok, but Redis refuses to write"),
    ],
)
def test_ready_and_not_content_with_a_redis_that_takes_no_values(
    client, online_redis, option, value, back, words
):
    online_redis.config_set(option, value)
    try:
        response = client.get("/readyz")
    finally:
        online_redis.config_set(option, back)

    assert response.status_code == 200
    assert response.json()["checks"]["redis"].startswith(words)
