"""Alive, ready, counted: what monitors read, and what a broken part looks like to them."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from featurestore_project import startup


def test_alive_needs_no_other_part(client):
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.django_db
def test_ready_when_every_part_answers(client):
    response = client.get("/readyz")

    assert response.status_code == 200
    assert response.json()["checks"] == {"database": "ok", "migrations": "ok", "redis": "ok"}


@pytest.mark.django_db
def test_not_ready_while_redis_is_away(client, settings, tmp_path):
    settings.REDIS_URL = f"unix://{tmp_path}/nobody.sock"

    response = client.get("/readyz")

    assert response.status_code == 503
    assert response.json()["checks"]["redis"] == "does not answer: ConnectionError"


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


@pytest.mark.django_db
def test_metrics_are_prometheus_text(client):
    response = client.get("/metrics")

    assert response["Content-Type"].startswith("text/plain")
    assert b"# TYPE assay_materialization_runs gauge" in response.content
