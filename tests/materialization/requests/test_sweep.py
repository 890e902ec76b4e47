"""The sweep: what it starts, wakes, queues again, reloads and drops, and what it leaves alone."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.db import connection

from featurestore_project.celery import app
from lib import rates
from lib.connections import RedisUnreachable, get_redis
from lib.errors import Conflict
from lib.rates import Rate
from materialization.choices import LIVE_STATUSES, RunStatus
from materialization.edges.stores import online_store
from materialization.models import MaterializationRun, MaterializationSchedule
from materialization.requests import due, reloads, sweep
from materialization.requests.cancelling import cancel_run
from materialization.requests.expiring import WALK_EVERY
from materialization.requests.pausing import pause_run
from materialization.requests.runs import request_run
from materialization.runner import ending
from materialization.runner import run as runner
from materialization.runner.ending import Ending, end_run
from materialization.stores.online_protocol import OnlineStoreEvicts
from registry import queries
from registry.choices import State
from registry.denials import STRANGERS
from registry.models import AuditEntry, FeatureViewVersion
from registry.operations.lifecycle import releases
from tests.factories import DEFINITIONS, VIEW, make_version, verbs_of
from tests.materialization.run_world import (
    AT,
    HOUR,
    ROWS,
    committed,
    fresh,
    marker,
    materialize,
    online,
    perform,
    table_of,
    write_rows,
)

pytestmark = pytest.mark.django_db
DRIVERS = {"driver_id": [1001, 1002, 1003]}
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


def swept(at=AT) -> list[MaterializationRun]:
    """Sweep and return the runs that were not there before."""
    known = set(MaterializationRun.objects.values_list("pk", flat=True))
    sweep.sweep(at=at)
    return list(MaterializationRun.objects.exclude(pk__in=known))


def work(at=AT) -> list[MaterializationRun]:
    return [perform(run, at=at) for run in swept(at)]


def fail(run: MaterializationRun, *, at) -> None:
    """End a run by an expected refusal."""
    live = MaterializationRun.objects.filter(status__in=LIVE_STATUSES)
    assert end_run(run, Ending(RunStatus.FAILED), among=live, actor=None, at=at)


def test_a_newly_approved_version_is_backfilled(version):
    (run,) = work()

    assert (run.kind, run.window, run.requested_by) == ("backfill", (None, AT), None)
    assert run.status == "succeeded"
    schedule = MaterializationSchedule.objects.get(version=version)
    assert (schedule.every, schedule.enabled) == ("1h", True)


def test_what_is_not_approved_is_left_alone(cast, sources):
    make_version(cast, state=State.IN_REVIEW)

    assert swept() == []


def test_a_tick_is_not_started_before_its_time_nor_twice(version):
    work()

    assert swept(AT + 59 * MINUTE) == []
    (run,) = swept(AT + 61 * MINUTE)
    assert (run.kind, run.window) == ("incremental", (AT, AT + HOUR))
    assert swept(AT + 62 * MINUTE) == []


def test_after_a_long_pause_one_run_does_all_ticks(version):
    work()

    (run,) = work(AT + 26.5 * HOUR)

    assert run.window == (AT, AT + 26 * HOUR)
    assert swept(AT + 26.6 * HOUR) == []


def test_a_schedule_that_is_off_starts_nothing(version):
    work()
    MaterializationSchedule.objects.update(enabled=False)

    assert swept(AT + 5 * HOUR) == []


def test_a_changed_schedule_counts_from_now_on(version):
    work()
    MaterializationSchedule.objects.update(every="", cron="15 * * * *")

    assert swept(AT + 14 * MINUTE) == []
    assert [run.window_end for run in swept(AT + 16 * MINUTE)] == [AT + 15 * MINUTE]


def test_a_version_without_a_schedule_is_backfilled_once(cast, sources):
    write_rows(sources, ROWS)
    with committed():
        make_version(cast, text=DEFINITIONS.replace("schedule: {every: 1h}\n", ""))

    assert [run.kind for run in work()] == ["backfill"]
    assert swept(AT + 48 * HOUR) == []


def test_failures_are_retried_after_longer_and_longer_waits(version, sources):
    (sources / "driver_stats.parquet").unlink()
    at = AT
    for wait in (1, 2, 4):
        assert [run.status for run in work(at)] == ["failed"]
        assert swept(at + wait * MINUTE - MINUTE / 60) == []
        at += wait * MINUTE
    write_rows(sources, ROWS)

    assert [run.status for run in work(at)] == ["succeeded"]


def test_the_longest_wait_is_an_hour(version):
    for _ in range(12):
        fail(request_run(version=fresh(version), window_end=AT, at=AT, actor=None), at=AT)

    assert swept(AT + 59 * MINUTE) == []
    assert len(swept(AT + HOUR)) == 1


def test_a_cancelled_run_does_not_come_back_at_once(cast, version):
    (run,) = swept()
    cancel_run(run=run, actor=cast.operator, at=AT)

    assert swept(AT + MINUTE / 2) == []
    assert len(swept(AT + MINUTE)) == 1


def reloaded(at) -> None:
    get_redis().flushall()
    assert [(run.kind, run.status) for run in work(at)] == [("reload", "succeeded")]


@pytest.mark.parametrize("paused", [False, True])
def test_a_reload_does_not_bring_a_cancelled_run_back_at_once(cast, version, paused):
    work()
    at = AT + HOUR
    (run,) = swept(at)
    assert run.kind == "incremental"
    who = {"run": run, "actor": cast.operator}
    if paused:  # then the run that is cancelled is older than the reload
        pause_run(**who, at=at)
        reloaded(at + 5 * SECOND)
    cancel_run(**who, at=at + 10 * SECOND)
    if not paused:
        reloaded(at + 20 * SECOND)

    assert swept(at + 69 * SECOND) == []
    assert [each.kind for each in swept(at + 70 * SECOND)] == ["incremental"]


def test_reloads_neither_shorten_the_waits_after_failures_nor_wait_for_them(version, sources):
    work()
    (sources / "driver_stats.parquet").unlink()
    at = AT + HOUR
    for wait in (1, 2, 4):
        assert [run.status for run in work(at)] == ["failed"]
        reloaded(at)
        assert swept(at + wait * MINUTE - SECOND) == []
        at += wait * MINUTE
    get_redis().flushall()
    (reload,) = swept(at - SECOND)
    fail(reload, at=at - SECOND)

    assert reload.retry_at == at - SECOND + MINUTE  # its first failure, though the fourth in a row


# --- Workers that died, messages that were lost ---------------------------------------------------


def claimed(version, *, at=AT) -> MaterializationRun:
    run = request_run(version=fresh(version), window_end=AT, at=at, actor=None)
    found = runner.claim(run.pk, worker="w", at=at)
    assert found is not None
    return found


def test_a_run_whose_lease_ran_out_is_queued_again_and_succeeds(version):
    lease = timedelta(seconds=django_settings.RUN_LEASE_SECONDS)
    run = claimed(version)

    sweep.sweep(at=AT + lease)
    assert MaterializationRun.objects.get().status == "running"
    sweep.sweep(at=AT + lease + MINUTE)

    assert perform(run, at=AT + 2 * MINUTE).status == "succeeded"
    assert run.attempt == 2
    assert verbs_of(run) == ["requested", "requeued", "succeeded"]


def test_after_too_many_deaths_the_run_ends(version):
    run = claimed(version)
    MaterializationRun.objects.update(attempt=ending.MAX_ATTEMPTS)

    sweep.requeue_dead(at=AT + HOUR)

    run.refresh_from_db()
    assert (run.status, run.error_code) == ("errored", "worker_died")
    assert "its worker died 3 times (last: w)" in run.error
    assert verbs_of(run) == ["requested", "errored"]


def test_a_dead_run_somebody_cancelled_is_not_queued_again(cast, version):
    run = claimed(version)
    cancel_run(run=run, actor=cast.operator, at=AT)

    sweep.requeue_dead(at=AT + HOUR)

    run.refresh_from_db()
    assert run.status == "cancelled"
    assert verbs_of(run) == ["requested", "cancel_requested", "cancelled"]


def queued_messages(queue: str = "runs") -> int:
    with app.connection_for_read() as connection:
        return connection.default_channel.client.llen(queue)


def test_a_lost_message_is_sent_again_once_a_minute(version):
    request_run(version=fresh(version), window_end=AT, at=AT, actor=None)

    def sent(after: timedelta) -> int:
        before = queued_messages()
        with committed():
            sweep.resend_lost(at=AT + after)
        return queued_messages() - before

    assert [sent(MINUTE), sent(MINUTE * 1.5), sent(MINUTE * 2), sent(MINUTE * 3)] == [0, 1, 0, 1]


def test_what_an_outage_put_back_is_tried_again_soon_and_then_once_a_minute(version, settings):
    """No message of it is lost: none was sent. Each time it waits twice as long."""
    run = request_run(version=fresh(version), window_end=AT, at=AT, actor=None)
    here = settings.REDIS_URL

    def sent(at, after: timedelta) -> int:
        before = queued_messages()
        with committed():
            sweep.resend_lost(at=at + after)
        return queued_messages() - before

    waits = []
    for attempt in (1, 2):
        settings.REDIS_URL = "unix:///nowhere/redis.sock"
        at = AT + attempt * HOUR
        with committed(), pytest.raises(RedisUnreachable):
            perform(run, at=at)
        settings.REDIS_URL = here
        waits.append([sent(at, timedelta(seconds=after)) for after in (4, 6, 9, 11, 59, 72)])

    assert waits == [[0, 1, 0, 0, 0, 1], [0, 0, 0, 1, 0, 1]]


# --- The online store ---------------------------------------------------------------------------


def asked_for(task: str, queue: str) -> int:
    with app.connection_for_read() as connection:
        waiting = connection.default_channel.client.lrange(queue, 0, -1)
    return sum(json.loads(message)["headers"]["task"] == task for message in waiting)


def test_the_walk_over_rows_is_asked_for_once_until_it_is_time_again_or_redis_forgot():
    for _ in range(2):
        for after in (0, 1, 2):
            sweep.sweep(at=AT + after * MINUTE)

        assert asked_for("materialization.expire", "certificates") == 1
        left = get_redis().pttl("walked") * timedelta(milliseconds=1)
        assert WALK_EVERY - HOUR < left <= WALK_EVERY
        get_redis().flushall()


def test_an_emptied_redis_is_filled_again(version):
    work()
    get_redis().flushall()

    (run,) = work(AT + MINUTE)

    assert (run.kind, run.window_end, run.status) == ("reload", AT, "succeeded")
    assert online(version, DRIVERS, at=AT)["avg_daily_trips"] == [11, 20, 30]
    assert swept(AT + 2 * MINUTE) == []


def test_a_reload_waits_for_workers_of_its_own(version):
    work()
    get_redis().flushall()
    before = queued_messages("runs"), queued_messages("reloads")

    with committed():
        swept(AT + MINUTE)

    assert (queued_messages("runs"), queued_messages("reloads")) == (before[0], before[1] + 1)


def test_a_run_that_waits_while_its_values_are_out_goes_to_those_that_load(version):
    work()
    run = request_run(version=fresh(version), window_end=AT + HOUR, at=AT + HOUR, actor=None)
    with committed():
        assert swept(AT + HOUR) == []
    assert MaterializationRun.objects.get(pk=run.pk).queue == "runs"
    get_redis().flushall()
    before = queued_messages("reloads")

    with committed():
        sweep.sweep(at=AT + HOUR)
        sweep.sweep(at=AT + HOUR)

    assert queued_messages("reloads") == before + 1
    assert perform(run, at=AT + HOUR).status == "succeeded"
    assert online(version, DRIVERS, at=AT)["avg_daily_trips"] == [11, 20, 30]


@pytest.mark.parametrize("code", [RedisUnreachable.code, "online_store_emptied"])
def test_what_was_not_loaded_while_redis_was_away_is_when_it_answers(version, code):
    work()
    get_redis().flushall()
    run = request_run(version=fresh(version), window_end=AT + HOUR, at=AT + HOUR, actor=None)
    MaterializationRun.objects.filter(pk=run.pk).update(step="online")
    away = Ending(RunStatus.FAILED, "away", code, passes=True)
    live = MaterializationRun.objects.filter(status__in=LIVE_STATUSES)
    assert end_run(run, away, among=live, actor=None, at=AT + HOUR)

    assert [run.kind for run in swept(AT + HOUR)] == ["reload"]


def test_after_an_outage_the_next_run_waits_for_seconds(version, settings):
    """5, 10, 20, … and no longer than five minutes; failures of another kind count as well."""
    waits = []
    for _ in range(9):
        run = request_run(version=fresh(version), window_end=AT, at=AT, actor=None)
        away = Ending(RunStatus.FAILED, "away", "offline_store_unavailable", passes=True)
        live = MaterializationRun.objects.filter(status__in=LIVE_STATUSES)
        assert end_run(run, away, among=live, actor=None, at=AT)
        run.refresh_from_db()
        waits.append((run.retry_at - AT).total_seconds())
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]

    assert swept(AT + 299 * MINUTE / 60) == []
    assert len(swept(AT + 300 * MINUTE / 60)) == 1


def test_a_failed_check_does_not_hold_up_a_reload(version):
    work()
    get_redis().flushall()
    run = request_run(version=fresh(version), window_end=AT + HOUR, at=AT + HOUR, actor=None)
    MaterializationRun.objects.filter(pk=run.pk).update(step="reading")
    fail(run, at=AT + HOUR)

    assert [run.kind for run in swept(AT + HOUR + MINUTE / 2)] == ["reload"]


def test_a_failed_reload_waits_before_the_next(version):
    work()
    get_redis().flushall()
    (run,) = swept(AT + MINUTE)
    fail(run, at=AT + MINUTE)

    assert swept(AT + 1.5 * MINUTE) == []
    assert [run.kind for run in swept(AT + 2 * MINUTE)] == ["reload"]


def test_rows_that_were_stored_and_not_loaded_are_loaded(version, settings):
    work(AT - 6 * HOUR)
    here, settings.REDIS_URL = settings.REDIS_URL, "unix:///nowhere/redis.sock"
    lost = request_run(version=fresh(version), window_end=AT, at=AT, actor=None)
    MaterializationRun.objects.filter(pk=lost.pk).update(attempt=ending.MAX_ATTEMPTS - 1)
    assert perform(lost).status == "failed"
    settings.REDIS_URL = here

    assert [run.kind for run in work(AT + MINUTE)] == ["reload"]
    assert online(version, DRIVERS, at=AT)["avg_daily_trips"] == [11, 20, 30]


def test_a_longer_ttl_is_loaded_again(cast, version):
    work()
    with committed():
        make_version(cast, text=DEFINITIONS.replace("ttl: 2d", "ttl: 9d"))

    assert [run.kind for run in work(AT + MINUTE)] == ["reload"]
    assert marker(version).ttl == timedelta(days=9)
    assert swept(AT + 2 * MINUTE) == []


@pytest.mark.parametrize(
    ("before", "after"), [("ttl: 2d", "ttl: 9d"), ("ttl: 2d", "ttl: 2d\nonline: true")]
)
def test_a_version_that_wants_more_online_is_ready_when_it_is_there(cast, sources, before, after):
    """Until then ``view@v1`` goes on meaning the one that is; nobody meets a gap."""
    offline_only = "online" in after
    text = DEFINITIONS.replace(before, before + "\nonline: false") if offline_only else DEFINITIONS
    write_rows(sources, ROWS)
    with committed():
        first = make_version(cast, text=text)
    work()
    with committed():
        second = make_version(cast, text=DEFINITIONS.replace(before, after))

    assert table_of(second) == table_of(first)
    assert not fresh(second).is_ready
    assert pinned(cast) == first

    with committed():
        (run,) = work(AT + MINUTE)

    assert (run.kind, run.status) == ("reload", "succeeded")
    assert fresh(second).is_ready
    assert pinned(cast) == second
    assert online(second, DRIVERS, at=AT)["avg_daily_trips"] == [11, 20, 30]


def pinned(cast) -> FeatureViewVersion:
    return queries.served_version(project=cast.project, view="driver_hourly", pin="v1")


def test_values_of_a_table_whose_versions_are_all_retired_are_dropped(cast, version):
    materialize(version)
    retire(cast, version)
    assert get_redis().keys(b"[rn]*") != []

    sweep.sweep(at=AT)
    sweep.sweep(at=AT)

    assert get_redis().keys(b"[rn]*") == []
    assert not fresh(version).is_ready
    assert AuditEntry.objects.filter(verb="feature_table.dropped_online").count() == 1


def retire(cast, version) -> None:
    how = {"actor": cast.steward, "at": AT}
    with committed():
        releases.deprecate_version(version=fresh(version), **how)
        releases.retire_version(version=fresh(version), **how, force=True, comment="unused")


def test_rows_of_a_first_load_that_failed_are_dropped_when_its_versions_are_retired(
    cast, version, online_redis
):
    """As of a Redis that is full: a version is retired to make room."""
    (run,) = swept()
    online_redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(OnlineStoreEvicts):
            perform(run)
    finally:
        online_redis.config_set("maxmemory-policy", "noeviction")
    sweep.drop_abandoned(at=AT)
    assert len(get_redis().keys(b"r*{*")) == 3

    retire(cast, version)
    sweep.drop_abandoned(at=AT + MINUTE)

    assert get_redis().keys(b"[rl]*") == []
    sweep.drop_abandoned(at=AT + 2 * MINUTE)
    assert AuditEntry.objects.filter(verb="feature_table.dropped_online").count() == 1
    assert perform(run).status == "cancelled"
    assert get_redis().keys(b"[rl]*") == []


def test_a_duty_that_fails_does_not_hold_up_the_others(version, settings, caplog):
    settings.REDIS_URL = "unix:///nowhere/redis.sock"

    assert [run.kind for run in swept()] == ["backfill"]
    assert "sweep: unmark_evicted: Redis does not answer" in caplog.text


def test_a_table_is_not_loaded_once_redis_has_dropped_keys(version, online_redis):
    """Values may go while the marker stays: under this policy those that expire."""
    materialize(version)
    try:
        online_redis.config_set("maxmemory-policy", "volatile-random")
        sweep.sweep(at=AT)
        assert marker(version)  # it may drop some, and has not yet

        online_redis.config_set("maxmemory", "1")
        online_redis.config_set("maxmemory", "0")
        assert (online_redis.keys(b"r*"), marker(version) is None) == ([], False)

        (reload,) = swept()
        assert marker(version) is None
        with pytest.raises(OnlineStoreEvicts, match="volatile-random"):
            perform(reload)
        assert marker(version) is None
    finally:
        online_redis.config_set("maxmemory", "0")
        online_redis.config_set("maxmemory-policy", "noeviction")
        online_redis.config_resetstat()


@pytest.mark.parametrize("back", [timedelta(seconds=70), HOUR, timedelta(days=40)])
def test_a_clock_set_back_holds_up_no_dead_run(version, back):
    run = claimed(version)

    sweep.requeue_dead(at=AT - back)

    run.refresh_from_db()
    assert run.status == "queued"


def test_a_clock_set_back_holds_up_no_lost_message(version):
    run = request_run(version=fresh(version), window_end=AT, at=AT, actor=None)

    sweep.resend_lost(at=AT - HOUR)

    run.refresh_from_db()
    assert run.enqueued_at == AT - HOUR


def test_a_clock_set_back_neither_lets_failures_rest_for_long_nor_refuses_a_reload(version):
    work()
    online_store().drop(table_of(version).uid)
    MaterializationRun.objects.update(status="failed", step="online", retry_at=AT + HOUR)
    assert swept(AT) == []

    (run,) = swept(AT - HOUR)

    assert (run.kind, run.window_end) == ("reload", AT - HOUR)


def test_what_was_refused_beyond_a_limit_comes_into_the_trail():
    for _ in range(4):
        rates.count(Rate(STRANGERS, most=1, seconds=60), ("10.0.0.7",), at=AT)

    sweep.sweep(at=AT + 5 * MINUTE)

    entry = AuditEntry.objects.get(verb="access.stranger_refused")
    assert (entry.subject_label, entry.after["more"]) == ("10.0.0.7", 3)


@pytest.mark.parametrize("duty", [due.start_due, reloads.reload_missing])
@pytest.mark.parametrize("number", range(1, 7))
def test_a_run_that_ends_while_the_sweep_looks_is_not_asked_for_again(version, duty, number):
    (run,) = swept()
    asked = 0

    def ends_before(execute, sql, params, many, context):
        nonlocal asked
        asked += 1
        if asked == number:
            perform(run)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(ends_before):
        duty(at=AT + MINUTE)

    perform(run)
    assert run.status == "succeeded"
    assert list(MaterializationRun.objects.all()) == [run]


def test_of_many_that_are_due_no_more_are_asked_for_than_workers_soon_take(
    version, cast, monkeypatch
):
    monkeypatch.setattr(due, "MOST_WAITING", 2)
    others = [VIEW.replace("driver_hourly", f"driver_{name}") for name in ("a", "b", "c")]
    versions = [version, *(make_version(cast, text=text) for text in others)]

    first = swept()
    assert {run.version_id for run in first} == {each.pk for each in versions[:2]}
    assert swept(AT + MINUTE) == []  # those two still wait

    perform(first[0])
    (second,) = swept(AT + 2 * MINUTE)
    perform(first[1])
    perform(second)
    (third,) = swept(AT + 3 * MINUTE)
    assert {run.version_id for run in (*first, second, third)} == {each.pk for each in versions}


def test_who_is_refused_takes_nobodys_place(version, cast, sources, monkeypatch):
    monkeypatch.setattr(due, "MOST_WAITING", 1)
    other = make_version(cast, text=VIEW.replace("driver_hourly", "driver_other"))
    monkeypatch.setattr(due, "request_run", refusing(version))

    (run,) = swept()

    assert run.version_id == other.pk


def refusing(refused):
    """Return ``request_run`` but for one version, which is refused."""

    def ask(*, version, **asked):
        if version.pk == refused.pk:
            raise Conflict("no")
        return request_run(version=version, **asked)

    return ask
