"""Workers that die between the commit of a window and its record: no value is told two ways."""

from __future__ import annotations

from datetime import timedelta

import pytest

from materialization.models import MaterializationRun, StoredWindow
from materialization.queries import coverage
from materialization.requests.sweep import sweep
from materialization.runner import ending, storing
from materialization.runner import run as runner
from materialization.runner.heartbeat import Heartbeat
from tests import factories
from tests.factories import make_version
from tests.materialization.run_world import (
    AT,
    HOUR,
    ask,
    committed,
    fresh,
    materialize,
    nothing_recorded,
    offline,
    online,
    perform,
    table_of,
    write_rows,
)
from tests.oracle import latest_known

pytestmark = pytest.mark.django_db

ONE, TWO = {"driver_id": [1001]}, {"driver_id": [1001, 1002]}
EARLY = (1001, AT - 9 * HOUR, AT - 9 * HOUR, 0.5, 10)
#: In the source when the worker that dies reads it, and taken out before the next one does.
BRIEF = (1001, AT - 4 * HOUR, AT - 4 * HOUR, 0.25, 999)
#: Of another driver: nothing newer covers up what is told of the first.
LATE = (1002, AT - 2 * HOUR, AT - 2 * HOUR, 0.75, 5)
TICKS = (
    factories.ENTITY
    + "\n---\n"
    + factories.SOURCE
    + """
---
kind: FeatureView
name: driver_hourly
entities: [driver]
source: driver_stats
aggregations:
  - {column: avg_daily_trips, functions: [sum, count], windows: [3h]}
features:
  - {name: avg_daily_trips_sum_3h, type: int64}
  - {name: avg_daily_trips_count_3h, type: int64}
schedule: {every: 1h}
owner: rides
"""
)


def die_after_commit(version, *, end) -> MaterializationRun:
    """Leave what a worker leaves that commits and dies, three times: rows, and no record."""
    run = ask(version, end=end, at=end)
    attempt = runner.claim(run.pk, worker="a", at=end)
    assert attempt is not None
    with nothing_recorded(), Heartbeat(attempt, clock=lambda: end) as heartbeat:
        storing.store_missing(attempt, heartbeat)
    MaterializationRun.objects.filter(pk=run.pk).update(
        attempt=ending.MAX_ATTEMPTS, lease_expires_at=end
    )
    sweep(at=end + timedelta(seconds=1))
    run.refresh_from_db()
    assert (run.status, run.error_code) == ("errored", "worker_died")
    return run


def covered(version) -> list[tuple]:
    return [tuple(window) for window in coverage(table_of(version))]


@pytest.fixture
def started(cast, sources, request):
    """A version materialized until five hours ago, then a run that died after its commit."""
    write_rows(sources, [EARLY])
    with committed():
        version = make_version(cast, text=request.param)
        materialize(version, end=AT - 5 * HOUR)
    write_rows(sources, [EARLY, BRIEF])
    with committed():
        die_after_commit(version, end=AT - 3 * HOUR)
    write_rows(sources, [EARLY, LATE])
    return fresh(version)


@pytest.mark.parametrize("started", [factories.DEFINITIONS], indirect=True)
def test_rows_of_a_view_stay_what_was_served(started):
    with committed():
        run = materialize(started)

    assert run.status == "succeeded"
    assert covered(started) == [(None, AT)]
    assert online(started, TWO, at=AT) == offline(started, TWO, at=AT)
    assert online(started, TWO, at=AT)["avg_daily_trips"] == [999, 5]
    stored = [stored_row(number, *values) for number, values in enumerate([EARLY, BRIEF, LATE])]
    for hours in range(9, -1, -1):
        at = AT - hours * HOUR
        expected = [latest_known(stored, {"driver_id": key}, at) for key in TWO["driver_id"]]
        found = offline(started, TWO, at=at)["avg_daily_trips"]
        assert found == [row and row["trips"] for row in expected], at


def stored_row(number, driver, event, created, _, trips):
    stamps = {"event_timestamp": event, "created_timestamp": created, "__sequence": number}
    return {"driver_id": driver, "trips": trips, **stamps}


@pytest.mark.parametrize("started", [TICKS], indirect=True)
def test_ticks_are_computed_after_those_that_were_committed(started):
    with committed():
        run = materialize(started)

    assert run.status == "succeeded"
    assert covered(started) == [(None, AT)]
    assert online(started, TWO, at=AT) == offline(started, TWO, at=AT)
    for hours in range(8, -1, -1):
        at = AT - hours * HOUR
        # The ticks until three hours ago saw the brief row, those after do not.
        source = [EARLY, BRIEF] if hours >= 3 else [EARLY, LATE]
        expected = [trips_at(source, driver, at) for driver in TWO["driver_id"]]
        assert offline(started, TWO, at=at)["avg_daily_trips_sum_3h"] == expected, at


def trips_at(source, driver, at):
    inside = [n for key, event, *_, n in source if key == driver and at - 3 * HOUR < event <= at]
    return sum(inside) if inside else None


@pytest.mark.parametrize("started", [factories.DEFINITIONS], indirect=True)
def test_a_reload_loads_what_was_committed_and_so_do_later_runs(started):
    """The brief row is the newest there is: nothing later stands in for it."""
    with committed():
        reload = perform(ask(started, end=AT - 5 * HOUR, at=AT), at=AT)

    assert (reload.kind, reload.status) == ("reload", "succeeded")
    assert covered(started) == [(None, AT - 3 * HOUR)]
    assert online(started, ONE, at=AT - 3 * HOUR)["avg_daily_trips"] == [999]

    with committed():
        materialize(started, end=AT - 2.5 * HOUR)
    at = AT - 2.5 * HOUR
    assert online(started, ONE, at=at) == offline(started, ONE, at=at)
    assert online(started, ONE, at=at)["avg_daily_trips"] == [999]


@pytest.mark.parametrize("started", [factories.DEFINITIONS], indirect=True)
def test_adopting_twice_records_once(started):
    storing.adopt_windows(table_of(started))
    before = list(StoredWindow.objects.values_list("run", "window_end"))
    storing.adopt_windows(table_of(started))

    assert list(StoredWindow.objects.values_list("run", "window_end")) == before
    (row,) = StoredWindow.objects.select_related("run")
    assert (row.run.error_code, row.run.sequence, row.earlier_sequence) == ("worker_died", 2, 1)


def test_a_run_that_committed_nothing_is_not_taken_for_stored(version, sources):
    with committed():
        materialize(version, end=AT - 6 * HOUR)
    (sources / "driver_stats.parquet").rename(sources / "away.parquet")
    with committed():
        assert materialize(version, end=AT - 3 * HOUR).status == "failed"

    storing.adopt_windows(table_of(version))

    assert covered(version) == [(None, AT - 6 * HOUR)]
