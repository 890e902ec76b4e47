"""What is forgotten after its time, and what stays because something refers to it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from materialization.models import Alert, MaterializationRun, Quarantine, StoredWindow, TableCare
from materialization.requests import history
from materialization.windows import Window
from registry.models import AuditEntry
from tests.factories import AT
from tests.materialization.histories import past_runs
from tests.materialization.run_world import table_of

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
OLD = AT - 400 * DAY


def old_runs(version, count: int, **columns: Any) -> list[MaterializationRun]:
    said: dict[str, Any] = {"finished_at": OLD, "status": "failed"} | columns
    return past_runs(version, count, **said)


def left(at=AT) -> set[int]:
    history.expire_alerts(at=at)
    TableCare.objects.update(runs_seen_at=None)
    history.expire_runs(at=at)
    return set(MaterializationRun.objects.values_list("pk", flat=True))


def alert_of(run, closed_at=None) -> Alert:
    return Alert.objects.create(
        kind="failed", severity="warning", subject=str(run.pk), run=run, words="x",
        opened_at=OLD, last_seen_at=OLD, closed_at=closed_at,
    )  # fmt: skip


def quarantine_of(run, **columns) -> Quarantine:
    return Quarantine.objects.create(
        run=run, table=run.table, window_end=OLD, rows=1, size_bytes=1, held_at=OLD, **columns
    )


def test_of_each_outcome_the_last_stays_and_of_what_was_checked_or_compared(version):
    kept = set()
    for status, columns in (
        ("succeeded", {"checks": [{"passed": True}]}),
        ("succeeded", {"drift": {}}),
        ("errored", {}),
        ("failed", {}),
        ("cancelled", {}),
        ("succeeded", {}),
    ):
        runs = old_runs(version, 3, status=status, publishing=False, **columns)
        kept |= {runs[2].pk} if status != "errored" else set()  # it counts as failed

    assert left() == kept
    assert TableCare.objects.get().runs_expired == 18 - len(kept)


def test_what_something_refers_to_stays_until_that_is_gone(version):
    runs = old_runs(version, 8, publishing=False)
    window = Window(None, OLD)
    StoredWindow.objects.create(
        table=table_of(version), run=runs[0], window_start=window.start, window_end=window.end
    )
    alert_of(runs[1])
    alert_of(runs[2], closed_at=AT - DAY)
    held = quarantine_of(runs[3], state="held", stored_as="a")
    quarantine_of(runs[4], state="discarded", stored_as="b")  # its files are not removed yet
    gone = quarantine_of(runs[5], state="superseded", stored_as="", ended_by=runs[6])
    entries = AuditEntry.objects.count()

    assert left() == {runs[n].pk for n in (0, 1, 2, 3, 4, 7)}
    assert not Quarantine.objects.filter(pk=gone.pk).exists()
    assert left(AT + 365 * DAY) == {runs[n].pk for n in (0, 1, 3, 4, 7)}
    assert list(Alert.objects.values_list("run", flat=True)) == [runs[1].pk]
    assert Quarantine.objects.filter(pk=held.pk).exists()
    assert AuditEntry.objects.count() == entries


def test_what_is_under_way_young_profiled_or_perhaps_stored_stays(version):
    old_runs(version, 1, publishing=False, sequences=False)
    unrecorded = old_runs(version, 1)[0]
    profiled = old_runs(version, 1, has_profile=True, publishing=False)[0]
    young = old_runs(version, 1, finished_at=AT - 364 * DAY, publishing=False)[0]
    paused = old_runs(version, 1, status="paused", finished_at=None, publishing=False)[0]
    last = old_runs(version, 1, publishing=False)[0]

    assert left() == {run.pk for run in (unrecorded, profiled, young, paused, last)}


def test_a_sweep_removes_a_part_and_looks_at_a_table_once_a_day(version, monkeypatch):
    monkeypatch.setattr(history, "AT_ONCE", 3)
    old_runs(version, 8, publishing=False)

    counts = []
    for _ in range(4):
        history.expire_runs(at=AT)
        counts.append(MaterializationRun.objects.count())
    assert counts == [5, 2, 1, 1]
    old_runs(version, 2, publishing=False)
    history.expire_runs(at=AT + DAY - timedelta(seconds=1))
    assert MaterializationRun.objects.count() == 3
    history.expire_runs(at=AT + DAY)
    assert MaterializationRun.objects.count() == 1


def test_closed_alerts_expire_and_open_ones_do_not(version):
    alert_of(old_runs(version, 1)[0])
    for days in (364, 366):
        alert_of(old_runs(version, 1)[0], closed_at=AT - days * DAY)

    history.expire_alerts(at=AT)

    closed = Alert.objects.order_by("pk").values_list("closed_at", flat=True)
    assert list(closed) == [None, AT - 364 * DAY]
