"""What becomes of a dataset whose worker dies, whose message is lost, or whose stores are away."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from materialization.models import FileHold
from materialization.requests.sweep import sweep
from materialization.stores.offline import DeltaOfflineStore
from registry.models import AuditEntry
from serving import tasks
from serving.choices import WorkStatus
from serving.models import Dataset
from tests.serving.datasets_world import Caller, make, verify
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


def lost_meanwhile(monkeypatch, drivers, *, then):
    """Have the first worker that looks at the files' bytes lose the dataset while it does."""
    states = DeltaOfflineStore.file_states
    seen: list[list[dict[str, str]]] = []

    def slow(self, at, names):
        if not seen:
            seen.append(FileHold.objects.get().files)
            row = {"driver_id": 1001, "event": NOON + timedelta(minutes=1), "avg_daily_trips": 9}
            commit(drivers, [row], sequence=2)
            then()
        return states(self, at, names)

    monkeypatch.setattr(DeltaOfflineStore, "file_states", slow)
    return seen


def test_two_workers_of_one_dataset_read_the_files_that_the_first_held(
    asked, drivers, monkeypatch, caplog
):
    def next_attempt():
        died(asked, attempt=1, at=NOON)
        Dataset.objects.update(status=WorkStatus.QUEUED)
        assert make(NOON + HOUR, worker="w2").status == "done"

    seen = lost_meanwhile(monkeypatch, drivers, then=next_attempt)
    make(NOON)

    dataset, hold = Dataset.objects.get(), FileHold.objects.get()
    assert len(seen[0]) == 1  # held before a byte was read
    assert (dataset.attempt, dataset.written_by) == (2, 2)
    read = dataset.manifest["views"][0]["files"]
    assert [file["name"] for file in read] == hold.names
    assert [file["sha256"] for file in read] == [file["sha256"] for file in hold.files]
    assert [part.hold for part in dataset.parts.all()] == [hold]
    assert "another attempt has it" in caplog.text
    assert "unexpected" not in caplog.text


def test_a_worker_that_comes_back_after_its_dataset_failed_holds_nothing(
    asked, drivers, monkeypatch
):
    def given_up():
        died(asked, attempt=3, at=NOON)
        swept(NOON + HOUR)

    lost_meanwhile(monkeypatch, drivers, then=given_up)
    make(NOON)

    assert Dataset.objects.get().error_code == "worker_died"
    assert FileHold.objects.count() == 0
    assert kept_files() == []


def test_a_file_that_went_before_it_was_held_has_the_next_attempt_look_again(
    asked, drivers, monkeypatch
):
    states = DeltaOfflineStore.file_states
    gone = iter([True])

    def lost(self, at, names):
        return states(self, at, ["gone.parquet"] if next(gone, False) else names)

    monkeypatch.setattr(DeltaOfflineStore, "file_states", lost)

    assert make(NOON).status == "queued"
    assert FileHold.objects.count() == 0
    assert make(NOON + HOUR).status == "done"


def test_what_another_dataset_noted_of_a_file_is_not_computed_again(
    asked, client, cast, drivers, monkeypatch
):
    states, seen = DeltaOfflineStore.file_states, []

    def noted(self, at, names):
        seen.append(list(names))
        return states(self, at, names)

    monkeypatch.setattr(DeltaOfflineStore, "file_states", noted)
    first = make(NOON)
    row = {"driver_id": 1001, "event": NOON + timedelta(minutes=1), "avg_daily_trips": 9}
    commit(drivers, [row], sequence=2)
    caller = Caller(client, cast.consumer)
    caller.post(body=ASKED)
    second = make(NOON + HOUR)

    before, after = (each.manifest["views"][0]["files"] for each in (first, second))
    assert len(after) == 2
    assert before[0] in after
    assert seen == [[before[0]["name"]], [each["name"] for each in after if each not in before]]
    # A check takes nobody's word.
    assert verify(caller, NOON + HOUR, number=2)["verdict"] == "equal"
    assert len(seen[2]) == 2


def test_a_hold_that_no_dataset_has_is_ended(asked, drivers):
    make(NOON)
    had = FileHold.objects.get()
    FileHold.objects.create(
        table=drivers.table, stored_version=0, held_for="dataset lost@1 of rides", held_at=NOON
    )

    swept(NOON + HOUR)

    assert list(FileHold.objects.all()) == [had]


def test_what_a_worker_that_died_wrote_goes_once_another_made_it(asked):
    make(NOON)
    died(asked, attempt=1, at=NOON)
    Dataset.objects.update(status=WorkStatus.QUEUED)

    make(NOON + HOUR, worker="w2")

    assert kept_files() == ["frame.parquet", "rows-2.parquet"]


def test_files_that_no_row_names_are_swept_after_a_day(asked):
    make(NOON)
    root = settings.OFFLINE_STORE / "_datasets"
    of_it, alone, others = root / asked.uid, root / ("ab" * 16), root / ("cd" * 16)
    in_vain = [of_it / "rows-7.parquet", of_it / ".rows-1.parquet.ab12", alone / "frame.parquet"]
    of_another_database = [others / "frame.parquet", others / "rows-1.parquet"]
    for file in (*in_vain, *of_another_database):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x")

    swept(timezone.now())
    assert all(file.exists() for file in in_vain)  # their rows may be on their way
    swept(timezone.now() + timedelta(days=2))

    assert [file for file in in_vain if file.exists()] == []
    assert not alone.exists()
    assert all(file.exists() for file in of_another_database)
    assert sorted(each.name for each in of_it.iterdir()) == ["frame.parquet", "rows-1.parquet"]


def test_what_a_killed_worker_was_writing_is_swept(asked):
    """Nothing of its own runs at a kill -9: a draft stays, which no name leads to."""
    root = settings.OFFLINE_STORE / "_datasets"
    code = (
        "import pathlib, sys\n"
        "from materialization.stores.kept_files import LocalFileKeeper\n"
        f"with LocalFileKeeper({str(root)!r}).writing('{asked.uid}/rows-1.parquet') as path:\n"
        "    pathlib.Path(path).write_bytes(b'PAR1')\n"
        "    print('written', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdout.readline() == b"written\n"
    writer.kill()
    writer.communicate()
    died(asked, attempt=1, at=NOON)
    Dataset.objects.update(status=WorkStatus.QUEUED)
    assert make(NOON + HOUR, worker="w2").status == "done"
    assert [name for name in kept_files() if name.startswith(".rows-1.parquet.")]

    swept(timezone.now() + timedelta(days=2))

    assert kept_files() == ["frame.parquet", "rows-2.parquet"]


def test_of_what_waits_nothing_is_swept(asked, sent):
    swept(timezone.now() + timedelta(days=2))

    assert make(timezone.now()).status == "done"


def kept_files() -> list[str]:
    root = settings.OFFLINE_STORE / "_datasets"
    return sorted(file.name for folder in root.iterdir() for file in folder.iterdir())
