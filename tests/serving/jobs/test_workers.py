"""What becomes of a job whose worker dies, that is cancelled meanwhile, or whose time is over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from materialization.requests.sweep import sweep
from materialization.stores.kept_files import LocalFileKeeper
from registry.models import AuditEntry
from serving import tasks
from serving.choices import WorkStatus
from serving.jobs.edges import job_stores
from serving.models import HistoricalJob
from tests.serving.historical_world import stored_view
from tests.serving.jobs_world import Caller, make
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
ASKED = {
    "features": ["driver_hourly:avg_daily_trips"],
    "entities": {"driver_id": [1001] * 4, "event_timestamp": ["2026-03-01T14:00:00Z"] * 4},
}


@pytest.fixture
def caller(client, cast):
    stored_view(cast, [{"driver_id": 1001, "event": NOON, "avg_daily_trips": 3}], at=NOON)
    return Caller(client, cast.consumer)


@pytest.fixture
def job(caller):
    asked = caller.ask(ASKED)
    HistoricalJob.objects.update(requested_at=NOW, enqueued_at=NOW)
    return asked


@pytest.fixture
def sent(monkeypatch):
    """The ids of jobs for which a worker is woken."""
    ids: list[int] = []
    monkeypatch.setattr(tasks.make_historical_job, "delay", lambda *, job_id: ids.append(job_id))
    return ids


def swept(at: datetime) -> None:
    with committed():
        sweep(at=at)


def died(job: int, *, attempt: int) -> None:
    HistoricalJob.objects.filter(pk=job).update(
        status=WorkStatus.RUNNING, attempt=attempt, worker="w0", lease_expires_at=NOW
    )


def kept_files() -> list[str]:
    root = settings.OFFLINE_STORE / "_jobs"
    return sorted(file.name for folder in root.iterdir() for file in folder.iterdir())


def left_behind(name: str) -> None:
    folder = settings.OFFLINE_STORE / "_jobs" / HistoricalJob.objects.get().uid
    (folder / name).write_bytes(b"x")


def test_a_worker_is_woken_again_where_the_message_was_lost(job, sent):
    swept(NOW + timedelta(seconds=30))
    assert sent == []

    swept(NOW + HOUR)

    assert sent == [job]


def test_what_a_worker_died_over_is_made_by_another_and_nothing_is_left_of_it(job, sent):
    died(job, attempt=1)
    HistoricalJob.objects.update(rows_done=2)
    left_behind(".answer-1.parquet.ab12")

    swept(NOW + HOUR)
    made = make(job, NOW + HOUR, worker="w2")

    assert sent == [job]
    assert (made.status, made.attempt, made.written_by, made.rows_done) == ("done", 2, 2, 4)
    # An hour after the last sweep looked, however long after NOW this runs.
    swept(max(timezone.now() + timedelta(seconds=1), NOW + 2 * HOUR))
    assert kept_files() == ["answer-2.parquet"]


def test_after_three_workers_died_it_fails_in_words_and_nothing_is_left(job, sent):
    died(job, attempt=3)
    left_behind(".answer-3.parquet.ab12")

    swept(NOW + HOUR)

    failed = HistoricalJob.objects.get()
    assert (failed.status, failed.error_code, failed.size) == ("failed", "worker_died", 0)
    assert kept_files() == []
    assert AuditEntry.objects.filter(verb="historical_job.failed").count() == 1


def test_a_worker_stops_after_its_piece_when_somebody_cancels(caller, job, settings):
    settings.HISTORICAL_MAX_ROWS = 1
    asked = []

    def cancelled(seconds):
        asked.append(seconds)
        if len(asked) == 2:
            assert caller.post(f"/{job}/cancel").status_code == 200
        return job_stores().engine(seconds)

    ended = make(job, NOW, engine=cancelled)

    assert (ended.status, ended.rows_done, len(asked)) == ("cancelled", 1, 2)
    assert kept_files() == []
    assert AuditEntry.objects.filter(verb="historical_job.made").count() == 0


def test_one_that_waits_is_cancelled_at_once(caller, job):
    with committed():
        caller.post(f"/{job}/cancel")

    assert kept_files() == []
    assert make(job, NOW).status == "cancelled"


def test_its_file_is_removed_when_its_hours_are_over(caller, job):
    make(job, NOW)
    assert caller.get(f"/{job}").json()["expires_at"] is not None

    swept(NOW + timedelta(hours=23))
    assert kept_files() == ["answer-1.parquet"]
    swept(NOW + timedelta(hours=24))

    assert kept_files() == []
    said = caller.get(f"/{job}").json()
    assert (said["status"], said["progress"]) == (
        "ended", "was kept for its time; its file is removed",
    )  # fmt: skip
    assert AuditEntry.objects.filter(verb="historical_job.expired").count() == 1
    swept(NOW + timedelta(days=31))
    assert caller.get(f"/{job}").status_code == 404


def test_what_is_larger_than_it_may_be_fails_in_words(job, settings):
    settings.HISTORICAL_JOBS_MAX_MB = 1
    HistoricalJob.objects.create(
        project=HistoricalJob.objects.get().project, request={}, columns=[], uid="b",
        size=(1 << 20) - 10, status="done", requested_by=HistoricalJob.objects.get().requested_by,
        requested_at=NOW, enqueued_at=NOW,
    )  # fmt: skip

    failed = make(job, NOW)

    assert (failed.status, failed.error_code) == ("failed", "historical_job_too_large")
    assert "HISTORICAL_JOBS_MAX_MB" in failed.error


def test_jobs_under_way_share_the_room_of_all(caller, job, settings):
    settings.HISTORICAL_MAX_ROWS, settings.HISTORICAL_JOBS_MAX_MB = 1, 1
    other, seen = caller.ask(ASKED), []

    def growing(seconds):
        seen.append(HistoricalJob.objects.get(pk=job).size)
        if len(seen) == 3:
            HistoricalJob.objects.filter(pk=other).update(size=1 << 20)
        return job_stores().engine(seconds)

    ended = make(job, NOW, engine=growing)

    assert (ended.error_code, ended.rows_done, len(seen)) == ("historical_job_too_large", 3, 3)
    assert 0 < seen[0] < seen[1] < seen[2]  # the frame, which stays, and the answer as it grows
    answer = seen[2] - seen[0]
    assert answer > seen[1] - seen[0] > 0


def test_of_jobs_that_grow_side_by_side_the_later_one_sees_the_other(caller, job, settings):
    """The other is made when this one has asked for the last time, and is not done yet."""
    settings.HISTORICAL_JOBS_MAX_MB, other, asked, made = 1, caller.ask(ASKED), [], []
    done, frame = make(caller.ask(ASKED), NOW), HistoricalJob.objects.get(pk=other).size
    for_both_frames_and_one_file = 2 * frame + done.size * 3 // 2
    HistoricalJob.objects.filter(pk=done.pk).update(size=(1 << 20) - for_both_frames_and_one_file)

    def beside(execute, sql, params, many, context):
        told = execute(sql, params, many, context)
        noted = sql.startswith("UPDATE") and '"rows_done"' in sql and '"size"' in sql
        asked.extend([sql] if noted else [])
        if noted and len(asked) == 2:
            made.append(make(other, NOW))
        return told

    with connection.execute_wrapper(beside):
        first = make(job, NOW)

    assert (first.status, made[0].status) == ("done", "failed")
    assert sum(HistoricalJob.objects.values_list("size", flat=True)) <= 1 << 20


def test_what_has_no_room_takes_none_from_the_others(caller, job, settings):
    """Of two that ask in turn the second gives way, and the first need not."""
    settings.HISTORICAL_JOBS_MAX_MB, own = 1, HistoricalJob.objects.get(pk=job)
    other, sizes = caller.ask(ASKED), []
    HistoricalJob.objects.filter(pk=other).update(size=(1 << 20) - own.size - 100)

    def beside(execute, sql, params, many, context):
        if sql.startswith("UPDATE") and "error_code" in sql:
            sizes.append(HistoricalJob.objects.get(pk=job).size)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(beside):
        failed = make(job, NOW)

    assert failed.error_code == "historical_job_too_large"
    assert sizes[0] == own.size


def test_all_askings_are_counted_one_after_the_other(caller, job):
    with CaptureQueriesContext(connection) as asked:
        assert caller.post(body=ASKED).status_code == 202

    told = [query["sql"] for query in asked]
    held = next(i for i, sql in enumerate(told) if 'FROM "registry_audithead"' in sql)
    assert any("SUM(" in sql for sql in told[held:])  # whoever asks next sees this one


def test_a_frame_takes_room_too(caller, job, settings):
    settings.HISTORICAL_JOBS_MAX_MB = 1
    HistoricalJob.objects.update(size=(1 << 20) - 100)

    refused = caller.post(body=ASKED)

    assert (refused.status_code, refused.json()["code"]) == (409, "no_room_for_historical_jobs")
    assert kept_files() == ["frame.parquet"]


def test_what_cannot_be_removed_now_is_cancelled_all_the_same(caller, job, monkeypatch):
    make(job, NOW)

    def stuck(self, name):
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(LocalFileKeeper, "remove", stuck)
        with committed():
            assert caller.post(f"/{job}/cancel").status_code == 200
    assert kept_files() == ["answer-1.parquet"]
    swept(timezone.now() + timedelta(seconds=1))
    assert kept_files() == []


def test_what_takes_longer_than_it_may_fails_in_words(job, settings):
    settings.ENGINE_TIME_LIMIT_SECONDS = 0

    failed = make(job, NOW)

    assert (failed.status, failed.error_code) == ("failed", "historical_job_too_long")


def test_a_store_is_listed_once_an_hour(job, monkeypatch):
    listed = []
    real = LocalFileKeeper.unchanged_since

    def counted(self, instant):
        listed.append(self._root.name)
        return real(self, instant)

    monkeypatch.setattr(LocalFileKeeper, "unchanged_since", counted)
    for minutes in (0, 1, 59):
        swept(NOW + timedelta(minutes=minutes))
    assert sorted(listed) == ["_datasets", "_jobs"]

    swept(NOW + HOUR)
    assert sorted(listed) == ["_datasets", "_datasets", "_jobs", "_jobs"]


def test_frames_of_an_asking_that_failed_are_swept_after_days(job):
    root = settings.OFFLINE_STORE / "_jobs" / ("ab" * 16)
    root.mkdir()
    (root / "frame.parquet").write_bytes(b"x")

    swept(timezone.now() + timedelta(days=1))
    assert root.exists()  # its row may be on its way
    swept(timezone.now() + timedelta(days=3))

    assert not root.exists()
