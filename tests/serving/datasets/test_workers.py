"""What becomes of a dataset whose worker dies, whose message is lost, or whose stores are away."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from materialization.models import FileHold
from materialization.requests.sweep import sweep
from registry.models import AuditEntry
from serving import tasks
from serving.choices import WorkStatus
from serving.models import Dataset
from tests.serving.datasets_world import Caller, make
from tests.serving.historical_world import commit, stored_view
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ASKED = {
    "name": "churn",
    "features": ["driver_hourly:avg_daily_trips"],
    "entities": {"driver_id": [1001], "event_timestamp": ["2026-03-01T14:00:00Z"]},
}


@pytest.fixture
def drivers(cast):
    rows = [{"driver_id": 1001, "event": NOON, "avg_daily_trips": 3}]
    return stored_view(cast, rows, at=NOON)


@pytest.fixture
def asked(client, cast, drivers):
    Caller(client, cast.consumer).post(body=ASKED)
    Dataset.objects.update(requested_at=NOON, enqueued_at=NOON)
    return Dataset.objects.get()


@pytest.fixture
def sent(monkeypatch):
    """The ids of datasets for which a worker is woken."""
    ids: list[int] = []
    monkeypatch.setattr(tasks.make_dataset, "delay", lambda *, dataset_id: ids.append(dataset_id))
    return ids


def swept(at: datetime) -> None:
    with committed():
        sweep(at=at)


def died(dataset: Dataset, *, attempt: int, at: datetime) -> None:
    Dataset.objects.filter(pk=dataset.pk).update(
        status=WorkStatus.RUNNING, attempt=attempt, worker="w0", lease_expires_at=at
    )


def test_a_worker_is_woken_again_where_the_message_was_lost(asked, sent):
    swept(NOON + timedelta(seconds=30))
    assert sent == []

    swept(NOON + HOUR)

    assert sent == [asked.pk]


def test_what_a_worker_died_over_is_made_by_another_of_the_same_files(asked, sent, drivers):
    make(NOON)
    first = Dataset.objects.get()
    died(first, attempt=1, at=NOON)
    commit(
        drivers,
        [{"driver_id": 1001, "event": NOON + timedelta(minutes=1), "avg_daily_trips": 9}],
        sequence=2,
    )

    swept(NOON + HOUR)
    again = make(NOON + HOUR, worker="w2")

    assert sent == [asked.pk]
    assert (again.status, again.attempt, again.written_by) == ("done", 2, 2)
    assert again.content_hash == first.content_hash  # the first attempt's snapshot
    assert FileHold.objects.count() == 1


def test_after_three_workers_died_it_fails_and_nothing_is_held(asked, sent):
    make(NOON)
    died(asked, attempt=3, at=NOON)

    swept(NOON + HOUR)

    failed = Dataset.objects.get()
    assert (failed.status, failed.error_code) == ("failed", "worker_died")
    assert FileHold.objects.count() == 0
    assert AuditEntry.objects.filter(verb="dataset.failed").count() == 1


def test_a_store_that_is_away_is_waited_for(asked, drivers, settings):
    there = settings.OFFLINE_STORE / "rides"
    there.rename(settings.OFFLINE_STORE / "elsewhere")
    drivers.table.stored_as = "x"
    drivers.table.save()

    waiting = make(NOON)
    assert (waiting.status, waiting.error_code) == ("queued", "")

    (settings.OFFLINE_STORE / "elsewhere").rename(there)
    drivers.table.stored_as = ""
    drivers.table.save()
    assert make(NOON + HOUR).status == "done"


def test_of_two_workers_one_makes_it(asked):
    make(NOON)
    before = Dataset.objects.get()

    make(NOON + HOUR, worker="w2")

    after = Dataset.objects.get()
    assert (after.attempt, after.finished_at) == (1, before.finished_at)
