"""Recomputes that checks refused: what other runs store meanwhile makes nothing of them good."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from materialization.models import Alert, MaterializationRun, Quarantine
from materialization.repairs import repaired_by
from materialization.requests.quarantine import TicksWentOn, discard_rows, release_rows
from materialization.requests.recomputing import request_backfill
from materialization.requests.refused_rows import failing_rows
from tests.factories import DEFINITIONS, make_version
from tests.materialization.run_world import (
    AT,
    HOUR,
    committed,
    fresh,
    materialize,
    offline,
    online,
    perform,
    snapshot,
    write_rows,
)
from tests.materialization.runner.test_adopting import TICKS
from tests.materialization.runner.test_chunks import stored
from tests.materialization.runner.test_recomputing import (
    DRIVERS,
    LATER,
    UNSTAMPED,
    backfill,
    row,
    unfinished,
)

if TYPE_CHECKING:
    from registry.models import FeatureViewVersion
    from tests.factories import Cast

pytestmark = pytest.mark.django_db

CHECKED = UNSTAMPED.replace("type: int32,", "type: int32, checks: {max: 50},")
STAMPED = DEFINITIONS.replace("type: int32,", "type: int32, checks: {max: 50},")
STRICT_TICKS = TICKS.replace("_sum_3h, type: int64}", "_sum_3h, type: int64, checks: {max: 50}}")
OLD = [row(1001, 9, 1), row(1002, 8, 2), row(1003, 6, 4)]
NEW = row(1003, -1, 5)


def served(cast: Cast, text: str) -> FeatureViewVersion:
    with committed():
        version = make_version(cast, text=text)
        assert materialize(version).status == "succeeded"
    return version


def refused(cast: Cast, version: FeatureViewVersion) -> MaterializationRun:
    with committed():
        run = request_backfill(
            version=fresh(version), start=None, end=None, at=LATER, actor=cast.operator
        )
        assert perform(run, at=LATER).error_code == "checks_failed"
    return run


def is_told() -> bool:
    return Alert.objects.open().filter(kind="blocked").exists()


@pytest.fixture
def held(cast, sources, request):
    """What is held of a refused recompute: a correction, and a row of new time."""
    write_rows(sources, OLD)
    version = served(cast, getattr(request, "param", CHECKED))
    write_rows(sources, [OLD[0], row(1002, 8, 99), OLD[2], NEW])
    found = Quarantine.objects.get(run=refused(cast, version))
    write_rows(sources, [*OLD, NEW])
    return found


def scheduled(version: FeatureViewVersion) -> MaterializationRun:
    """The next scheduled run: it stores new time, which the held rows have too."""
    with committed():
        run = materialize(version, end=LATER + HOUR, at=LATER + HOUR)
    assert (run.kind, run.status, run.rows_offline) == ("incremental", "succeeded", 1)
    return run


def state(held: Quarantine) -> str:
    held.refresh_from_db()
    return held.state


@pytest.mark.parametrize("held", [CHECKED, STAMPED], indirect=True)
def test_a_scheduled_run_forgets_no_refused_recompute(cast, held):
    version = held.run.version

    scheduled(version)

    assert (state(held), is_told(), repaired_by(held.run)) == ("held", True, None)
    with committed():
        run = release_rows(quarantine=held, actor=cast.steward, reason="right", at=LATER + 2 * HOUR)
        perform(run, at=LATER + 2 * HOUR)
    assert (run.status, state(held), is_told()) == ("succeeded", "released", False)
    assert run.rows_offline == 1  # what was stored since is not stored once more
    assert run.source_counts == {"rows_stored": 1, "already_stored": 1}
    assert len(stored(version)) == len(OLD) + 2
    at = LATER + 2 * HOUR
    assert online(version, DRIVERS, at=at)["avg_daily_trips"] == [1, 99, 5]
    assert offline(version, DRIVERS, at=at) == online(version, DRIVERS, at=at)


def test_a_later_comparison_of_all_of_it_stands_in_its_place(cast, held):
    part = backfill(cast, held.run.version, start=AT - 7 * HOUR)
    assert (part.kind, state(held), repaired_by(held.run)) == ("recompute", "held", None)

    whole = backfill(cast, held.run.version)

    assert (state(held), held.ended_by, is_told()) == ("superseded", whole, False)


def test_of_two_that_are_held_of_one_time_one_is_released(cast, held, sources):
    write_rows(sources, [OLD[0], row(1002, 8, 98), OLD[2], NEW])
    with committed():
        part = request_backfill(
            version=fresh(held.run.version), start=None, end=AT, at=LATER, actor=cast.operator
        )
        assert perform(part, at=LATER).error_code == "checks_failed"
        second = Quarantine.objects.get(run=part)
        assert (state(held), second.window) == ("held", held.window)
        run = release_rows(quarantine=second, actor=cast.steward, reason="right", at=LATER)
        assert perform(run, at=LATER).status == "succeeded"

    assert (state(second), state(held), is_told()) == ("released", "held", True)


def test_what_a_comparison_did_not_come_to_stays_held(cast, held, sources, settings):
    settings.RUN_CHUNK_ROWS = 1
    write_rows(sources, [row(1001, 9, 10), *OLD[1:], NEW])

    run = unfinished(cast, held.run.version)

    assert run.status == "cancelled"
    assert (state(held), is_told()) == ("held", True)


def test_refused_rows_of_new_time_do_not_stand_in_their_place(cast, held, sources):
    write_rows(sources, [*OLD, row(1003, -1, 98)])
    with committed():
        blocked = materialize(held.run.version, end=LATER + HOUR, at=LATER + HOUR)
    assert blocked.error_code == "checks_failed"
    assert state(held) == "held"

    write_rows(sources, [*OLD, NEW])
    scheduled(held.run.version)
    assert (state(held), is_told()) == ("held", True)  # of two refusals one is left

    with committed():
        discard_rows(quarantine=held, actor=cast.steward, reason="wrong", at=LATER)
    assert not is_told()


@pytest.fixture
def ticks_held(cast, sources):
    """Corrections of ticks that a check refused, and nothing stored since."""
    write_rows(sources, [row(1001, 9, 1), row(1002, 8, 2), row(1002, 1, 3)])
    version = served(cast, STRICT_TICKS)
    write_rows(sources, [row(1001, 9, 99), row(1002, 8, 2), row(1002, 1, 3)])
    run = refused(cast, version)
    found = Quarantine.objects.get(run=run)
    assert (found.state, found.rows, stored_sums(version)) == ("held", 1, [1])
    assert "until a steward releases or discards them. They can be released until" in run.error
    return found


def stored_sums(version: FeatureViewVersion) -> list[int]:
    """Return the sums of 1001 as they are stored, but for windows that are empty."""
    rows = [row for file in snapshot(version).files for row in pq.read_table(file).to_pylist()]
    sums = [each["avg_daily_trips_sum_3h"] for each in rows if each["driver_id"] == 1001]
    return [each for each in sums if each]


def test_refused_corrections_of_ticks_are_listed_and_released(cast, ticks_held, sources):
    version = ticks_held.run.version
    [listed] = failing_rows(ticks_held, limit=10)
    assert (listed.keys, listed.values) == ({"driver_id": 1001}, {"avg_daily_trips_sum_3h": 99})

    with committed():
        run = release_rows(quarantine=ticks_held, actor=cast.steward, reason="right", at=LATER)
        perform(run, at=LATER)

    assert (run.status, run.rows_offline, state(ticks_held)) == ("succeeded", 1, "released")
    assert (repaired_by(ticks_held.run), is_told()) == (run, False)
    assert sorted(stored_sums(version)) == [1, 99]
    seven_hours_ago = AT - 7 * HOUR
    drivers = {"driver_id": [1001]}
    # By known timing what was served stays; the next comparison finds nothing else to correct.
    assert offline(version, drivers, at=seven_hours_ago)["avg_daily_trips_sum_3h"] == [1]
    again = backfill(cast, version)
    assert (again.source_counts["corrected"], again.source_counts["gone"]) == (0, 0)
    later = LATER + HOUR
    with committed():
        assert materialize(version, end=later, at=later).status == "succeeded"
    assert offline(version, DRIVERS, at=later) == online(version, DRIVERS, at=later)


def test_corrections_beneath_later_ticks_are_not_released(cast, ticks_held, sources):
    version, later = ticks_held.run.version, LATER + HOUR
    with committed():
        assert materialize(version, end=later, at=later).status == "succeeded"
    assert (state(ticks_held), is_told()) == ("held", True)

    with pytest.raises(TicksWentOn, match="turn the version's schedule off"):
        release_rows(quarantine=ticks_held, actor=cast.steward, reason="right", at=later)

    assert state(ticks_held) == "held"
    with committed():
        discard_rows(quarantine=ticks_held, actor=cast.steward, reason="wrong", at=later)
    assert not is_told()


def test_corrections_are_superseded_by_those_of_the_next_comparison(cast, ticks_held, sources):
    version = ticks_held.run.version
    write_rows(sources, [row(1001, 9, 98), row(1002, 8, 2), row(1002, 1, 3)])
    second = Quarantine.objects.get(run=refused(cast, version))
    assert (state(ticks_held), state(second)) == ("superseded", "held")

    write_rows(sources, [row(1001, 9, 5), row(1002, 8, 2), row(1002, 1, 3)])
    whole = backfill(cast, version)

    assert (state(second), second.ended_by, is_told()) == ("superseded", whole, False)


def test_ticks_that_were_not_corrected_are_told_of_until_they_are(cast, sources):
    write_rows(sources, [row(1001, 9, 1), row(1002, 8, 2)])
    version = served(cast, STRICT_TICKS)
    write_rows(sources, [row(1001, 9, 99), row(1002, 8, 2)])
    run = refused(cast, version)

    with committed():
        later = LATER + HOUR
        assert materialize(version, end=later, at=later).status == "succeeded"
    assert (is_told(), repaired_by(run)) == (True, None)

    write_rows(sources, [row(1001, 9, 5), row(1002, 8, 2)])
    with committed():
        later += HOUR
        again = request_backfill(
            version=fresh(version), start=None, end=None, at=later, actor=cast.operator
        )
        perform(again, at=later)
    assert (again.status, repaired_by(run), is_told()) == ("succeeded", again, False)
