"""Runs over a Delta table while others append to it, delete, rewrite and clean up.

Against the loop in plain Python that careless files are held to, and by what is told.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from materialization.edges.engines import engine
from materialization.edges.sources import whereabouts
from materialization.errors import SourceFileGone
from materialization.runner.looking import work_of
from materialization.runner.run import claim
from tests.delta_tables import delete_by_vector, live_adds
from tests.factories import make_version
from tests.materialization.engine_cases import computed_rows
from tests.materialization.run_world import AT, HOUR, ask, offline
from tests.materialization.test_arrival import (
    CREATED,
    DRIVERS,
    SCHEMA,
    SOURCE,
    VIEW,
    Expected,
    definitions,
    run,
    trips,
)

if TYPE_CHECKING:
    from datetime import datetime

pytestmark = pytest.mark.django_db


def of_table(source: str = SOURCE, **more: object) -> str:
    said = source.replace("type: file\npath: trips/*.parquet", "type: delta\npath: lake/trips")
    return definitions(said + "".join(f"{key}: {value}\n" for key, value in more.items()))


@pytest.fixture
def table(sources: Path) -> Path:
    return sources / "lake" / "trips"


def append(table: Path, *rows: tuple[Any, ...], **options: Any) -> None:
    """Rows are (driver, event, trips) or (driver, event, created, trips)."""
    whole = [row if len(row) == 4 else (row[0], row[1], None, row[2]) for row in rows]
    lines = [dict(zip(SCHEMA.names, row, strict=True)) for row in whole]
    write_deltalake(table, pa.Table.from_pylist(lines, schema=SCHEMA), mode="append", **options)


def vacuum(table: Path) -> None:
    DeltaTable(table).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)


def test_a_run_reads_the_files_that_are_new(cast, table):
    append(table, (1, AT - 9 * HOUR, 10))
    version = make_version(cast, text=of_table())
    run(version, AT - 2 * HOUR)
    append(table, (2, AT - 8 * HOUR, 20), (1, AT - 7 * HOUR, 11))

    done = run(version, AT)

    assert (done.rows_offline, done.source_counts["late"]) == (2, 2)
    assert (done.source_counts["parts"], done.source_counts["parts_read"]) == (2, 1)
    assert trips(version, AT) == [11, 20, None, None]
    again = run(version, AT + HOUR)
    assert (again.source_counts["parts_read"], again.rows_offline) == (0, 0)


def test_files_that_are_made_into_one_make_no_row_twice(cast, table):
    append(table, (1, AT - 9 * HOUR, 10))
    append(table, (2, AT - 9 * HOUR, 20))
    version = make_version(cast, text=of_table())
    run(version, AT)
    DeltaTable(table).optimize.compact()
    vacuum(table)

    done = run(version, AT + HOUR)

    counts = done.source_counts
    assert (done.rows_offline, counts["already_stored"], counts["parts_read"]) == (0, 2, 1)
    assert trips(version, AT + HOUR) == [10, 20, None, None]
    assert run(version, AT + 2 * HOUR).source_counts["parts_read"] == 0


def test_what_was_deleted_stays_stored_and_what_was_updated_is_a_correction(cast, table):
    append(table, (1, AT - 9 * HOUR, 10), (2, AT - 9 * HOUR, 20), (3, AT - 9 * HOUR, 30))
    version = make_version(cast, text=of_table())
    run(version, AT)
    DeltaTable(table).delete("driver_id = 1")
    DeltaTable(table).update(updates={"trips": "21"}, predicate="driver_id = 2")

    done = run(version, AT + HOUR)

    assert (done.rows_offline, done.source_counts["corrected"]) == (1, 1)
    assert trips(version, AT + HOUR) == [10, 21, 30, None]
    assert offline(version, DRIVERS, at=AT)["trips"] == [10, 20, 30, None]


def test_rows_that_a_vector_deletes_are_not_read(cast, table):
    append(table, (1, AT - 9 * HOUR, 10), (2, AT - 9 * HOUR, 20))
    (path,) = live_adds(table)
    delete_by_vector(table, path, [0])
    version = make_version(cast, text=of_table())

    assert run(version, AT).rows_offline == 1
    assert trips(version, AT) == [None, 20, None, None]


def test_a_pinned_version_never_moves(cast, table):
    append(table, (1, AT - 9 * HOUR, 10))
    version = make_version(cast, text=of_table(table_version=0))
    run(version, AT)
    append(table, (1, AT - 8 * HOUR, 11))

    done = run(version, AT + HOUR)

    assert (done.rows_offline, done.source_counts["parts"]) == (0, 1)
    assert trips(version, AT + HOUR) == [10, None, None, None]


def test_a_table_that_is_vacuumed_while_it_is_read_is_read_anew(cast, table, tmp_path):
    append(table, (1, AT - 9 * HOUR, 10))
    version = make_version(cast, text=of_table())
    claimed = claim(ask(version).pk, worker="one", at=AT)
    work = work_of(claimed, whereabouts(version.spec, cast.project), claimed.window)
    DeltaTable(table).update(updates={"trips": "11"}, predicate="driver_id = 1")
    vacuum(table)

    with pytest.raises(SourceFileGone, match=r"parquet was there a moment ago and is gone"):
        computed_rows(engine(), work.job)

    again = work_of(claimed, whereabouts(version.spec, cast.project), claimed.window)
    rows, _ = computed_rows(engine(), again.job)
    assert rows["trips"].to_pylist() == [11]


class Lake:
    """A table that engines work on, hour after hour."""

    def __init__(self, seed: int, table: Path, *, with_created: bool) -> None:
        self.random, self.table, self.with_created = random.Random(seed), table, with_created
        self.number = 0
        self.deleted: dict[str, list[int]] = {}

    def row(self, now: datetime) -> tuple:
        self.number += 1
        event = now - self.random.choice([-2, 0, 1, 1, 2, 5, 24, 60]) * HOUR
        created = event + self.random.choice([0, 1, 30]) * HOUR if self.with_created else None
        return (self.random.randint(1, 4), event, created, self.number)

    def files(self) -> dict[str, list[tuple]]:
        """Return the rows of each state of a file that the table has now."""
        found = {}
        for path in live_adds(self.table):
            rows = [tuple(row.values()) for row in pq.read_table(self.table / path).to_pylist()]
            gone = self.deleted.get(path, [])
            kept = [row for number, row in enumerate(rows) if number not in gone]
            found[f"{path} without {gone}"] = kept
        return found

    def step(self, now: datetime) -> None:
        act = self.random.choice(["new", "new", "new", "twice", "delete", "correct", "vector",
                                  "optimize", "vacuum"])  # fmt: skip
        table = DeltaTable(self.table)
        some = self.random.randint(1, 4)
        rewrites = not self.deleted  # our library does not rewrite what has vectors
        if act == "new":
            append(self.table, *(self.row(now) for _ in range(self.random.randint(1, 4))))
        elif act == "twice":
            rows = self.random.choice([rows for rows in self.files().values() if rows] or [[]])
            append(self.table, *rows)
        elif act == "delete" and rewrites:
            table.delete(f"driver_id = {some} AND trips % 3 = 0")
        elif act == "correct" and rewrites:
            table.update(updates={"trips": "-trips"}, predicate=f"driver_id = {some}")
        elif act == "vector" and self.number > 20:
            self.delete_one_row()
        elif act == "optimize" and rewrites:
            table.optimize.compact()
        elif act == "vacuum":
            vacuum(self.table)

    def delete_one_row(self) -> None:
        path = self.random.choice(sorted(live_adds(self.table)))
        rows = pq.read_metadata(self.table / path).num_rows
        gone = {*self.deleted.get(path, []), self.random.randrange(rows)}
        self.deleted[path] = sorted(gone)
        delete_by_vector(self.table, path, self.deleted[path])


@pytest.mark.parametrize("with_created", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_hours_of_a_table_that_others_work_on(cast, table, seed, with_created):
    lake = Lake(seed, table, with_created=with_created)
    append(table, (1, AT - HOUR, AT - HOUR if with_created else None, 1_000_000))
    version = make_version(cast, text=of_table(CREATED if with_created else SOURCE))
    expected, seen = Expected(), set()
    for hours in range(12):
        end = AT + hours * HOUR
        for _ in range(lake.random.randint(0, 3) if hours else 0):
            lake.step(end)
        run(version, end)
        files = lake.files()
        expected.see(files, files.keys() - seen, end)
        seen = set(files)
        for driver, value in zip(DRIVERS["driver_id"], trips(version, end), strict=True):
            assert value in expected.answers(driver, end), (hours, driver)


SUMS = """
kind: FeatureView
name: driver_trips
entities: [driver]
source: trips
aggregations:
  - {column: trips, functions: [sum, count], windows: [1d]}
features:
  - {name: trips_sum_1d, type: int64}
  - {name: trips_count_1d, type: int64}
schedule: {every: 1h}
owner: rides
"""


def test_windows_count_the_rows_of_one_snapshot_whatever_files_they_are_in(cast, table):
    append(table, (1, AT - 9 * HOUR, 10), (1, AT - 8 * HOUR, 5), (2, AT - 8 * HOUR, 7))
    append(table, (1, AT - 7 * HOUR, 1))
    text = of_table().replace(VIEW, SUMS)
    version = make_version(cast, text=text)
    run(version, AT - 2 * HOUR)
    DeltaTable(table).optimize.compact()
    (path,) = live_adds(table)
    rows = pq.read_table(table / path)["trips"].to_pylist()
    delete_by_vector(table, path, [rows.index(5)])

    run(version, AT)

    said = offline(version, DRIVERS, at=AT)
    assert said["trips_sum_1d"] == [11, 7, None, None]
    assert said["trips_count_1d"][:2] == [2, 1]
    before = offline(version, DRIVERS, at=AT - 2 * HOUR)
    assert before["trips_sum_1d"] == [16, 7, None, None], "ticks that are stored stay"
