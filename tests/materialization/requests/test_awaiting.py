"""Waiting for runs: until all have ended, for no longer than said, and what failed is told."""

from __future__ import annotations

import pytest

from materialization.requests.awaiting import RunFailed, await_end
from tests.factories import make_version
from tests.materialization.run_world import AT, HOUR, ROWS, ask, perform, write_rows

pytestmark = pytest.mark.django_db


class Clock:
    """Time that passes only while somebody sleeps, and what happens meanwhile."""

    def __init__(self, *happens) -> None:
        self.now, self._happens = 0.0, list(happens)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self._happens:
            self._happens.pop(0)()


def wait(run, clock, seconds=5.0):
    return await_end([run], seconds=seconds, clock=clock, sleep=clock.sleep)


def test_it_returns_as_soon_as_all_have_ended(cast, sources, storage, online_redis):
    write_rows(sources, ROWS)
    run = ask(make_version(cast), end=AT - HOUR)
    clock = Clock(lambda: None, lambda: perform(run))

    assert wait(run, clock)
    assert clock.now == 0.5
    run.refresh_from_db()
    assert run.status == "succeeded"


def test_it_gives_up_after_its_seconds(cast):
    clock = Clock()

    assert not wait(ask(make_version(cast)), clock)
    assert clock.now == 5.0


def test_what_did_not_succeed_is_told_with_its_reason(cast, sources, storage, online_redis):
    run = ask(make_version(cast))

    with pytest.raises(
        RunFailed, match=rf"run {run.pk} of driver_hourly@1.0.0 failed: .+\."
    ) as told:
        wait(run, Clock(lambda: perform(run)))

    assert told.value.data["runs"] == [run.pk]
