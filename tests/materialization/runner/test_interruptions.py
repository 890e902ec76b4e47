"""Runs that are claimed twice, cancelled, or lose Redis: nothing is half-published."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.connections import RedisUnreachable, get_redis
from materialization.choices import RunStatus
from materialization.models import MaterializationRun
from materialization.requests.cancelling import RunFinished, cancel_run
from materialization.runner import ending, loading
from materialization.runner import run as runner
from materialization.runner.ending import Ending
from materialization.runner.heartbeat import Heartbeat, LeaseLost
from tests.factories import verbs_of
from tests.materialization.run_world import (
    AT,
    DRIVERS,
    HOUR,
    ask,
    committed,
    fresh,
    marker,
    materialize,
    offline,
    online,
    perform,
    snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

pytestmark = pytest.mark.django_db


# --- Claims, leases and cancelling ---------------------------------------------------------------


def test_of_two_claimers_one_wins(version):
    run = ask(version)

    first = runner.claim(run.pk, worker="a", at=AT)
    second = runner.claim(run.pk, worker="b", at=AT)

    assert first is not None
    assert (first.attempt, first.worker, second) == (1, "a", None)


def test_a_run_that_is_over_is_left_alone(version):
    run = materialize(version)

    assert perform(run, at=AT + HOUR).finished_at == AT


def test_a_stale_attempt_publishes_nothing_and_cannot_finish(version):
    run = ask(version)
    stale = runner.claim(run.pk, worker="a", at=AT)
    MaterializationRun.objects.filter(pk=run.pk).update(status="queued")  # its lease ran out
    current = runner.claim(run.pk, worker="b", at=AT)

    with pytest.raises(LeaseLost), Heartbeat(stale, clock=lambda: AT) as heartbeat:
        runner._perform(stale, heartbeat, lambda: AT)
    ending.end_run(stale, Ending(RunStatus.SUCCEEDED), among=stale.owned(), actor=None, at=AT)

    run.refresh_from_db()
    assert (run.status, run.worker, run.attempt) == ("running", "b", current.attempt)
    assert (snapshot(version).rows, marker(version), fresh(version).is_ready) == (0, None, False)
    assert "succeeded" not in verbs_of(run)


def test_an_attempt_that_loses_its_lease_at_the_last_moment_publishes_nothing(version):
    run = ask(version)
    attempt = runner.claim(run.pk, worker="a", at=AT)
    attempts = MaterializationRun.objects.filter(pk=run.pk)

    with pytest.raises(LeaseLost), Heartbeat(attempt, clock=lambda: AT) as heartbeat:
        runner._perform(
            attempt, heartbeat, when_publishing(lambda: attempts.update(attempt=2, worker="b"))
        )

    run.refresh_from_db()
    assert (run.status, run.worker, fresh(version).is_ready) == ("running", "b", False)
    assert "succeeded" not in verbs_of(run)


def when_publishing(happens: Callable[[], object]) -> Callable[[], datetime]:
    """A clock that is read once for loading and once for publishing, when something happens."""
    readings = iter([lambda: None, happens])

    def clock() -> datetime:
        next(readings)()
        return AT

    return clock


def test_a_queued_run_is_cancelled_at_once(cast, version):
    run = ask(version)

    cancel_run(run=run, actor=cast.operator, at=AT)

    assert perform(run).status == "cancelled"
    assert verbs_of(run) == ["requested", "cancelled"]
    assert snapshot(version).rows == 0


def test_a_running_run_is_cancelled_before_it_publishes(cast, version):
    run = ask(version)
    attempt = runner.claim(run.pk, worker="a", at=AT)
    cancel_run(run=run, actor=cast.operator, at=AT)
    MaterializationRun.objects.filter(pk=attempt.pk).update(status="queued")

    perform(run)

    assert (run.status, run.error_code) == ("cancelled", "run_cancelled")
    assert "nothing was stored" in run.error
    assert (snapshot(version).rows, marker(version), fresh(version).is_ready) == (0, None, False)
    assert verbs_of(run) == ["requested", "cancel_requested", "cancelled"]


def test_a_run_that_is_over_cannot_be_cancelled(cast, version):
    run = materialize(version)

    with pytest.raises(RunFinished, match="has succeeded already"):
        cancel_run(run=run, actor=cast.operator, at=AT)


# --- Redis away, Redis emptied -------------------------------------------------------------------


@pytest.fixture
def redis_away(settings):
    """Call to send Redis away; call with its address to bring it back."""
    here = settings.REDIS_URL

    def away(*, back: bool = False) -> None:
        settings.REDIS_URL = here if back else "unix:///nowhere/redis.sock"

    yield away
    settings.REDIS_URL = here


def test_with_redis_down_the_run_waits_and_then_succeeds(version, redis_away):
    run = ask(version)
    redis_away()

    with pytest.raises(RedisUnreachable):
        perform(run, at=AT + HOUR)
    run.refresh_from_db()
    assert (run.status, run.error_code, run.rows_offline) == ("queued", "redis_unreachable", 4)
    assert run.enqueued_at == AT + HOUR

    redis_away(back=True)
    perform(run)
    assert (run.status, run.attempt, run.error, run.rows_offline) == ("succeeded", 2, "", 4)
    assert online(version, DRIVERS, at=AT) == offline(version, DRIVERS, at=AT)


def test_a_run_that_cannot_tell_readers_has_succeeded(version, redis_away, settings):
    """They find its table ready by themselves: the registry's epoch is another."""
    settings.PLAN_CONFIRM_SECONDS = 0
    run = ask(version)
    attempt = runner.claim(run.pk, worker="a", at=AT)

    with committed(), Heartbeat(attempt, clock=lambda: AT) as heartbeat:
        runner._perform(attempt, heartbeat, when_publishing(redis_away))
    redis_away(back=True)

    run.refresh_from_db()
    assert (run.status, fresh(version).is_ready) == ("succeeded", True)
    assert online(version, DRIVERS, at=AT) == offline(version, DRIVERS, at=AT)


def test_with_redis_down_for_long_the_run_fails(version, redis_away):
    run = ask(version)
    redis_away()
    for _ in range(ending.MAX_ATTEMPTS - 1):
        with pytest.raises(RedisUnreachable):
            perform(run)

    perform(run)

    assert (run.status, run.error_code) == ("failed", "redis_unreachable")


def test_rows_of_a_run_that_could_not_load_come_with_the_next_run(version, sources, redis_away):
    materialize(version, end=AT - 6 * HOUR)
    lost = ask(version, end=AT - 2 * HOUR)
    MaterializationRun.objects.filter(pk=lost.pk).update(attempt=ending.MAX_ATTEMPTS - 1)
    redis_away()
    assert perform(lost).status == "failed"
    redis_away(back=True)

    materialize(version, end=AT)

    assert online(version, DRIVERS, at=AT)["avg_daily_trips"] == [11, 20, 30, None]


def test_a_redis_emptied_while_loading_is_not_marked_loaded(version):
    run = ask(version)
    attempt = runner.claim(run.pk, worker="a", at=AT)

    class Emptied(Heartbeat):
        """Loses Redis when the first batch of the load asks whether to go on."""

        @property
        def stopped(self):
            get_redis().flushall()
            return super().stopped

    with pytest.raises(loading.StoreEmptied), Emptied(attempt, clock=lambda: AT) as heartbeat:
        runner._perform(attempt, heartbeat, lambda: AT)

    assert marker(version) is None
    assert not fresh(version).is_ready
