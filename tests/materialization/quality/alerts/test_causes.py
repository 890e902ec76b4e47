"""Each cause opens its alert and its end closes it: failed runs, late versions, full stores."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from lib.connections import get_redis
from materialization.choices import RunStatus
from materialization.clocks import note_and
from materialization.edges.stores import Fullness, fullness
from materialization.errors import SourceDrifted
from materialization.models import (
    Alert,
    MaterializationRun,
    MaterializationSchedule,
    ProcessClock,
    TableSize,
)
from materialization.quality.alerts.causes import OF_CODE
from materialization.quality.freshness import freshness_of
from materialization.requests import sweep as sweeping
from materialization.requests import watch
from materialization.requests.cancelling import cancel_run
from materialization.requests.pausing import pause_run, resume_run
from materialization.requests.runs import request_run
from materialization.runner import ending
from materialization.runner import run as runner
from materialization.runner.ending import Ending
from materialization.runner.judging import ChecksFailed, NoRows
from materialization.stalls import QUEUES
from registry.choices import State
from registry.models import FeatureViewVersion
from registry.operations.lifecycle.after_glass import confirm_glass
from registry.operations.lifecycle.glass import break_glass
from registry.operations.lifecycle.releases import promote_version, retire_version
from registry.operations.registration.apply import apply_definitions
from registry.queries import served_versions
from registry.reading.parsing import parse_files
from tests.factories import DEFINITIONS, VIEW, look, make_ready, make_version, seen
from tests.materialization.histories import past_runs
from tests.materialization.run_world import (
    AT,
    HOUR,
    ROWS,
    ask,
    committed,
    fresh,
    materialize,
    table_of,
    write_rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.django_db
PROMISING = DEFINITIONS.replace("ttl: 2d", "ttl: 2d\nfreshness: 2h")


def shown() -> list[tuple[str, str, str, int]]:
    rows = Alert.objects.exclude(kind="store_nearly_full").order_by("id")
    return [(alert.kind, alert.subject, alert.state, alert.count) for alert in rows]


def test_a_failed_run_opens_an_alert_that_the_next_one_closes(version, sources):
    (sources / "driver_stats.parquet").unlink()
    runs = [materialize(version) for _ in range(2)]

    assert shown() == [("failed", "driver_hourly@1.0.0", "open", 2)]
    alert = Alert.objects.get()
    assert (alert.run, alert.code) == (runs[1], "source_file_missing")
    assert "driver_stats.parquet" in alert.words
    write_rows(sources, ROWS)
    materialize(version)
    assert shown() == [("failed", "driver_hourly@1.0.0", "closed", 2)]


def test_refused_rows_and_a_changed_source_are_kinds_of_their_own(cast, sources):
    write_rows(sources, ROWS)
    checked = DEFINITIONS.replace(
        "{name: conv_rate, type: float32,", "{name: conv_rate, type: float32, checks: {min: 0.6},"
    )
    with committed():
        version = make_version(cast, text=checked)
    materialize(version)
    assert shown() == [("blocked", "driver_hourly@1.0.0", "open", 1)]

    run = ask(version, at=AT + HOUR)
    waiting = MaterializationRun.objects.filter(pk=run.pk)
    changed = Ending(RunStatus.FAILED, "column conv_rate is gone", SourceDrifted.code)
    ending.end_run(run, changed, among=waiting, actor=None, at=AT)
    assert [kind for kind, *_ in shown()] == ["blocked", "source_changed_schema"]


def test_codes_that_are_told_apart_are_those_that_runs_end_with():
    assert set(OF_CODE) == {ChecksFailed.code, NoRows.code, SourceDrifted.code}


def test_a_reload_repairs_no_run_that_was_to_store(version, sources):
    materialize(version, end=AT - 6 * HOUR)
    (sources / "driver_stats.parquet").unlink()
    materialize(version)
    with committed():
        materialize(version, end=AT - 6 * HOUR, kind="reload")

    assert [state for *_, state, _ in shown()] == ["open"]


def test_a_worker_that_died_too_often_is_told_of(version):
    run = request_run(version=fresh(version), window_end=AT, at=AT, actor=None)
    runner.claim(run.pk, worker="w", at=AT)
    MaterializationRun.objects.update(attempt=ending.MAX_ATTEMPTS)

    sweeping.requeue_dead(at=AT + HOUR)

    assert Alert.objects.get(kind="failed").code == "worker_died"


def test_a_cancelled_run_is_no_trouble(cast, version):
    cancel_run(run=ask(version, actor=cast.author), actor=cast.operator, at=AT)

    assert shown() == []


# --- Freshness ----------------------------------------------------------------------------------


@pytest.fixture
def promising(cast, sources) -> FeatureViewVersion:
    write_rows(sources, ROWS)
    with committed():
        return make_version(cast, text=PROMISING)


def test_a_version_older_than_its_promise_is_overdue_until_it_is_not(promising):
    materialize(promising)

    def at(instant) -> list[str]:
        watch.watch_freshness(at=instant)
        return [state for kind, _, state, _ in shown() if kind == "overdue"]

    assert at(AT + 2 * HOUR) == []
    assert at(AT + 2 * HOUR + timedelta(microseconds=1)) == ["open"]
    assert Alert.objects.get(kind="overdue").words == (
        "it covers the time up to 2026-03-01 12:00 UTC, 2 hours ago; the promise is 2h."
    )
    assert at(AT + 3 * HOUR) == ["open"]
    materialize(promising, end=AT + 3 * HOUR)
    assert at(AT + 3 * HOUR) == ["closed"]


def test_every_sweep_looks_for_what_nobody_tells_of(promising):
    materialize(promising)
    MaterializationSchedule.objects.create(version=promising, enabled=False, updated_at=AT)

    sweeping.sweep(at=AT + 3 * HOUR)

    assert shown() == [("overdue", "driver_hourly@1.0.0", "open", 1)]


def test_a_version_that_was_never_filled_owes_its_rows_since_its_approval(promising):
    FeatureViewVersion.objects.update(approved_at=AT)

    watch.watch_freshness(at=AT + 2 * HOUR)
    assert shown() == []
    watch.watch_freshness(at=AT + 3 * HOUR)

    assert shown() == [("overdue", "driver_hourly@1.0.0", "open", 1)]
    assert "has no rows yet" in Alert.objects.get().words


def test_without_a_promise_nothing_is_overdue(version):
    materialize(version)

    watch.watch_freshness(at=AT + 9000 * HOUR)

    assert shown() == []
    ((_, found),) = freshness_of(served_versions(), at=AT + HOUR).items()
    assert (found.promise, found.age, found.is_overdue) == (None, HOUR, False)


def test_how_fresh_all_are_is_one_question(cast, promising, django_assert_num_queries):
    for name in ("b", "c"):
        with committed():
            make_version(cast, text=PROMISING.replace("driver_hourly", f"driver_{name}"))
    versions = list(served_versions())

    with django_assert_num_queries(1):
        assert len(freshness_of(versions, at=AT)) == 3


# --- Stores, services, versions that nobody reads ------------------------------------------------


def test_a_store_that_fills_up_is_told_of_until_it_has_room_again(monkeypatch, cast, settings):
    settings.STORE_FULL_PERCENT = 90

    def at(percent: int) -> list[str]:
        monkeypatch.setattr(
            watch, "fullness", lambda: {"online store": Fullness(percent << 20, 100 << 20)}
        )
        watch.watch_stores(at=AT)
        return [alert.state for alert in Alert.objects.order_by("id")]

    assert [at(percent) for percent in (89, 90, 86, 84, 86)] == [
        [],
        ["open"],
        ["open"],
        ["closed"],
        ["closed"],
    ]
    assert Alert.objects.get().project is None


def test_a_table_that_nearly_fills_what_a_machine_has_copies_of_is_told_of(
    monkeypatch, cast, settings
):
    monkeypatch.setattr(watch, "fullness", dict)
    settings.STORE_FULL_PERCENT, settings.OFFLINE_CACHE_MB = 90, 100
    with committed():
        table = table_of(make_version(cast))
    days = iter(range(9))

    def at(mb: int) -> list[str]:
        day = (AT + next(days) * timedelta(days=1)).date()
        TableSize.objects.create(table=table, day=day, offline_bytes=mb << 20)
        watch.watch_stores(at=AT)
        return [alert.state for alert in Alert.objects.order_by("id")]

    assert at(95) == []  # of a folder nothing is copied
    settings.OFFLINE_BUCKET = {"kind": "s3"}
    assert [at(mb) for mb in (89, 95, 86, 84)] == [[], ["open"], ["open"], ["closed"]]
    alert = Alert.objects.get()
    assert (alert.subject, alert.severity) == ("offline cache", "warning")
    assert f"{table} (95 MB)" in alert.words


def test_both_stores_say_how_full_they_are(cast, tmp_path, settings):
    settings.OFFLINE_STORE = tmp_path
    redis = get_redis()
    redis.config_set("maxmemory", 1 << 40)
    try:
        found = fullness()
    finally:
        redis.config_set("maxmemory", 0)

    assert found["online store"].limit == 1 << 40
    assert found["online store"].used > 0
    assert 0 < found["offline store"].used < found["offline store"].limit


def test_a_store_that_is_away_says_nothing(settings, tmp_path):
    settings.OFFLINE_STORE = tmp_path / "gone"
    settings.REDIS_URL = "unix:///nowhere/redis.sock"

    assert fullness() == {}


def test_nobody_hears_of_a_version_that_is_retired(cast, version, sources):
    (sources / "driver_stats.parquet").unlink()
    materialize(version)
    with committed():
        retire_version(version=fresh(version), actor=cast.steward, at=AT, comment="old", force=True)

    watch.close_unread(at=AT)

    assert [state for *_, state, _ in shown()] == ["closed"]


# --- Processes and queues that stand still -------------------------------------------------------


def stalled() -> list[tuple[str, str, int]]:
    rows = Alert.objects.filter(kind="stalled").order_by("subject", "id")
    return [(alert.subject, alert.state, alert.count) for alert in rows]


def heard(queues: Iterable[str] = QUEUES, **ago: int) -> None:
    for kind, seconds in ago.items():
        measured = AT - timedelta(seconds=seconds)
        told = {"measured_at": measured, "ahead": timedelta(0), "queues": [*queues]}
        ProcessClock.objects.update_or_create(process=f"{kind}@a", defaults=told)


def test_a_silent_process_is_told_of_once_by_any_that_lives_until_it_is_heard_of(cast):
    heard(beat=70, sweep=5, worker=5)

    for after in (0, 10, 20):
        watch.watch_processes(at=AT + timedelta(seconds=after))

    assert stalled() == [("beat", "open", 1), ("reload", "open", 1)]
    alert = Alert.objects.get(subject="beat")
    assert (alert.severity, alert.project) == ("critical", None)
    assert alert.words == "no beat has been heard of for 70 s: no sweep is asked for."
    heard(beat=1, reload=1)
    watch.watch_processes(at=AT)
    assert stalled() == [("beat", "closed", 1), ("reload", "closed", 1)]


def test_a_queue_that_nobody_takes_from_is_told_of_until_somebody_does(version):
    heard(beat=0, sweep=0, worker=0, reload=0, queues=QUEUES.keys() - {"alerts", "runs"})
    waits = {"sequences": False, "finished_at": None}
    past_runs(version, 1, **waits, status="queued", requested_at=AT - timedelta(minutes=6))
    watch.watch_processes(at=AT)
    assert stalled() == [("queue alerts", "open", 1), ("queue runs", "open", 1)]
    assert [alert.words for alert in Alert.objects.filter(kind="stalled").order_by("subject")] == [
        "no process takes from the queue alerts: no pushed row or note of a read is stored, no"
        " message or mail sent.",
        "no process takes from the queue runs: nothing is computed.",
    ]

    heard(["alerts"], reload=61)  # whoever takes it is not heard of: that is said, once
    watch.watch_processes(at=AT)
    assert [subject for subject, state, _ in stalled() if state == "open"] == [
        "queue runs", "reload",
    ]  # fmt: skip

    heard(worker=0, reload=0)  # now runs alone wait, as before
    watch.watch_processes(at=AT)
    assert [subject for subject, state, _ in stalled() if state == "open"] == ["queue runs"]


def test_a_queue_in_which_runs_wait_and_none_runs_is_told_of_until_one_does(version):
    heard(beat=0, sweep=0, worker=0, reload=0)
    waits = {"sequences": False, "finished_at": None}
    (run,) = past_runs(version, 1, **waits, status="queued", requested_at=AT - timedelta(minutes=6))
    watch.watch_processes(at=AT)
    assert stalled() == [("queue runs", "open", 1)]

    MaterializationRun.objects.filter(pk=run.pk).update(status="running", attempt=1)
    watch.watch_processes(at=AT)

    assert stalled() == [("queue runs", "closed", 1)]


def test_a_run_that_goes_on_after_a_pause_has_not_waited_while_it_lay(cast, version):
    heard(beat=0, sweep=0, worker=0, reload=0)
    before = AT - timedelta(days=3)
    run = request_run(version=version, window_end=before, at=before, actor=cast.operator)
    pause_run(run=run, actor=cast.operator, at=before)
    resume_run(run=run, actor=cast.operator, at=AT - timedelta(minutes=6))

    watch.watch_processes(at=AT - timedelta(minutes=2))
    assert stalled() == []

    watch.watch_processes(at=AT)
    assert stalled() == [("queue runs", "open", 1)]


def test_whoever_notes_that_it_lives_looks_after_the_others_whatever_happens_there(cast, caplog):
    calls = []

    def fails(*, at):
        calls.append(at)
        raise RuntimeError

    note_and("worker@a", None)
    note_and("worker@a", fails)
    note_and("worker@a", watch.watch_processes, lambda: QUEUES)

    assert len(calls) == 1
    assert "cannot look after the others" in caplog.text
    assert [subject for subject, *_ in stalled()] == ["beat", "reload", "sweep"]


# --- Services ------------------------------------------------------------------------------------


def test_a_service_whose_default_lacks_what_it_names_is_told_of_until_it_has_it(cast):
    first = make_ready(make_version(cast))
    text = "kind: FeatureService\nname: eta_model\nfeatures: ['driver_hourly:acc_rate']"
    files = parse_files([("service.yaml", text)])
    apply_definitions(files, project=cast.project, actor=cast.author, at=AT, look=look)
    watch.watch_services(at=AT)
    assert shown() == []

    second = make_ready(make_version(cast, text=VIEW.replace("acc_rate", "accept_rate")))
    promote_version(version=second, actor=cast.steward, at=AT, comment="agreed", force=True)
    for _ in range(2):
        watch.watch_services(at=AT)

    assert shown() == [("broken_service", "eta_model", "open", 1)]
    alert = Alert.objects.get()
    assert (alert.project, alert.severity) == (cast.project, "critical")
    assert "acc_rate: the default driver_hourly@2.0.0 has no such feature" in alert.words
    promote_version(version=first, actor=cast.steward, at=AT)
    watch.watch_services(at=AT)
    assert shown() == [("broken_service", "eta_model", "closed", 1)]


# --- Broken glasses ------------------------------------------------------------------------------


def test_a_broken_glass_is_told_of_until_somebody_has_looked_at_it(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    broken = {"at": AT, "packet_hash": seen(version), "comment": "The scorer is down."}
    break_glass(version=version, actor=cast.owner, **broken)

    for _ in range(2):
        watch.watch_glasses(at=AT)

    assert shown() == [("broken_glass", "driver_hourly@1.0.0", "open", 1)]
    alert = Alert.objects.get()
    assert (alert.project, alert.version, alert.severity) == (cast.project, version, "critical")
    assert "nobody else has confirmed it" in alert.words
    confirm_glass(version=version, actor=cast.steward, at=AT, packet_hash=seen(version))
    watch.watch_glasses(at=AT)
    assert shown() == [("broken_glass", "driver_hourly@1.0.0", "closed", 1)]


def test_a_sweep_ends_a_glass_and_the_alert_stays_until_somebody_looks(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    broken = {"at": AT, "packet_hash": seen(version), "comment": "The scorer is down."}
    break_glass(version=version, actor=cast.owner, **broken)

    sweeping.sweep(at=AT + timedelta(days=1))

    version.refresh_from_db()
    assert version.state == State.DEPRECATED
    assert ("broken_glass", "driver_hourly@1.0.0", "open", 1) in shown()
