"""Random schedules of everything that happens to runs: a few, or as many as there is time for.

``make soak`` sets ``SOAK_MINUTES`` and tells on the screen how far it is. A schedule that fails is
shortened and printed as the steps of a test, with the line that repeats it.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase, seed
from hypothesis import settings as hypothesis_settings
from hypothesis.internal.conjecture.engine import ConjectureRunner
from hypothesis.stateful import run_state_machine_as_test

from materialization.models import MaterializationRun
from materialization.requests.sweep import sweep
from tests.materialization.soak.schedules import Schedules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.django_db

#: About two seconds of one processor each, on each database others. Half of a schedule's time goes
#: to its rests, of which it has one at its end, and a third to the engine's processes. For a soak
#: longer ones.
SCHEDULES, STEPS, LONG = 30, 12, 25
MINUTES = float(os.environ.get("SOAK_MINUTES", "0"))
#: So many times the schedules, for as many processes as there are.
PARTS = 1 if MINUTES else 4


class Told:
    """What of a long soak is told on the screen: how much was done, and what became of it."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys, self._began = capsys, time.monotonic()
        self.schedules = self.steps = 0
        self._ends: Counter[str] = Counter()

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self._began) / 60

    def note(self, schedule: Schedules) -> None:
        self.schedules += 1
        self.steps += schedule.steps
        self._ends.update(MaterializationRun.objects.values_list("status", flat=True))
        if MINUTES and self.schedules % 10 == 0:
            ends = ", ".join(f"{count} {end}" for end, count in sorted(self._ends.items()))
            done = f"{self.schedules} schedules, {self.steps} steps"
            with self._capsys.disabled():  # noqa: T201 - somebody watches
                print(f"{self.minutes:6.1f} min: {done}; runs: {ends}", flush=True)


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    return Told(capsys)


@pytest.fixture
def unexpected(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What sweeps meet that none of their duties foresees: they log it and go on."""
    found: list[str] = []
    caplog.set_level("CRITICAL")  # what fails is to be; the schedule alone is to be seen
    handler = logging.Handler()
    handler.emit = lambda record: found.append(handler.format(record))  # type: ignore[method-assign]
    logger = logging.getLogger(sweep.__module__)
    caplog.set_level("ERROR", logger=logger.name)
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


@pytest.fixture
def machine(
    cast: Any, settings: Any, tmp_path: Path, told: Told, unexpected: list[str]
) -> type[Schedules]:
    """The machine of one project, whose schedules are undone whole, one after the other."""
    settings.LOCK_ORDER_CHECKED = False  # each is one transaction: the locks of its steps add up
    settings.COMPARE_EVERY_SECONDS = 0
    settings.COMPARE_ROWS_PER_SECOND = 100_000_000
    settings.FILES_KEPT_HOURS = 1
    settings.ONLINE_WRITE_PERCENT = 100
    settings.PLAN_CONFIRM_SECONDS = 0

    class OfProject(Schedules):
        redis_url = settings.REDIS_URL

        def teardown(self) -> None:
            try:
                super().teardown()
            finally:
                shutil.rmtree(settings.OFFLINE_STORE, ignore_errors=True)

    OfProject.cast, OfProject.folder, OfProject.done = cast, tmp_path / "sources", told.note
    OfProject.unexpected = unexpected
    return OfProject


@pytest.fixture
def _each_new(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw each schedule anew: half of them would else repeat parts of the one before."""
    monkeypatch.setattr(ConjectureRunner, "generate_mutations_from", lambda runner, data: None)


@pytest.mark.usefixtures("_each_new")
@pytest.mark.parametrize("part", range(PARTS))
def test_both_stores_hold_what_was_given_whatever_happens(machine, told, part):
    drawn = hypothesis_settings(
        max_examples=SCHEDULES,
        stateful_step_count=LONG if MINUTES else STEPS,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        phases=[Phase.generate, *([Phase.shrink] if MINUTES else [])],
        suppress_health_check=list(HealthCheck),
    )
    if not MINUTES:  # the same each time; those that nobody has seen are for a soak
        seed(f"{connection.vendor} {part}")(machine)
    run_state_machine_as_test(machine, settings=drawn)
    while told.minutes < MINUTES:
        run_state_machine_as_test(machine, settings=drawn)
