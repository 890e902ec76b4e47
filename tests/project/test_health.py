"""Alive, ready, counted: what monitors read, and what a broken part looks like to them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from django.utils import timezone

from featurestore_project import deep_checks, health, startup
from materialization.choices import AlertKind, RunQueue
from materialization.clocks import note_clock
from materialization.models import ProcessClock
from materialization.quality.alerts.opening import Trouble, about_version, raise_alert
from materialization.requests.turns import take_turn
from materialization.stalls import QUEUES
from tests.buckets import Bucket, storage_that_answers
from tests.factories import AT, DEFINITIONS, make_cast, make_version
from tests.materialization.histories import past_runs


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

    with pytest.raises(ImproperlyConfigured, match="set OFFLINE_STORE"):
        startup.refuse_lost_store()


def test_no_start_with_a_bucket_that_would_lose_commits(settings, tmp_path):
    settings.OFFLINE_STORE = tmp_path
    with storage_that_answers(200, "OK") as url:
        settings.OFFLINE_BUCKET = Bucket.settings_of(url)
        with pytest.raises(ImproperlyConfigured, match="overwrites an object"):
            startup.refuse_lost_store()


def test_a_bucket_that_does_not_answer_lets_the_start_pass(settings, tmp_path, caplog):
    settings.OFFLINE_STORE = tmp_path
    settings.OFFLINE_BUCKET = Bucket.settings_of("http://127.0.0.1:9")

    startup.refuse_lost_store()

    assert "the storage does not answer" in caplog.text


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


def heard(at, **ago: float) -> None:
    """Let a process of each kind have been heard of so many seconds ago."""
    for kind, seconds in ago.items():
        measured = at - timedelta(seconds=seconds)
        ProcessClock.objects.create(
            process=f"{kind}@a",
            measured_at=measured,
            ahead=timedelta(0),
            redis_ahead=None,
            queues=[*QUEUES],
        )


ALL = {"beat": 1, "sweep": 1, "worker": 1, "reload": 1}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (ALL, "ok"),
        (ALL | {"worker": 58}, "ok"),
        (
            ALL | {"worker": 75},
            "ok, but no worker has been heard of for 75 s: nothing is computed, no store is"
            " compared, no table cared for, no vector indexed, nothing is looked at for reviewers,"
            " no dataset and no historical job is made",
        ),
        (
            {"sweep": 1, "worker": 1, "reload": 7200},
            "ok, but no beat has been heard of yet: no sweep is asked for; no reload has been heard"
            " of for 120 min: what Redis loses is not filled again,"
            " no pushed row or note of a read is stored, no message or mail sent",
        ),
    ],
)
def test_a_kind_of_process_that_is_silent_is_said(client, ago, words):
    heard(timezone.now(), **ago)
    take_turn(every=timedelta(seconds=10), at=timezone.now())

    answer = client.get("/readyz?deep=1")

    assert answer.status_code == 200
    assert answer.json()["checks"]["processes"] == words
    assert answer.json()["status"] == ("ok" if words == "ok" else "degraded")
    assert "processes" not in client.get("/readyz").json()["checks"]


@pytest.mark.django_db
def test_one_of_a_kind_is_enough(client):
    heard(timezone.now(), **(ALL | {"worker": 4000}))
    note_clock("worker@b")

    assert client.get("/readyz?deep=1").json()["checks"]["processes"] == "ok"


@pytest.mark.django_db
def test_a_queue_that_no_process_takes_from_is_said(client):
    heard(timezone.now(), **ALL)
    assert client.get("/readyz?deep=1").json()["checks"]["queues"] == "ok"
    ProcessClock.objects.update(queues=sorted(QUEUES.keys() - {"evidence"}))

    said = "no process takes from the queue evidence: nothing is looked at for reviewers"
    assert client.get("/readyz?deep=1").json()["checks"]["queues"] == f"ok, but {said}"
    routes = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}
    assert routes | {*RunQueue} == QUEUES.keys()


@pytest.mark.django_db
def test_runs_that_wait_for_long_are_said(client, cast):
    now = timezone.now()
    first, second = (
        make_version(cast, text=DEFINITIONS.replace("driver_hourly", f"view_{number}"))
        for number in (1, 2)
    )
    waits = {"sequences": False, "status": "queued", "finished_at": None}
    past_runs(first, 1, **waits, requested_at=now - timedelta(minutes=4))
    assert client.get("/readyz?deep=1").json()["checks"]["queues"] == "ok"

    past_runs(second, 1, **waits, requested_at=now - timedelta(minutes=7), queue="reloads")

    said = "1 wait in the queue reloads, the first for 7 min, while none of it run"
    assert client.get("/readyz?deep=1").json()["checks"]["queues"] == f"ok, but {said}"


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/readyz?deep=1", "/readyz?deep=0", "/readyz?deep=x"])
def test_it_answers_without_a_database_too(client, monkeypatch, path):
    def away(*_: object, **__: object) -> None:
        raise OperationalError

    monkeypatch.setattr(deep_checks, "silent_kinds", away)
    monkeypatch.setattr(deep_checks, "waiting_queues", away)

    answer = client.get(path)

    deep = path.endswith("=1")
    assert answer.status_code == (503 if deep else 200)
    assert answer.json()["checks"].get("processes") == (
        "unknown: OperationalError" if deep else None
    )


@pytest.mark.django_db
def test_the_deep_look_counts_what_is_late_and_wrong_and_names_nothing(client):
    cast = make_cast()
    checks = client.get("/readyz?deep=1").json()["checks"]
    assert (checks["freshness"], checks["alerts"]) == ("ok", "ok")

    promising = DEFINITIONS.replace("ttl: 2d", "ttl: 2d\nfreshness: 2h")
    version = make_version(cast, text=promising)  # approved long ago, and never filled
    raise_alert(AlertKind.OVERDUE, about_version(version), Trouble("x"), at=AT)

    answer = client.get("/readyz?deep=1")
    checks = answer.json()["checks"]
    assert checks["freshness"] == "ok, but 1 of 1 versions are older than they promise"
    assert checks["alerts"] == "ok, but 1 alert is open, 1 critical: see the admin"
    assert answer.json()["status"] == "degraded"
    assert "driver_hourly" not in answer.text
