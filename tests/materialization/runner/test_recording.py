"""What is recorded as stored: as few windows as there are parts, whatever the history."""

from __future__ import annotations

import pytest

from materialization.models import StoredWindow
from materialization.queries import coverage, newest_sequence, stored_since
from materialization.runner.recording import note_stored, note_windows
from materialization.windows import Window
from tests.factories import make_version
from tests.materialization.histories import past_runs
from tests.materialization.run_world import (
    AT,
    HOUR,
    ROWS,
    ask,
    committed,
    fresh,
    materialize,
    online,
    perform,
    table_of,
    write_rows,
)

pytestmark = pytest.mark.django_db
ALL = {"driver_id": [1001, 1002, 1003]}


def rows(version) -> list[tuple]:
    """Return each row's window, the sequence of its run, and the latest of the others."""
    found = StoredWindow.objects.filter(table=version.table).select_related("run")
    return [(row.window, row.run.sequence, row.earlier_sequence) for row in found]


def hours(start: int | None, end: int) -> Window:
    return Window(None if start is None else AT + start * HOUR, AT + end * HOUR)


@pytest.fixture
def runs(cast):
    """Six runs that have drawn the sequences 1 to 6, the last two none."""
    version = make_version(cast)
    return past_runs(version, 4) + past_runs(version, 2, sequences=False)


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ([(0, None, 1)], [(None, 1, 1, 0)]),
        ([(0, None, 1), (1, 1, 2)], [(None, 2, 2, 1)]),
        ([(0, None, 1), (2, 1, 2), (1, 2, 3)], [(None, 3, 3, 2)]),
        ([(1, 1, 2), (0, None, 1)], [(None, 2, 2, 1)]),
        ([(0, None, 1), (1, 2, 3)], [(None, 1, 1, 0), (2, 3, 2, 0)]),
        ([(0, None, 1), (1, 2, 3), (2, 1, 2)], [(None, 3, 3, 2)]),
        ([(0, None, 1), (2, 3, 4), (1, 0, 2)], [(None, 2, 2, 1), (3, 4, 3, 0)]),
        ([(0, None, 9), (1, 2, 3)], [(None, 9, 2, 1)]),
        ([(1, None, 1), (1, None, 1)], [(None, 1, 2, 0)]),
        ([(0, None, 1), (4, 1, 2)], [(None, 2, 1, 0)]),
        ([(4, None, 1), (5, 1, 2)], [(None, 2, None, 0)]),
        ([(3, None, 1), (0, 1, 2)], [(None, 2, 4, 1)]),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_windows_that_touch_become_one_row_of_the_newest_run(runs, stored, expected, at_once):
    table = runs[0].table
    pairs = [(runs[number], [hours(start, end)]) for number, start, end in stored]
    if at_once:
        by_run = {run: [w for r, ws in pairs for w in ws if r == run] for run, _ in pairs}
        note_stored(table, by_run)
    else:
        for run, windows in pairs:
            note_windows(run, windows)

    assert rows(runs[0].version) == [
        (hours(start, end), *sequences) for start, end, *sequences in expected
    ]
    assert newest_sequence(table) == max((s or 0 for *_, s, _ in expected), default=0)


def test_two_thousand_windows_of_as_many_runs_become_one(cast):
    version = make_version(cast)
    runs = past_runs(version, 2000)
    StoredWindow.objects.bulk_create(
        StoredWindow(
            table=version.table,
            run=run,
            window_start=AT + number * HOUR,
            window_end=AT + (number + 1) * HOUR,
        )
        for number, run in enumerate(runs)
    )
    (last,) = past_runs(version, 1)

    note_windows(last, [hours(2000, 2001)])

    assert rows(version) == [(hours(0, 2001), 2001, 2000)]


@pytest.mark.parametrize(
    ("loaded", "but", "lacks"),
    [(0, None, True), (2, None, True), (3, None, False), (2, 3, False), (1, 3, True), (0, 1, True)],
)
def test_what_was_stored_since_is_known_of_merged_windows_too(runs, loaded, but, lacks):
    for number, run in enumerate(runs[:3]):
        note_windows(run, [hours(number, number + 1)])

    assert stored_since(runs[0].table, loaded, but=but).exists() == lacks


def test_a_run_whose_rows_were_never_loaded_is_loaded_by_the_next(version, sources, settings):
    """By then both are one window, of the next run."""
    write_rows(sources, ROWS[:1])
    with committed():
        materialize(version, end=AT - 6 * HOUR)
    write_rows(sources, [*ROWS[:1], (1002, AT - 5 * HOUR, AT - 5 * HOUR, 0.25, 20)])
    lost = ask(version, end=AT - 3 * HOUR)
    type(lost).objects.filter(pk=lost.pk).update(attempt=2)
    here, settings.REDIS_URL = settings.REDIS_URL, "unix:///nowhere/redis.sock"
    assert perform(lost, at=AT - 3 * HOUR).status == "failed"
    settings.REDIS_URL = here
    assert coverage(table_of(version)) == [hours(None, -3)]

    with committed():
        run = materialize(fresh(version))

    assert (run.kind, run.status) == ("incremental", "succeeded")
    assert online(version, ALL, at=AT)["avg_daily_trips"] == [10, 20, None]
