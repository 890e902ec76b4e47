"""What happens to processes, clocks and Redis, at rest and in the middle of a worker's work."""

from __future__ import annotations

from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule

from lib.connections import get_redis
from lib.errors import Conflict
from materialization.choices import LIVE_STATUSES
from materialization.models import MaterializationRun
from materialization.requests.cancelling import cancel_run
from materialization.requests.pausing import pause_run
from tests.materialization.run_world import committed, fresh
from tests.materialization.soak.faults import Backup, killed_at, meanwhile
from tests.materialization.soak.people import People
from tests.materialization.soak.sources import Sources, places
from tests.materialization.soak.world import MINUTE

if TYPE_CHECKING:
    from collections.abc import Callable

#: What happens to whoever works, once it has asked the database so often.
Disturbance = AbstractContextManager[None]


class Machines(Sources, People):
    redis_url: str
    backup: Backup | None = None

    @property
    def store(self) -> Path:
        return Path(settings.OFFLINE_STORE)

    @rule(minutes=st.sampled_from([1, 30, 61, 61, 150]))
    def time_passes(self, minutes: int) -> None:
        self.world.pass_time(minutes * MINUTE)

    @rule(minutes=st.sampled_from([1, 20, 70]))
    def the_clock_is_set_back(self, minutes: int) -> None:
        self.world.pass_time(-minutes * MINUTE)

    @rule()
    def the_sweep_comes(self) -> None:
        self.world.sweep()

    @rule(number=st.integers(0, 60))
    def the_sweep_dies(self, number: int) -> None:
        with killed_at(number, self.store):
            self.world.sweep()

    @rule(which=places)
    def a_worker_works(self, which: int) -> None:
        if (run := self._some_run(which)) is not None:
            self.world.work(run)

    def _some_run(self, which: int) -> MaterializationRun | None:
        """Return a run that waits; where none does somebody asks for one, if they may."""
        if not self.world.queued():
            self.somebody_asks(which)
        queued = self.world.queued()
        return queued[which % len(queued)] if queued else None

    @rule(which=places, number=st.integers(0, 70), what=st.sampled_from(["killed", "zombie"]))
    def a_worker_dies(self, which: int, number: int, what: str) -> None:
        self._disturb(which, number, what)

    @rule(
        which=places,
        number=st.integers(0, 70),
        what=st.sampled_from(
            ["twice", "swept", "paused", "cancelled", "source", "emptied", "older", "away", "full"]
        ),
    )
    def a_worker_is_disturbed(self, which: int, number: int, what: str) -> None:
        self._disturb(which, number, what)

    def _disturb(self, which: int, number: int, what: str) -> None:
        if (run := self._some_run(which)) is None:
            return
        disturbances: dict[str, Callable[[], Disturbance]] = {
            "killed": lambda: killed_at(number, self.store),
            "zombie": lambda: meanwhile(number, self._its_lease_passes),
            "twice": lambda: meanwhile(number, lambda: self._work_again(run)),
            "swept": lambda: meanwhile(number, self.world.sweep),
            "paused": lambda: meanwhile(number, lambda: self.decide_on(pause_run, run)),
            "cancelled": lambda: meanwhile(number, lambda: self.decide_on(cancel_run, run)),
            "source": lambda: meanwhile(
                number, lambda: self.a_row_is_corrected(number, 4), others=False
            ),
            "emptied": lambda: meanwhile(number, self.redis_is_emptied, others=False),
            "older": lambda: meanwhile(number, self.redis_comes_back_older, others=False),
            "away": lambda: meanwhile(number, self._redis_goes, others=False),
            "full": lambda: meanwhile(number, self._redis_is_full, others=False),
        }
        try:
            with disturbances[what]():
                self.world.work(run, disturbed=True)
        finally:
            self.put_redis_right()

    def _its_lease_passes(self) -> None:
        """Let others do the work of one that sleeps, and will wake."""
        self.world.pass_lease()
        self.world.sweep()
        self.world.drain()

    def _work_again(self, run: MaterializationRun) -> None:
        self.world.work(MaterializationRun.objects.get(pk=run.pk), disturbed=True)

    def decide_on(self, decision: Callable[..., Any], run: MaterializationRun) -> None:
        now = MaterializationRun.objects.get(pk=run.pk)
        with committed(), suppress(Conflict):
            decision(run=now, actor=self.world.cast.operator, at=self.world.now)

    @rule()
    def redis_is_emptied(self) -> None:
        get_redis().flushall()

    @rule()
    def redis_is_saved(self) -> None:
        self.backup = Backup()

    @rule()
    def redis_comes_back_older(self) -> None:
        if self.backup is not None:
            self.backup.restore()

    @rule()
    def redis_is_lost_and_rebuilt(self) -> None:
        """Nobody else works meanwhile: of whoever died, the lease would have to pass first."""
        self.world.drain()
        if MaterializationRun.objects.filter(status__in=LIVE_STATUSES).exists():
            return
        get_redis().flushall()
        self.world.rebuild_online()
        for served in self.world.served:
            if fresh(served.version).is_ready:
                assert self.world.read(served, self.world.now) is not None

    def _redis_goes(self) -> None:
        settings.REDIS_URL = "unix:///nowhere/redis.sock"

    def _redis_is_full(self) -> None:
        get_redis().config_set("maxmemory", 1)

    def put_redis_right(self) -> None:
        settings.REDIS_URL = self.redis_url
        get_redis().config_set("maxmemory", 0)

    @rule()
    def tables_are_cared_for(self) -> None:
        self.world.care()

    @rule(number=st.integers(0, 30))
    def who_cares_for_tables_dies(self, number: int) -> None:
        with killed_at(number, self.store):
            self.world.care()
