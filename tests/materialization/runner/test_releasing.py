"""Releasing refused rows: in chunks, of ticks, and by workers that are killed anywhere."""

from __future__ import annotations

from datetime import timedelta

import pytest

from materialization.models import Baseline, MaterializationRun, ProfileSpan, Quarantine
from materialization.quality.stored_profiles import neighbours
from materialization.queries import coverage
from materialization.requests.baselines import record_baselines
from materialization.requests.profile_keeping import merge_old_profiles
from materialization.requests.quarantine import release_rows
from materialization.requests.sweep import sweep
from materialization.runner import run as runner
from tests.factories import AT, make_version
from tests.materialization.run_world import (
    HOUR,
    committed,
    fresh,
    materialize,
    perform,
    table_of,
    write_rows,
)
from tests.materialization.runner.test_adopting import TICKS
from tests.materialization.runner.test_chunks import (
    HISTORY,
    STRICT,
    Killed,
    equals_the_source,
    killed_at,
    profiled,
    stored,
    ticks,
)

pytestmark = pytest.mark.django_db


def release(who, at=AT) -> MaterializationRun:
    held = Quarantine.objects.get(state="held")
    with committed():
        return release_rows(quarantine=held, actor=who, reason="seen", at=at)


@pytest.fixture
def blocked(cast, sources, settings):
    """A version whose history was stored in chunks up to the last, which a check refused."""
    settings.RUN_CHUNK_ROWS = 5
    write_rows(sources, HISTORY)
    with committed():
        version = make_version(cast, text=STRICT)
        assert materialize(version).error_code == "checks_failed"
    return version


def test_a_refused_chunk_is_released_behind_those_that_are_stored(blocked, cast):
    held = Quarantine.objects.get()
    assert (held.rows, len(stored(blocked))) == (4, 12)
    assert held.window_start == coverage(table_of(blocked))[0].end

    with committed():
        run = perform(release(cast.steward))

    assert run.status == "succeeded", (run.error, run.traceback)
    assert [tuple(each) for each in coverage(table_of(blocked))] == [(None, AT)]
    assert fresh(blocked).is_ready is True
    equals_the_source(blocked)
    # What the baseline is of: both runs' rows, and not those that were refused in the first.
    assert profiled(run) == (4, 12, 15)
    record_baselines(at=AT)
    (baseline,) = Baseline.objects.all()
    assert (baseline.rows, baseline.runs) == (16, 2)
    trips = next(each for each in baseline.profile["columns"] if each["name"] == "avg_daily_trips")
    assert (trips["min"], trips["max"]) == (0, 15)


def test_what_a_refused_run_had_stored_is_merged_with_its_day(blocked, cast, settings, sources):
    write_rows(sources, [*HISTORY, (1001, AT + HOUR, AT + HOUR, 0.5, 1)])
    with committed():
        assert perform(release(cast.steward)).status == "succeeded"
        latest = materialize(blocked, end=AT + HOUR)
    assert latest.rows_offline == 1
    # A release is what checks refused: nothing is compared with it.
    assert list(neighbours(blocked.table)) == [latest, Quarantine.objects.get().run]

    merge_old_profiles(at=AT + timedelta(days=settings.PROFILE_RUN_DAYS + 1))

    (span,) = ProfileSpan.objects.all()  # the latest stays: the next run is compared with it
    assert (span.runs, span.rows) == (2, 16)
    trips = next(each for each in span.profile["columns"] if each["name"] == "avg_daily_trips")
    assert (trips["min"], trips["max"]) == (0, 15)


@pytest.mark.parametrize("first", range(7))
def test_a_release_whose_worker_is_killed_anywhere_is_done_once(blocked, cast, settings, first):
    run = release(cast.steward)
    try:
        with committed():
            runner.run(run_id=run.pk, worker="worker-1", clock=killed_at(first))
        died = False
    except Killed:
        died = True
        with committed():
            sweep(at=AT + timedelta(seconds=settings.RUN_LEASE_SECONDS + 1))
            perform(run)

    run.refresh_from_db()
    assert run.status == "succeeded", (run.error, run.traceback)
    assert died or first > 2
    assert Quarantine.objects.get().state == "released"
    assert [tuple(each) for each in coverage(table_of(blocked))] == [(None, AT)]
    equals_the_source(blocked)


def test_ticks_that_were_released_are_continued_from(cast, sources):
    checked = TICKS.replace("_sum_3h, type: int64}", "_sum_3h, type: int64, checks: {max: 12}}")
    found = []
    for view, text in (("driver_hourly", TICKS), ("driver_strict", checked)):
        write_rows(sources, HISTORY)
        with committed():
            version = make_version(cast, text=text.replace("driver_hourly", view))
            first = materialize(version, end=AT - 60 * HOUR, at=AT - 60 * HOUR)
            second = materialize(version)
            if second.status == "failed":
                second = perform(release(cast.steward))
            third = materialize(version, end=AT + 2 * HOUR, at=AT + 2 * HOUR)
        assert [each.status for each in (first, second, third)] == ["succeeded"] * 3, third.error
        found.append(ticks(version))

    assert second.kind == "release"
    assert found[0] == found[1]
