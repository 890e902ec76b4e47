"""What the sweep and a run's start cost: the same for one version or many, after a day or years."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from lib.connections import get_redis
from materialization.edges.stores import online_store
from materialization.models import (
    MaterializationRun,
    MaterializationSchedule,
    StoredWindow,
    TableCare,
)
from materialization.queries import coverage, standings
from materialization.requests import due, history, reloads, sweep
from materialization.requests.runs import request_run
from materialization.runner.adopting import adopt_windows
from materialization.runner.loading import holds_all
from materialization.runner.recording import note_windows
from materialization.windows import Window
from tests.factories import DEFINITIONS, make_version
from tests.materialization.histories import lived, past_runs
from tests.materialization.run_world import AT, HOUR, committed, table_of

if TYPE_CHECKING:
    from registry.models import FeatureViewVersion

pytestmark = pytest.mark.django_db
YEAR = 24 * 365
MINUTE = HOUR / 60


class Cost(NamedTuple):
    """``steps`` of the database's machine, SQLite only: they grow with the rows it looks at."""

    queries: int
    steps: int
    commands: int


def cost_of(act: Callable[[], object]) -> Cost:
    """Return what doing it takes once it takes the same twice.

    What is compiled, closed or cleaned up once, in this process or Redis, is not counted.
    """
    cost = taken(act)
    for _ in range(5):
        before, cost = cost, taken(act)
        if cost[::2] == before[::2]:
            break
    return cost


def taken(act: Callable[[], object]) -> Cost:
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    before = get_redis().info("stats")["total_commands_processed"]
    with CaptureQueriesContext(connection) as asked:
        if connection.vendor == "sqlite":
            connection.connection.set_progress_handler(count, 1)
        try:
            act()
        finally:
            if connection.vendor == "sqlite":
                connection.connection.set_progress_handler(None, 0)
    commands = get_redis().info("stats")["total_commands_processed"] - before
    return Cost(len(asked), steps, commands)


def view(cast, number: int) -> FeatureViewVersion:
    text = DEFINITIONS.replace("name: driver_hourly", f"name: driver_hourly_{number}")
    with committed():
        return make_version(cast, text=text)


def sweep_idly() -> None:
    before = MaterializationRun.objects.count()
    for duty in sweep.DUTIES:
        duty(at=AT + MINUTE)
    assert MaterializationRun.objects.count() == before


def test_a_sweep_asks_as_often_for_fifty_versions_as_for_one(cast):
    lived(view(cast, 0), 3)
    one = cost_of(sweep_idly)
    for number in range(1, 50):
        lived(view(cast, number), 3)

    fifty = cost_of(sweep_idly)

    assert MaterializationSchedule.objects.count() == 50
    assert (fifty.queries, fifty.commands) == (one.queries, one.commands)


def test_a_sweep_asks_as_often_when_all_have_failed(cast):
    """Those that rest, and those whose values are out while loading rests."""

    def failing(number: int) -> None:
        version = view(cast, number)
        lived(version, 3)
        get_redis().flushall()
        past_runs(version, 12, status="failed", step="online", failures=12, retry_at=AT + HOUR)

    failing(0)
    one = cost_of(sweep_idly)
    failing(1)

    assert cost_of(sweep_idly)[::2] == one[::2]


WORK: dict[str, Callable[[FeatureViewVersion], object]] = {
    "coverage": lambda version: coverage(table_of(version)),
    "standings": lambda version: standings([table_of(version).pk]),
    "due": lambda version: due.start_due(at=AT + MINUTE),
    "reloads": lambda version: reloads.reload_missing(at=AT + MINUTE),
    "the whole sweep": lambda version: sweep_idly(),
    "a run's start": lambda version: adopt_windows(table_of(version)),
    "a run's record": lambda version: note_windows(last_stored(version), [Window(None, AT)]),
    "a run's load": lambda version: holds_all(
        table_of(version), online_store().marker(table_of(version).uid), None, but=1
    ),
    "what expires": lambda version: look_for_old(),
    "a request": lambda version: request_and_forget(version),
}


def last_stored(version: FeatureViewVersion) -> MaterializationRun:
    return StoredWindow.objects.select_related("run").get(table=version.table).run


def look_for_old() -> None:
    """Look at the tables' old runs, as each day's first sweep does."""
    TableCare.objects.update(runs_seen_at=None)
    history.expire_runs(at=AT + MINUTE)
    assert TableCare.objects.get().runs_seen_at == AT + MINUTE


def request_and_forget(version: FeatureViewVersion) -> None:
    with transaction.atomic():
        request_run(version=version, window_end=AT, at=AT, actor=None)
        transaction.set_rollback(True)


def costs(version: FeatureViewVersion) -> dict[str, Cost]:
    return {name: cost_of(partial(work, version)) for name, work in WORK.items()}


@pytest.mark.parametrize("years", ["of success", "of failed checks"])
def test_it_costs_the_same_after_a_year_as_after_a_day(cast, years):
    version = view(cast, 0)
    lived(version, 3)
    sweep_idly()
    past_runs(version, 21, status="failed", step="reading", publishing=False)
    day = costs(version)

    if years == "of success":
        lived(version, YEAR)
    else:
        past_runs(version, YEAR, status="failed", step="reading", publishing=False)

    year = costs(version)
    assert StoredWindow.objects.count() == 1
    assert {n: c._replace(steps=0) for n, c in year.items()} == {
        n: c._replace(steps=0) for n, c in day.items()
    }
    assert {n: c.steps for n, c in year.items() if c.steps > 1.2 * day[n].steps} == {}


def test_years_of_runs_become_those_that_are_kept(cast, settings):
    settings.HISTORY_DAYS = 30
    version = view(cast, 0)
    lived(version, YEAR // 2)
    past_runs(version, YEAR // 2, status="failed", step="reading", publishing=False)
    before = TableCare.objects.get().stored_version, coverage(table_of(version))

    for _ in range(9):
        history.expire_runs(at=AT + MINUTE)

    hours = 30 * 24
    assert MaterializationRun.objects.count() == 2 * hours
    care = TableCare.objects.get()
    assert care.runs_expired == YEAR - 2 * hours
    assert care.runs_seen_at == AT + MINUTE
    assert (care.stored_version, coverage(table_of(version))) == before
