"""The point a run passes once: a cancel before it leaves no trace, one after it is refused."""

from __future__ import annotations

import pytest

from lib.connections import RedisUnreachable
from materialization.models import MaterializationRun
from materialization.requests.cancelling import RunPublishing, cancel_run
from materialization.runner import run as runner
from materialization.runner.heartbeat import Heartbeat, LeaseLost, RunCancelled
from tests.factories import verbs_of
from tests.materialization.run_world import (
    AT,
    DRIVERS,
    ask,
    fresh,
    marker,
    offline,
    online,
    perform,
    snapshot,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def attempt(version):
    return runner.claim(ask(version).pk, worker="a", at=AT)


def test_what_was_cancelled_does_not_begin(cast, attempt):
    with Heartbeat(attempt, clock=lambda: AT) as heartbeat:
        cancel_run(run=attempt, actor=cast.operator, at=AT)

        with pytest.raises(RunCancelled):
            heartbeat.begin_publishing()


def test_what_another_attempt_has_does_not_begin(attempt):
    MaterializationRun.objects.filter(pk=attempt.pk).update(attempt=attempt.attempt + 1)

    with Heartbeat(attempt, clock=lambda: AT) as heartbeat, pytest.raises(LeaseLost):
        heartbeat.begin_publishing()


def test_what_has_begun_is_not_cancelled(cast, version, attempt):
    with Heartbeat(attempt, clock=lambda: AT) as heartbeat:
        heartbeat.begin_publishing()
        with pytest.raises(RunPublishing, match="ends by itself"):
            cancel_run(run=attempt, actor=cast.operator, at=AT)
        runner._perform(attempt, heartbeat, lambda: AT)

    attempt.refresh_from_db()
    assert attempt.status == "succeeded"
    assert verbs_of(attempt) == ["requested", "succeeded"]


def test_a_run_that_waits_to_load_what_it_stored_is_not_cancelled(cast, version, settings):
    """Training sets have its rows already; online they follow."""
    run, here = ask(version), settings.REDIS_URL
    settings.REDIS_URL = "unix:///nowhere/redis.sock"
    with pytest.raises(RedisUnreachable):
        perform(run)
    run.refresh_from_db()
    assert (run.status, snapshot(version).rows) == ("queued", 4)

    with pytest.raises(RunPublishing):
        cancel_run(run=run, actor=cast.operator, at=AT)

    settings.REDIS_URL = here
    assert perform(run).status == "succeeded"
    assert online(version, DRIVERS, at=AT) == offline(version, DRIVERS, at=AT)


def test_a_reload_that_was_cancelled_loads_nothing(cast, version, online_redis):
    assert perform(ask(version)).status == "succeeded"
    online_redis.flushall()
    attempt = runner.claim(ask(version).pk, worker="a", at=AT)
    cancel_run(run=attempt, actor=cast.operator, at=AT)
    MaterializationRun.objects.filter(pk=attempt.pk).update(status="queued")

    assert perform(attempt).status == "cancelled"
    assert (marker(version), online_redis.keys(b"r*")) == (None, [])
    assert fresh(version).is_ready
