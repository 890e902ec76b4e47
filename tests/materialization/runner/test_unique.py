"""``unique`` over what is stored: by later runs, later chunks, and comparisons."""

from __future__ import annotations

import pytest

from materialization.models import Quarantine
from materialization.requests.quarantine import release_rows
from materialization.requests.refused_rows import failing_rows
from tests.factories import AT, DEFINITIONS, make_version
from tests.materialization.run_world import (
    HOUR,
    committed,
    materialize,
    offline,
    online,
    perform,
    write_rows,
)
from tests.materialization.runner.test_adopting import TICKS
from tests.materialization.runner.test_chunks import stored

pytestmark = pytest.mark.django_db

UNIQUE = DEFINITIONS.replace("type: int32,", "type: int32, checks: {unique: true},")


def row(driver, hours, trips, known=None):
    event = AT - hours * HOUR
    return (driver, event, event if known is None else AT - known * HOUR, 0.5, trips)


OLD = [row(1001, 9, 7), row(1002, 8, 8)]


@pytest.fixture
def version(cast, sources):
    write_rows(sources, OLD)
    with committed():
        version = make_version(cast, text=UNIQUE)
        assert materialize(version, end=AT - 5 * HOUR, at=AT - 5 * HOUR).status == "succeeded"
    return version


def run(version, end):
    with committed():
        return materialize(version, end=end, at=end)


def test_what_another_entity_holds_by_an_earlier_run_is_refused_and_named(version, cast, sources):
    write_rows(sources, [*OLD, row(1001, 3, 7), row(1003, 2, 8)])

    blocked = run(version, AT)

    assert (blocked.status, blocked.error_code) == ("failed", "checks_failed")
    assert "1 of 2 rows hold a value that another entity holds then" in blocked.error
    held = Quarantine.objects.get(run=blocked)
    [listed] = failing_rows(held, limit=10)
    assert (listed.keys, listed.failed) == ({"driver_id": 1003}, ["avg_daily_trips: unique"])
    other = {"keys": {"driver_id": 1002}, "event_timestamp": "2026-03-01T04:00:00Z"}
    assert listed.held_by == {"avg_daily_trips: unique": other}

    with committed():
        perform(release_rows(quarantine=held, actor=cast.steward, reason="shared", at=AT))
    write_rows(sources, [*OLD, row(1001, 3, 7), row(1003, 2, 8), row(1002, -1, 9)])
    assert run(version, AT + HOUR).status == "succeeded"  # 1002 gives it up; what is is not judged
    write_rows(
        sources, [*OLD, row(1001, 3, 7), row(1003, 2, 8), row(1002, -1, 9), row(1002, -2, 8)]
    )
    assert run(version, AT + 2 * HOUR).error_code == "checks_failed"


def test_a_correction_gives_up_what_another_takes(version, sources):
    write_rows(
        sources, [row(1001, 9, 7), row(1002, 8, 8), row(1002, 8, 6, known=4), row(1003, 2, 8)]
    )

    assert run(version, AT).status == "succeeded"


def test_what_was_known_before_the_stored_row_of_its_moment_is_not_judged(cast, sources):
    """It is told to nobody but who asks what was known then, and there nothing can be mended."""
    known = [row(1001, 9, 7), row(1002, 8, 6, known=6)]
    write_rows(sources, known)
    with committed():
        version = make_version(cast, text=UNIQUE)
        assert materialize(version, end=AT - 5 * HOUR, at=AT - 5 * HOUR).status == "succeeded"
    write_rows(sources, [*known, row(1002, 8, 7, known=7)])

    assert run(version, AT).status == "succeeded"

    drivers = {"driver_id": [1001, 1002]}
    assert len(stored(version)) == 3
    assert online(version, drivers, at=AT)["avg_daily_trips"] == [7, 6]
    assert offline(version, drivers, at=AT - 6 * HOUR)["avg_daily_trips"] == [7, 6]
    assert offline(version, drivers, at=AT - 7 * HOUR)["avg_daily_trips"] == [7, 7]


@pytest.mark.parametrize("passed_on", [False, True])
def test_chunks_of_one_backfill_see_each_other(cast, sources, settings, passed_on):
    settings.RUN_CHUNK_ROWS = 1
    given = row(1001, 4, 6 if passed_on else 7)
    write_rows(sources, [*OLD, given, row(1003, 2, 7)])

    with committed():
        version = make_version(cast, text=UNIQUE)
        done = materialize(version)

    assert len(done.chunks) > 2
    assert done.status == ("succeeded" if passed_on else "failed"), done.error
    assert len(stored(version)) == (4 if passed_on else 3)


def test_ticks_hold_their_values_until_the_next(cast, sources):
    text = TICKS.replace("_sum_3h, type: int64}", "_sum_3h, type: int64, checks: {unique: true}}")
    write_rows(sources, [row(1001, 9, 7), row(1002, 5, 7)])  # 1001 has none by then: not one value
    with committed():
        version = make_version(cast, text=text)
        done = materialize(version)
    assert done.status == "succeeded", done.error

    write_rows(sources, [row(1001, 9, 7), row(1002, 5, 7), row(1001, -1, 3), row(1002, -1, 3)])
    assert run(version, AT + 2 * HOUR).error_code == "checks_failed"
