"""Versions computed again on request: corrections win, are shown, and leak nowhere backwards."""

from __future__ import annotations

import random
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from materialization.models import MaterializationRun
from materialization.queries import newest_sequence
from materialization.requests.cancelling import cancel_run
from materialization.requests.recomputing import request_backfill
from materialization.requests.runs import RunInProgress
from materialization.runner import run as runner
from materialization.windows import BadWindow
from tests import factories
from tests.factories import make_version
from tests.materialization.run_world import (
    AT,
    HOUR,
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
from tests.materialization.runner.test_adopting import TICKS
from tests.materialization.runner.test_chunks import _rows, stored
from tests.materialization.runner.test_pausing import pausing_after

if TYPE_CHECKING:
    from registry.models import FeatureViewVersion

pytestmark = pytest.mark.django_db

DRIVERS = {"driver_id": [1001, 1002, 1003]}
UNSTAMPED = factories.DEFINITIONS.replace("created_timestamp: created\n", "")
LATER = AT + 3 * HOUR


def row(driver: int, hours: float, trips: int) -> tuple[Any, ...]:
    at = AT - hours * HOUR
    return (driver, at, at, trips / 64, trips)


def backfill(
    cast: factories.Cast, version: FeatureViewVersion, start: Any = None, end: Any = None
) -> MaterializationRun:
    with committed():
        run = request_backfill(
            version=fresh(version), start=start, end=end, at=LATER, actor=cast.operator
        )
        perform(run, at=LATER)
    assert run.status == "succeeded", (run.error, run.traceback)
    return run


@pytest.mark.parametrize("rows_at_once", [1, 1000])
def test_rows_that_differ_become_corrections(cast, sources, settings, rows_at_once):
    settings.RUN_CHUNK_ROWS = rows_at_once
    old = [row(1001, 9, 1), row(1001, 8, 2), row(1002, 7, 3), row(1003, 6, 4)]
    write_rows(sources, old)
    with committed():
        version = make_version(cast, text=UNSTAMPED)
        materialize(version)
    write_rows(sources, [old[0], row(1001, 8, 20), row(1003, 6, 40), row(1003, 5, 50)])

    run = backfill(cast, version)

    counts = run.source_counts
    assert run.kind == "recompute"
    assert (counts["rows_stored"], counts["late"], counts["corrected"]) == (3, 3, 2)
    assert online(version, DRIVERS, at=LATER)["avg_daily_trips"] == [20, 3, 50]
    assert offline(version, DRIVERS, at=LATER)["avg_daily_trips"] == [20, 3, 50]
    # What was trained on before stays: the corrections were not known.
    assert offline(version, DRIVERS, at=AT)["avg_daily_trips"] == [2, 3, 4]


@pytest.fixture
def corrected(cast, sources, settings):
    """A version that is served, its source with another value in the first of its four rows."""
    settings.RUN_CHUNK_ROWS = 1
    old = [row(1001, 9, 1), row(1002, 8, 2), row(1002, 7, 3), row(1003, 6, 4)]
    write_rows(sources, old)
    with committed():
        version = make_version(cast, text=UNSTAMPED)
        materialize(version)
    write_rows(sources, [row(1001, 9, 10), *old[1:]])
    return version


def unfinished(cast: factories.Cast, version: FeatureViewVersion) -> MaterializationRun:
    """Return a recompute that stored its first chunk and is cancelled before the next."""
    with committed():
        run = request_backfill(
            version=fresh(version), start=None, end=None, at=LATER, actor=cast.operator
        )
        runner.run(run_id=run.pk, worker="a", clock=pausing_after(run, 1, cast.operator))
        run.refresh_from_db()
        assert (run.status, run.rows_offline) == ("paused", 1)
        cancel_run(run=run, actor=cast.operator, at=LATER)
    return run


@pytest.mark.parametrize("recorded", [True, False])
def test_corrections_of_an_unfinished_recompute_are_loaded_by_the_next_run(
    cast, corrected, recorded
):
    with nullcontext() if recorded else nothing_recorded():
        run = unfinished(cast, corrected)
    if not recorded:  # as its end by a death after the commit leaves it
        MaterializationRun.objects.filter(pk=run.pk).update(publishing=True)
    assert newest_sequence(table_of(corrected)) == (run.sequence if recorded else 1)

    with committed():
        following = materialize(corrected, end=LATER + HOUR, at=LATER + HOUR)

    assert following.status == "succeeded", following.error
    at = LATER + HOUR
    assert online(corrected, DRIVERS, at=at)["avg_daily_trips"] == [10, 3, 4]
    assert online(corrected, DRIVERS, at=at) == offline(corrected, DRIVERS, at=at)


def test_a_part_is_compared_alone_and_what_is_gone_is_counted(cast, sources):
    old = [row(1001, 9, 1), row(1002, 7, 3), row(1003, 2, 4)]
    path = write_rows(sources, old)
    with committed():
        version = make_version(cast, text=UNSTAMPED)
        materialize(version)
    write_rows(sources, [row(1001, 9, 10), row(1003, 2, 40)])
    with committed():  # sees that the file is another, and stores what differs
        materialize(version, end=AT + HOUR)
    assert path.exists()

    run = backfill(cast, version, start=AT - 10 * HOUR, end=AT - 5 * HOUR)

    counts = run.source_counts
    assert (counts["already_stored"], counts["rows_stored"], counts["gone"]) == (1, 0, 1)
    assert online(version, DRIVERS, at=LATER)["avg_daily_trips"] == [10, 3, 40]


def test_ticks_that_differ_become_corrections(cast, sources):
    old = [row(1001, 9, 1), row(1002, 8, 2)]
    write_rows(sources, old)
    with committed():
        version = make_version(cast, text=TICKS)
        materialize(version)
    before = offline(version, DRIVERS, at=AT - 7 * HOUR)
    write_rows(sources, [row(1001, 9, 5), row(1002, 8, 2), row(1003, 9, 7), row(1003, -1, 7)])

    run = backfill(cast, version)

    counts = run.source_counts
    assert (counts["corrected"], counts["gone"], counts["keeps_ticks"]) == (1, 0, False)
    assert counts["of_ticks"]
    assert (run.profile["rows"], run.rows_offline) == (counts["rows_stored"],) * 2
    assert "before" not in run.profile
    assert counts["late"] > counts["corrected"]
    assert _known(version, at=AT - 7 * HOUR)["avg_daily_trips_sum_3h"] == [1, 2, None]
    assert offline(version, DRIVERS, at=AT - 7 * HOUR) == before
    assert online(version, DRIVERS, at=LATER) == offline(version, DRIVERS, at=LATER)
    assert _latest(version) == _from_scratch(cast, version)


def test_rows_delivered_twice_count_twice_are_told_of_and_can_be_put_right(cast, sources):
    old = [row(1001, 9, 1), row(1002, 8, 2)]
    write_rows(sources, old)
    with committed():
        version = make_version(cast, text=TICKS)
        materialize(version, end=AT - 8 * HOUR, at=AT)
    write_rows(sources, [*old, *old])
    with committed():
        run = materialize(version)

    assert (run.status, run.source_counts["copies"]) == ("succeeded", 2)
    assert _known(version, at=AT - 7 * HOUR)["avg_daily_trips_count_3h"] == [2, 2, None]

    write_rows(sources, old)
    run = backfill(cast, version)

    assert "copies" not in run.source_counts
    assert run.source_counts["corrected"] > 0
    assert _latest(version) == _from_scratch(cast, version)


def _known(version: FeatureViewVersion, *, at: Any) -> dict[str, list[Any]]:
    return offline(version, DRIVERS, at=at)


def _latest(version: FeatureViewVersion) -> dict[tuple[int, Any], tuple[Any, ...]]:
    """Return what a reader by event time alone finds at every hour: the last stored wins."""
    features = [feature.name for feature in version.spec.features]
    names = ["driver_id", "event_timestamp", "created_timestamp", "__sequence", *features]
    rows = _rows(version, names)
    found: dict[tuple[int, Any], tuple[Any, ...]] = {}
    for driver in DRIVERS["driver_id"]:
        for hours in range(60):
            at = AT - 50 * HOUR + hours * HOUR
            mine = [each for each in rows if each[0] == driver and each[1] <= min(at, LATER)]
            if mine:
                found[driver, at] = max(mine, key=lambda each: each[1:4])[4:]
    return found


def _from_scratch(
    cast: factories.Cast, version: FeatureViewVersion, text: str = TICKS
) -> dict[tuple[int, Any], tuple[Any, ...]]:
    """Return the same of a version that never saw the source as it was."""
    with committed():
        text = text.replace("driver_hourly", f"again_{version.pk}")
        other = make_version(cast, text=text)
        materialize(other, end=LATER, at=LATER)
    return _latest(other)


@pytest.mark.parametrize("seed", range(4))
def test_ticks_computed_again_are_what_a_new_version_would_have(cast, sources, seed):
    chance = random.Random(seed)  # noqa: S311 - reproducible, and no secret
    old = [
        row(1001 + chance.randrange(3), chance.randrange(1, 40), chance.randrange(9))
        for _ in range(12)
    ]
    write_rows(sources, old)
    with committed():
        version = make_version(cast, text=TICKS)
        materialize(version)
    # Every driver keeps its first row, so that no tick is without a source.
    firsts = {each[0]: each for each in sorted(old, key=lambda each: each[1], reverse=True)}
    new = [each for each in old if chance.random() < 0.6]
    new += [row(1001 + chance.randrange(3), chance.randrange(1, 40), 7) for _ in range(4)]
    write_rows(sources, [*firsts.values(), *new])

    run = backfill(cast, version)

    assert run.source_counts["gone"] == 0
    assert _latest(version) == _from_scratch(cast, version)
    with committed():
        following = materialize(version, end=LATER + 2 * HOUR, at=LATER + 2 * HOUR)
    assert following.status == "succeeded"
    again = backfill(cast, version)
    assert again.source_counts["corrected"] == 0


@pytest.mark.parametrize("ttl", ["", "ttl: 2h\n"])
@pytest.mark.parametrize("seed", range(4))
def test_ticks_of_a_trimmed_source_are_right_from_its_first_whole_window_on(
    cast, sources, seed, ttl
):
    """What comes in as something goes out leaves no tick there; the first correction has to."""
    chance = random.Random(seed)  # noqa: S311 - reproducible, and no secret
    text = TICKS.replace("schedule:", f"{ttl}schedule:")
    old = [row(1001 + n % 3, hours, 1) for hours in range(2, 30) for n in range(3)]
    write_rows(sources, old)
    with committed():
        version = make_version(cast, text=text)
        materialize(version)
    before = _latest(version)
    kept = [each for each in old if each[1] >= AT - 20 * HOUR]
    wrong = {(driver, AT - chance.randrange(16, 20) * HOUR) for driver in DRIVERS["driver_id"]}
    write_rows(sources, [(*each[:4], 5 if each[:2] in wrong else 1) for each in kept])

    run = backfill(cast, version)

    assert run.source_counts["why_gone"]
    again, found = _from_scratch(cast, version, text), _latest(version)
    whole_from = AT - 17 * HOUR
    right = {place: again[place] if place[1] >= whole_from else before[place] for place in found}
    assert found == right


def test_ticks_are_computed_again_to_their_end(cast, sources):
    write_rows(sources, [row(1001, 9, 1)])
    with committed():
        version = make_version(cast, text=TICKS)
        materialize(version)

    with pytest.raises(BadWindow, match="leave the end out"):
        backfill(cast, version, end=AT - 2 * HOUR)


def test_nothing_stored_is_an_ordinary_backfill_and_one_runs_at_a_time(cast, version):
    asked = {"version": fresh(version), "at": LATER, "actor": cast.operator}
    first = request_backfill(**asked, start=None, end=None)
    assert first.kind == "backfill"
    perform(first, at=LATER)

    second = request_backfill(**asked, start=None, end=AT)
    assert request_backfill(**asked, start=None, end=AT) == second
    with pytest.raises(RunInProgress):
        request_backfill(**asked, start=None, end=AT - HOUR)
    assert len(stored(version)) == 4
