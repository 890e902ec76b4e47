"""What people ask for and decide on; what is refused, is."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from lib.errors import Conflict, Invalid
from materialization.choices import UNFINISHED_STATUSES
from materialization.models import MaterializationRun, Quarantine
from materialization.requests.cancelling import cancel_run
from materialization.requests.pausing import pause_run, resume_run
from materialization.requests.quarantine import discard_rows, release_rows
from materialization.requests.recomputing import request_backfill
from materialization.requests.runs import request_run
from registry.operations.lifecycle.releases import retire_version
from tests.materialization.run_world import HOUR, committed, fresh
from tests.materialization.soak.sources import places
from tests.materialization.soak.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.models import FeatureViewVersion


class People(RuleBasedStateMachine):
    world: World

    @rule(which=places, ago=st.sampled_from([0, 0, 1, 3]))
    def a_run_is_asked_for(self, which: int, ago: int) -> None:
        self._ask(request_run, version=self._version(which), window_end=self.world.now - ago * HOUR)

    @rule(which=places, ago=st.sampled_from([1, 3, 8]))
    def a_run_from_some_time_on_is_asked_for(self, which: int, ago: int) -> None:
        now = self.world.now
        self._ask(
            request_run, version=self._version(which), window_start=now - ago * HOUR, window_end=now
        )

    @rule(which=places, start=st.sampled_from([None, 8, 4]), end=st.sampled_from([None, None, 2]))
    def a_backfill_is_asked_for(self, which: int, start: int | None, end: int | None) -> None:
        at = [None if each is None else self.world.now - each * HOUR for each in (start, end)]
        self._ask(request_backfill, version=self._version(which), start=at[0], end=at[1])

    def somebody_asks(self, which: int) -> None:
        """Ask for one thing or another; for a run of rows that have come, more often than not."""
        which, what = divmod(which, 4)
        if what == 0:
            self.a_backfill_is_asked_for(which, None, None)
        elif what == 1:
            self.a_run_from_some_time_on_is_asked_for(which, 3)
        else:
            self.a_run_is_asked_for(which, 0)

    def _ask(self, request: Callable[..., Any], **asked: Any) -> None:
        with committed(), suppress(Conflict, Invalid):
            request(**asked, at=self.world.now, actor=self.world.cast.operator)

    @rule(which=places)
    def a_run_is_paused(self, which: int) -> None:
        self._decide(pause_run, which)

    @rule(which=places)
    def a_run_goes_on(self, which: int) -> None:
        self._decide(resume_run, which)

    @rule(which=places)
    def a_run_is_cancelled(self, which: int) -> None:
        self._decide(cancel_run, which)

    def _decide(self, decision: Callable[..., Any], which: int) -> None:
        runs = list(
            MaterializationRun.objects.filter(status__in=UNFINISHED_STATUSES).order_by("id")
        )
        if runs:
            with committed(), suppress(Conflict):
                decision(
                    run=runs[which % len(runs)], actor=self.world.cast.operator, at=self.world.now
                )

    @rule(release=st.booleans())
    def refused_rows_are_decided_on(self, release: bool) -> None:
        held = Quarantine.objects.filter(state="held").order_by("id").first()
        if held is None:
            return
        decide = release_rows if release else discard_rows
        with committed(), suppress(Conflict):
            decide(quarantine=held, actor=self.world.cast.steward, reason="seen", at=self.world.now)

    @precondition(lambda self: len(self.world.served) < 3)
    @rule(ticks=st.booleans(), more=st.booleans())
    def a_version_is_approved(self, ticks: bool, more: bool) -> None:
        self.world.approve(ticks=ticks if self.world.has(ticks=ticks) else not ticks, more=more)

    @precondition(lambda self: len(self.world.served) > 1)
    @rule()
    def the_oldest_version_is_retired(self) -> None:
        oldest = self.world.served.pop(0)
        with committed():
            retire_version(
                version=fresh(oldest.version),
                actor=self.world.cast.steward,
                at=self.world.now,
                comment="old",
                force=True,
            )

    def _version(self, which: int) -> FeatureViewVersion:
        return fresh(self.world.served[which % len(self.world.served)].version)
