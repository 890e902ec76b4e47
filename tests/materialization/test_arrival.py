"""Files that arrive late, twice, corrected and out of order: both stores have every row of them.

Against a loop in plain Python that knows nothing of windows, files' stamps or SQL.
"""

from __future__ import annotations

import json
import os
import random
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from materialization.edges.sources import whereabouts
from materialization.models import SourcePart
from materialization.queries import coverage, gaps, newest_sequence
from materialization.requests.sweep import sweep
from materialization.runner.looking import SourceStillWritten, work_of
from materialization.runner.parts import SourceChangedWhileRead, refuse_changed
from materialization.runner.run import claim
from materialization.sources.inputs import SourceFiles
from tests.factories import ENTITY, make_version
from tests.materialization.run_world import (
    AT,
    HOUR,
    ask,
    committed,
    fresh,
    marker,
    materialize,
    offline,
    online,
    perform,
    snapshot,
    table_of,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db
DRIVERS = {"driver_id": [1, 2, 3, 4]}
DAY = timedelta(days=1)
SOURCE = """
kind: DataSource
name: trips
type: file
path: trips/*.parquet
event_timestamp: event
"""
CREATED = SOURCE + "created_timestamp: created\n"
VIEW = """
kind: FeatureView
name: driver_trips
entities: [driver]
source: trips
features:
  - {name: trips, type: int64}
schedule: {every: 1h}
owner: rides
"""
INSTANT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [("driver_id", pa.int64()), ("event", INSTANT), ("created", INSTANT), ("trips", pa.int64())]
)


def definitions(source: str = SOURCE, view: str = VIEW) -> str:
    return "\n---\n".join((ENTITY, source, view))


@pytest.fixture
def folder(sources: Path) -> Path:
    made = sources / "trips"
    made.mkdir()
    return made


def write(folder: Path, name: str, *rows: tuple[Any, ...]) -> Path:
    """Rows are (driver, event, trips) or (driver, event, created, trips)."""
    whole = [row if len(row) == 4 else (row[0], row[1], None, row[2]) for row in rows]
    lines = [dict(zip(SCHEMA.names, row, strict=True)) for row in whole]
    path = folder / f"{name}.parquet"
    pq.write_table(pa.Table.from_pylist(lines, schema=SCHEMA), path)
    return path


def trips(version, at: datetime) -> list[int | None]:
    """Return what both stores say; they must say the same."""
    said = online(version, DRIVERS, at=at)["trips"]
    assert said == offline(version, DRIVERS, at=at)["trips"]
    return said


def run(version, end: datetime, **asked: Any):
    with committed():
        done = materialize(version, end=end, **asked)
    assert done.status == "succeeded", done.error
    return done


# --- A file that lands after a run ----------------------------------------------------------------


@pytest.mark.parametrize("source", [SOURCE, CREATED])
def test_a_late_file_reaches_both_stores(cast, folder, source):
    write(folder, "monday", (1, AT - 9 * HOUR, AT - 9 * HOUR, 10))
    version = make_version(cast, text=definitions(source))
    run(version, AT - 2 * HOUR)
    write(
        folder, "late", (2, AT - 8 * HOUR, AT - 8 * HOUR, 20), (1, AT - 7 * HOUR, AT - 7 * HOUR, 11)
    )

    done = run(version, AT)

    assert (done.kind, done.rows_offline, done.source_counts["late"]) == ("incremental", 2, 2)
    assert (done.source_counts["parts"], done.source_counts["parts_read"]) == (2, 1)
    assert trips(version, AT) == [11, 20, None, None]


def test_a_late_row_of_a_source_without_created_never_leaks_backwards(cast, folder):
    write(folder, "monday", (1, AT - 9 * HOUR, 10))
    version = make_version(cast, text=definitions())
    run(version, AT - 2 * HOUR)
    served = trips(version, AT - 2 * HOUR)
    write(folder, "late", (1, AT - 8 * HOUR, 11))
    run(version, AT)

    assert offline(version, DRIVERS, at=AT - 2 * HOUR)["trips"] == served == [10, None, None, None]
    assert trips(version, AT)[0] == 11


def test_rows_of_the_first_backfill_are_known_at_their_event_time(cast, folder):
    write(folder, "history", (1, AT - 3 * DAY, 10), (1, AT - 2 * DAY, 11))
    version = make_version(cast, text=definitions())
    run(version, AT)

    assert offline(version, DRIVERS, at=AT - 2.5 * DAY)["trips"][0] == 10


@pytest.mark.parametrize("source", [SOURCE, CREATED])
def test_rows_that_lay_in_the_future_come_when_their_time_does(cast, folder, source):
    write(folder, "plan", (1, AT - HOUR, AT - HOUR, 10), (1, AT + HOUR, AT + HOUR, 11))
    version = make_version(cast, text=definitions(source))
    run(version, AT)
    assert trips(version, AT)[0] == 10

    run(version, AT + 2 * HOUR)
    assert trips(version, AT + 2 * HOUR)[0] == 11


@pytest.mark.parametrize("ending", ["json", "jsonl", "csv"])
def test_rows_in_the_future_of_text_files_hold_up_no_late_ones(cast, folder, ending):
    """What a reading leaves for later is looked for, and another reading follows."""
    write_text(folder / f"plan.{ending}", (1, AT - HOUR, 10))
    source = SOURCE.replace("parquet", ending)
    version = make_version(cast, text=definitions(source))
    run(version, AT)
    write_text(folder / f"more.{ending}", (2, AT - HOUR, 20), (1, AT + 3 * HOUR, 11))

    done = run(version, AT + HOUR)
    assert (done.source_counts["late"], trips(version, AT + HOUR)[:2]) == (1, [10, 20])

    run(version, AT + 4 * HOUR)
    assert trips(version, AT + 4 * HOUR)[:2] == [11, 20]


def write_text(path: Path, *rows: tuple[int, datetime, int]) -> None:
    if path.suffix == ".csv":
        lines = [f"{driver},{event.isoformat()},{n}" for driver, event, n in rows]
        path.write_text("\n".join(["driver_id,event,trips", *lines]))
        return
    objects = [{"driver_id": d, "event": event.isoformat(), "trips": n} for d, event, n in rows]
    path.write_text("\n".join(map(json.dumps, objects)))


# --- Files that change ----------------------------------------------------------------------------


@pytest.mark.parametrize("source", [SOURCE, CREATED])
def test_a_file_that_grows_gives_its_new_rows_once(cast, folder, source):
    first = (1, AT - 9 * HOUR, AT - 9 * HOUR, 10)
    write(folder, "log", first)
    version = make_version(cast, text=definitions(source))
    run(version, AT - 2 * HOUR)
    write(
        folder, "log", first, (2, AT - 5 * HOUR, AT - 5 * HOUR, 20), (3, AT - HOUR, AT - HOUR, 30)
    )

    done = run(version, AT)

    assert done.rows_offline == 2
    assert snapshot(version).rows == 3
    assert done.source_counts["already_stored"] == 1
    assert trips(version, AT) == [10, 20, 30, None]


@pytest.mark.parametrize("source", [SOURCE, CREATED])
def test_a_correction_in_place_wins_and_may_be_taken_back(cast, folder, source):
    version = None
    for hours, value in enumerate((10, 11, 10, 10)):
        write(folder, "monday", (1, AT - 9 * HOUR, AT - 9 * HOUR, value))
        version = version or make_version(cast, text=definitions(source))
        run(version, AT + hours * HOUR)
        assert trips(version, AT + hours * HOUR)[0] == value

    assert snapshot(version).rows == 3


def test_a_row_that_another_file_still_has_is_not_taken_back(cast, folder):
    write(folder, "one", (1, AT - 9 * HOUR, 10))
    version = make_version(cast, text=definitions())
    run(version, AT)
    write(folder, "two", (1, AT - 9 * HOUR, 11))
    run(version, AT + HOUR)
    write(folder, "one", (1, AT - 9 * HOUR, 10))  # the same again: only its stamps are new
    done = run(version, AT + 2 * HOUR)

    assert done.rows_offline == 0
    assert trips(version, AT + 2 * HOUR)[0] == 11


def test_the_same_rows_under_another_name_are_one_row(cast, folder):
    rows = [(1, AT - 9 * HOUR, 10), (2, AT - 8 * HOUR, 20)]
    write(folder, "one", *rows)
    version = make_version(cast, text=definitions())
    run(version, AT)
    write(folder, "two", *rows, *rows)

    done = run(version, AT + HOUR)

    assert (done.rows_offline, done.source_counts["already_stored"]) == (0, 4)
    assert snapshot(version).rows == 2


def test_a_source_as_it_was_is_not_opened_again(cast, folder):
    path = write(folder, "monday", (1, AT - 9 * HOUR, 10))
    version = make_version(cast, text=definitions())
    run(version, AT)
    seen = SourcePart.objects.get()
    assert (seen.name, seen.read_until, seen.has_later) == (str(path), AT, False)

    done = run(version, AT + HOUR)

    assert (done.source_counts["parts_read"], done.sequence, done.rows_read) == (0, None, 0)
    assert coverage(table_of(version))[-1].end == AT + HOUR
    assert marker(version).as_of == AT + HOUR


def test_what_is_known_of_parts_is_written_when_it_changes(cast, folder):
    for name in ("monday", "tuesday", "wednesday"):
        write(folder, name, (1, AT - 9 * HOUR, 10))
    version = make_version(cast, text=definitions())
    run(version, AT)

    with CaptureQueriesContext(connection) as asked:
        run(version, AT + HOUR)
    assert parts_written(asked) == []

    write(folder, "tuesday", (1, AT - 9 * HOUR, 11))
    with CaptureQueriesContext(connection) as asked:
        run(version, AT + 2 * HOUR)
    (written,) = parts_written(asked)
    assert "tuesday" in written
    assert "monday" not in written


def test_the_first_run_without_a_file_that_was_there_says_so(cast, folder):
    paths = [write(folder, name, (1, AT - 9 * HOUR, 10)) for name in ("monday", "tuesday")]
    version = make_version(cast, text=definitions())
    assert "parts_gone" not in run(version, AT).source_counts
    paths[1].unlink()

    done = run(version, AT + HOUR).source_counts

    assert (done["parts"], done["parts_gone"], done["first_gone"]) == (1, 1, paths[1].name)
    assert "parts_gone" not in run(version, AT + 2 * HOUR).source_counts


def parts_written(asked: CaptureQueriesContext) -> list[str]:
    return [each["sql"] for each in asked if 'INTO "materialization_sourcepart"' in each["sql"]]


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_one_row_in_the_future_has_few_files_opened_again_and_soon_but_one(cast, folder, ending):
    for number in range(30):
        write_as(ending, folder, f"f{number:02}", (1, AT - (40 - number) * HOUR, number))
    write_as(ending, folder, "f17", (1, AT - 23 * HOUR, 17), (2, AT + 40 * HOUR, 99))
    version = make_version(cast, text=definitions(SOURCE.replace("parquet", ending)))
    run(version, AT)
    assert snapshot(version).rows == 30

    opened = [run(version, AT + hours * HOUR).source_counts["parts_read"] for hours in range(1, 5)]
    assert opened == [5, 2, 1, 1]
    assert trips(version, AT + 4 * HOUR)[:2] == [29, None]

    run(version, AT + 40 * HOUR)
    assert trips(version, AT + 40 * HOUR)[:2] == [29, 99]
    assert run(version, AT + 41 * HOUR).source_counts["parts_read"] == 0


def write_as(ending: str, folder: Path, name: str, *rows: tuple[int, datetime, int]) -> None:
    if ending == "parquet":
        write(folder, name, *rows)
    else:
        write_text(folder / f"{name}.{ending}", *rows)


def test_a_file_written_in_place_with_its_old_stamp_is_seen(cast, folder):
    path = write(folder, "monday", (1, AT - 9 * HOUR, 10))
    before = path.stat()
    version = make_version(cast, text=definitions())
    run(version, AT)
    write(folder, "monday", (1, AT - 9 * HOUR, 12))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size

    run(version, AT + HOUR)
    assert trips(version, AT + HOUR)[0] == 12


def test_a_file_that_went_away_and_came_back_is_new(cast, folder):
    path = write(folder, "monday", (1, AT - 9 * HOUR, 10))
    write(folder, "other", (2, AT - 9 * HOUR, 20))
    version = make_version(cast, text=definitions())
    run(version, AT)
    path.rename(folder / "monday.away")
    run(version, AT + HOUR)
    assert [part.name for part in SourcePart.objects.all()] == [str(folder / "other.parquet")]
    (folder / "monday.away").rename(path)

    done = run(version, AT + 2 * HOUR)
    assert (done.rows_offline, trips(version, AT + 2 * HOUR)[:2]) == (0, [10, 20])


# --- A range that is asked for again, and gaps ----------------------------------------------------


def test_a_stored_range_that_is_asked_for_again_is_looked_at_again(cast, folder):
    write(folder, "monday", (1, AT - 9 * HOUR, 10), (2, AT - 3 * HOUR, 20))
    version = make_version(cast, text=definitions())
    run(version, AT)

    done = run(version, AT - 2 * HOUR, at=AT + HOUR, window_start=AT - 10 * HOUR)

    assert (done.kind, done.window) == ("again", (AT - 10 * HOUR, AT + HOUR))
    assert (done.rows_read, done.rows_offline) == (2, 0)
    assert done.source_counts["already_stored"] == 2


def test_what_is_found_by_looking_again_has_a_window_of_its_own(cast, folder):
    """Else nothing would tell a later run that the online store lacks it."""
    write(folder, "monday", (1, AT - 9 * HOUR, 10))
    version = make_version(cast, text=definitions())
    run(version, AT)
    write(folder, "late", (2, AT - 8 * HOUR, 20))

    done = run(version, AT - HOUR, at=AT, window_start=AT - 10 * HOUR)

    assert (done.kind, done.rows_offline) == ("again", 1)
    assert newest_sequence(table_of(version)) == done.sequence
    assert trips(version, done.window_end)[:2] == [10, 20]


def test_a_part_of_history_does_not_make_a_version_ready_and_the_sweep_fills_the_gap(cast, folder):
    write(folder, "monday", (1, AT - 9 * HOUR, 10), (2, AT - HOUR, 20))
    with committed():
        version = make_version(cast, text=definitions())
    run(version, AT, window_start=AT - 2 * HOUR)
    assert not fresh(version).is_ready
    assert fresh(version).feature_view.default_version is None
    assert [window.end for window in gaps(version, coverage(table_of(version)))] == [AT - 2 * HOUR]

    with committed():
        sweep(at=AT + timedelta(minutes=1))
    waiting = table_of(version).runs.get(status="queued")
    with committed():
        done = perform(waiting, at=AT + timedelta(minutes=1))

    assert (done.status, done.kind, done.window) == ("succeeded", "incremental", (None, AT))
    assert fresh(version).is_ready
    assert trips(version, AT) == [10, 20, None, None]


def test_a_gap_in_a_ready_version_is_filled_and_it_stays_ready(cast, folder):
    write(folder, "monday", (1, AT - 9 * HOUR, 10), (2, AT + HOUR, 20))
    with committed():
        version = make_version(
            cast, text=definitions(view=VIEW.replace("schedule: {every: 1h}\n", ""))
        )
    run(version, AT)
    run(version, AT + 5 * HOUR, window_start=AT + 3 * HOUR)
    assert fresh(version).is_ready
    assert trips(version, AT + 5 * HOUR) == [10, None, None, None]

    later = AT + 5 * HOUR + timedelta(minutes=1)
    with committed():
        sweep(at=later)
    with committed():
        perform(table_of(version).runs.get(status="queued"), at=later)

    assert trips(version, AT + 5 * HOUR) == [10, 20, None, None]


def test_history_before_the_views_start_is_no_gap(cast, folder):
    write(folder, "monday", (1, AT - 30 * HOUR, 9), (1, AT - 9 * HOUR, 10))
    view = VIEW + "start: 2026-03-01\n"
    version = make_version(cast, text=definitions(view=view))
    day = AT.replace(hour=0)
    run(version, AT, window_start=day - timedelta(microseconds=1))

    assert fresh(version).is_ready
    assert gaps(version, coverage(table_of(version))) == []


def test_a_source_may_be_looked_back_at_though_nothing_tells_of_a_change(cast, folder):
    path = write(folder, "monday", (1, AT - 9 * HOUR, 10), (2, AT - 30 * HOUR, 20))
    version = make_version(cast, text=definitions(SOURCE + "lookback: 1d\n"))
    run(version, AT)
    write(folder, "monday", (1, AT - 9 * HOUR, 11), (2, AT - 30 * HOUR, 21))
    (part,) = SourceFiles((str(path),), "parquet").parts()
    SourcePart.objects.update(identity=part.identity)

    run(version, AT + HOUR)
    assert trips(version, AT + HOUR)[:2] == [11, 20]


# --- Files that are still written -----------------------------------------------------------------


def test_a_first_backfill_waits_for_a_file_that_is_still_written(cast, folder, settings):
    settings.SOURCE_SETTLE_SECONDS = 3600
    path = write(folder, "monday", (1, AT - 9 * HOUR, 10))
    version = make_version(cast, text=definitions())

    done = ask(version)
    with (
        committed(),
        pytest.raises(SourceStillWritten, match=f"^trips/{path.name} changed less than 3600 s"),
    ):
        perform(done)
    done.refresh_from_db()
    assert (done.status, done.error_code) == ("queued", "source_still_written")
    assert coverage(table_of(version)) == []


def test_later_runs_leave_young_files_for_the_next_and_say_so(cast, folder, settings):
    monday = write(folder, "monday", (1, AT - 9 * HOUR, 10))
    version = make_version(cast, text=definitions())
    run(version, AT)
    time.sleep(1.1)  # the kernel alone says when a file changed
    write(folder, "tuesday", (2, AT - 8 * HOUR, 20))
    # As old as the first is: the next run has all the time that passed between the two.
    settings.SOURCE_SETTLE_SECONDS = time.time() - monday.stat().st_ctime

    done = run(version, AT + HOUR)
    assert (done.source_counts["parts_waiting"], done.rows_offline) == (1, 0)

    settings.SOURCE_SETTLE_SECONDS = 0
    assert run(version, AT + 2 * HOUR).rows_offline == 1
    assert trips(version, AT + 2 * HOUR)[:2] == [10, 20]


@pytest.mark.parametrize("change", ["written", "taken away"])
def test_a_file_that_changes_while_it_is_read_is_not_stored(cast, folder, change):
    path = write(folder, "monday", (1, AT - 9 * HOUR, 10))
    version = make_version(cast, text=definitions())
    claimed = claim(ask(version).pk, worker="one", at=AT)
    assert claimed is not None
    where = whereabouts(claimed.version.spec, version.feature_view.project)
    work = work_of(claimed, where, claimed.window)
    refuse_changed(work)
    if change == "written":
        write(folder, "monday", (1, AT - 9 * HOUR, 11))
    else:
        path.unlink()

    with pytest.raises(SourceChangedWhileRead, match=f"{path} changed while it was read"):
        refuse_changed(work)


# --- Folders that say something -------------------------------------------------------------------


def test_rows_of_folders_are_all_stored_though_some_are_of_the_future(cast, sources):
    """What later runs have to open is looked for in a few files at a time."""
    for number in range(9):
        folder = sources / "trips" / f"city={number}"
        folder.mkdir(parents=True)
        write(folder, "rows", (number, AT - HOUR, number), (number, AT + HOUR, 100))
    source = SOURCE.replace("trips/*.parquet", "trips/*/*.parquet")
    view = VIEW.replace(
        "{name: trips, type: int64}", "{name: trips, type: int64}\n  - {name: city, type: string}"
    )
    version = make_version(cast, text=definitions(source, view))

    run(version, AT)

    asked = {"driver_id": list(range(9))}
    assert online(version, asked, at=AT)["city"] == [str(number) for number in range(9)]


# --- Weeks of files, made at random ---------------------------------------------------------------


class Expected:
    """What each moment of an entity should say by now. A moment: driver, event, created or None.

    ``stored``: every value it was ever given; ``now``: those it may have.
    """

    def __init__(self) -> None:
        self.stored: dict[tuple, set[int]] = {}
        self.now: dict[tuple, set[int]] = {}

    def see(self, files: dict[str, list[tuple]], changed: set[str], end: datetime) -> None:
        everything = self._values(files, files, end)
        for moment in self._values(files, changed, end) | self._arrived(everything):
            values = everything[moment]
            new = values - self.stored.get(moment, set())
            kept = self.now.get(moment, set()) & values
            self.now[moment] = new or kept or values
            self.stored.setdefault(moment, set()).update(values)

    def _arrived(self, everything: dict[tuple, set[int]]) -> dict[tuple, set[int]]:
        return {moment: v for moment, v in everything.items() if moment not in self.stored}

    @staticmethod
    def _values(files, names, end) -> dict[tuple, set[int]]:
        found: dict[tuple, set[int]] = {}
        for name in names:
            for driver, event, created, value in files.get(name, []):
                if max(event, created or event) <= end:
                    found.setdefault((driver, event, created), set()).add(value)
        return found

    def answers(self, driver: int, at: datetime) -> set[int | None]:
        visible = [
            moment
            for moment in self.now
            if moment[0] == driver and max(moment[1], moment[2] or moment[1]) <= at
        ]
        if not visible:
            return {None}
        return set(self.now[max(visible, key=lambda moment: (moment[1], moment[2] or moment[1]))])


class Week:
    """Files of trips as careless people write them, hour after hour."""

    def __init__(self, seed: int, folder: Path, *, with_created: bool) -> None:
        self.random, self.folder, self.with_created = random.Random(seed), folder, with_created
        self.files: dict[str, list[tuple]] = {}
        self.changed: set[str] = set()
        self.number = 0

    def write(self, name: str, rows: list[tuple]) -> None:
        self.files[name] = rows
        self.changed.add(name)
        write(self.folder, name, *rows)

    def row(self, now: datetime) -> tuple:
        self.number += 1
        late = self.random.choice([0, 1, 1, 2, 5, 24, 60])
        event = now - late * HOUR + self.random.choice([0, 0, 2]) * HOUR
        created = event + self.random.choice([0, 1, 30]) * HOUR if self.with_created else None
        return (self.random.randint(1, 4), event, created, self.number)

    def step(self, now: datetime) -> None:
        act = self.random.choice(
            ["new", "new", "twice", "correct", "grow", "touch", "gone", "none"]
        )
        some = self.random.choice(sorted(self.files)) if self.files else None
        if act == "new" or some is None:
            self.write(f"f{self.number}", [self.row(now) for _ in range(self.random.randint(0, 4))])
        elif act == "twice":
            self.write(f"again{self.number}_{len(self.files)}", list(self.files[some]))
        elif act == "correct":
            self.write(
                some,
                [
                    (*row[:3], self.random.choice([row[3], row[3], -row[3]]))
                    for row in self.files[some]
                ],
            )
        elif act == "grow":
            self.write(some, [*self.files[some], self.row(now)])
        elif act == "touch":
            self.write(some, list(self.files[some]))
        elif act == "gone" and len(self.files) > 1:
            del self.files[some]
            (self.folder / f"{some}.parquet").unlink()


@pytest.mark.parametrize("with_created", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_weeks_of_careless_files(cast, folder, seed, with_created):
    week = Week(seed, folder, with_created=with_created)
    week.write("first", [(1, AT - HOUR, AT - HOUR if with_created else None, 1_000_000)])
    version = make_version(cast, text=definitions(CREATED if with_created else SOURCE))
    expected, served = Expected(), []
    for hours in range(14):
        end = AT + hours * HOUR
        if hours:
            for _ in range(week.random.randint(0, 3)):
                week.step(end)
        run(version, end)
        expected.see(week.files, week.changed, end)
        week.changed.clear()
        said = trips(version, end)
        for driver, value in zip(DRIVERS["driver_id"], said, strict=True):
            assert value in expected.answers(driver, end), (hours, driver)
        served.append((end, said))

    for end, said in served:
        found = offline(version, DRIVERS, at=end)["trips"]
        if with_created:
            for driver, value in zip(DRIVERS["driver_id"], found, strict=True):
                assert value in expected.answers(driver, end)
        else:
            assert found == said, "a training set has exactly what was served"
