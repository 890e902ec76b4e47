"""Runs in chunks: the same rows as at once, whoever dies on the way."""

from __future__ import annotations

import shutil
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materialization.chunks import read_chunks
from materialization.edges.stores import offline_store
from materialization.models import MaterializationRun
from materialization.queries import coverage, table_at
from materialization.requests.sweep import sweep
from materialization.runner import run as runner
from tests import factories
from tests.factories import make_version
from tests.materialization.run_world import (
    AT,
    HOUR,
    SCHEMA,
    ask,
    committed,
    fresh,
    materialize,
    offline,
    online,
    perform,
    snapshot,
    staged,
    staging_of,
    table_of,
    write_rows,
)
from tests.materialization.runner.test_adopting import TICKS
from tests.oracle import latest_known

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from registry.models import FeatureViewVersion

pytestmark = pytest.mark.django_db

ALL = {"driver_id": [1001, 1002, 1003, 4711]}
#: One row every seven hours; each fifth is known only ten hours later.
HISTORY = [
    (1001 + n % 3, at, at + (10 * HOUR if n % 5 == 0 else 0 * HOUR), n / 64, n)
    for n in range(16)
    for at in [AT - 120 * HOUR + 7 * n * HOUR]
]
#: Numbers wider than the features they become.
WIDE = SCHEMA.set(
    SCHEMA.get_field_index("avg_daily_trips"), pa.field("avg_daily_trips", pa.int64())
)
STRICT = factories.DEFINITIONS.replace(
    "{name: avg_daily_trips, type: int32,",
    "{name: avg_daily_trips, type: int32, checks: {max: 12},",
)


class Killed(BaseException):
    """As a process ends that is killed: nothing of ours handles it."""


def killed_at(reading: int) -> Callable[[], datetime]:
    """A clock whose reader dies at the given reading of it, counted from 0."""
    left = [reading]

    def clock() -> datetime:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return AT

    return clock


@pytest.fixture
def history(cast, sources, settings) -> FeatureViewVersion:
    settings.RUN_CHUNK_ROWS = 3
    write_rows(sources, HISTORY)
    with committed():
        return make_version(cast)


def stored(version: FeatureViewVersion) -> list[tuple[Any, ...]]:
    columns = ["driver_id", "event_timestamp", "created_timestamp", "avg_daily_trips"]
    return _rows(version, columns)


def _rows(version: FeatureViewVersion, columns: list[str]) -> list[tuple[Any, ...]]:
    files = [pq.read_table(file, columns=columns) for file in snapshot(version).files]
    return sorted(tuple(row.values()) for file in files for row in file.to_pylist())


def equals_the_source(version: FeatureViewVersion) -> None:
    """Every row is stored once, and both stores answer as the oracle does."""
    wanted = sorted((k, e, c, n) for k, e, c, _, n in HISTORY if max(e, c) <= AT)
    assert stored(version) == wanted
    rows = [
        {"driver_id": k, "event_timestamp": e, "created_timestamp": c, "__sequence": 1, "n": n}
        for k, e, c, n in wanted
    ]
    right = [latest_known(rows, {"driver_id": key}, AT) for key in ALL["driver_id"]]
    values = [row and row["n"] for row in right]
    assert online(version, ALL, at=AT)["avg_daily_trips"] == values
    assert offline(version, ALL, at=AT)["avg_daily_trips"] == values


def profiled(run: MaterializationRun) -> tuple[Any, ...]:
    """What the profile of a run says of its rows, which are those of all its chunks."""
    assert "before" not in run.profile
    trips = next(each for each in run.profile["columns"] if each["name"] == "avg_daily_trips")
    assert trips["rows"] == run.profile["rows"]
    return trips["rows"], trips["min"], trips["max"]


def test_a_large_window_is_stored_in_chunks(history):
    with committed():
        run = materialize(history)

    chunks = read_chunks(run.chunks)
    assert [each.expected for each in chunks] == [3, 3, 3, 3, 3, 1]
    assert [each.counts["rows_stored"] for each in chunks] == [3, 3, 3, 3, 3, 1]
    assert (run.status, run.rows_read, run.rows_offline) == ("succeeded", 16, 16)
    assert run.source_counts["rows_stored"] == 16
    assert profiled(run) == (16, 0, 15)
    assert [tuple(each) for each in coverage(table_of(history))] == [(None, AT)]
    listed = offline_store().list_files(table_at(table_of(history))).files
    spans = [(each.first_event, each.last_event) for each in listed]
    assert len(spans) == 6
    equals_the_source(history)


def dead_remove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is killed leaves its folders behind."""
    remove = shutil.rmtree

    def rmtree(*args: Any, **named: Any) -> None:
        if not isinstance(sys.exception(), Killed):
            remove(*args, **named)

    monkeypatch.setattr(shutil, "rmtree", rmtree)


def test_a_run_that_is_killed_anywhere_goes_on_after_its_last_chunk(history, settings, monkeypatch):
    dead_remove_nothing(monkeypatch)
    settings.RUN_CHUNK_ROWS = 6
    with committed():
        run = ask(history)
    deaths, at, found = 0, AT, set[str]()
    folders = set[str]()
    while True:
        before = len(stored(history))
        try:
            with committed():
                runner.run(run_id=run.pk, worker="worker-1", clock=killed_at(3 + deaths % 7))
        except Killed:
            deaths += 1
            with committed():
                at = AT + timedelta(seconds=settings.RUN_LEASE_SECONDS + 1)
                sweep(at=at)
            assert len(stored(history)) >= before
            found.update(staged(history))
            folders.update(each.name for each in staging_of(history).glob("*"))
            continue
        break

    run.refresh_from_db()
    assert run.status == "succeeded", (run.error, run.traceback)
    assert deaths >= 3
    assert found >= {"__part=1", "__part=2"}
    assert len(folders) > 1  # also of one who died before he could keep what he had read
    assert staged(history) == []
    assert run.rows_offline == 16
    equals_the_source(history)
    run.refresh_from_db()
    assert profiled(run) == (16, 0, 15)


def test_what_was_stored_before_a_check_failed_stays(cast, sources, settings):
    settings.RUN_CHUNK_ROWS = 5
    write_rows(sources, HISTORY)
    with committed():
        version = make_version(cast, text=STRICT)
        run = materialize(version)

    assert (run.status, run.error_code) == ("failed", "checks_failed")
    until = read_chunks(run.chunks)[2].until
    assert f"What was stored up to {until.isoformat()} stays" in run.error
    assert len(stored(version)) == 12
    assert fresh(version).is_ready is False

    write_rows(sources, [(k, e, c, r, min(n, 12)) for k, e, c, r, n in HISTORY])
    with committed():
        again = materialize(version)

    assert again.status == "succeeded", again.error
    assert [row[3] for row in sorted(stored(version), key=lambda row: row[1])][-3:] == [12, 12, 12]
    assert len(stored(version)) == 16
    assert fresh(version).is_ready is True


def test_rows_without_a_created_time_stay_known_since_their_event_in_every_chunk(
    cast, sources, settings
):
    settings.RUN_CHUNK_ROWS = 5
    write_rows(sources, HISTORY)
    text = STRICT.replace("created_timestamp: created\n", "")
    with committed():
        version = make_version(cast, text=text)
        assert materialize(version).status == "failed"
    write_rows(sources, [(k, e, c, r, min(n, 12)) for k, e, c, r, n in HISTORY])

    with committed():
        assert materialize(version).status == "succeeded"

    rows = stored(version)
    assert len(rows) == 16
    assert all(event == created for _, event, created, _ in rows)


def test_ticks_in_chunks_are_the_ticks_at_once(cast, sources, settings):
    write_rows(sources, HISTORY)
    stored_as: list[list[tuple[Any, ...]]] = []
    for rows, view in ((1_000_000, "driver_hourly"), (15, "driver_again")):
        settings.RUN_CHUNK_ROWS = rows
        with committed():
            version = make_version(cast, text=TICKS.replace("driver_hourly", view))
            run = materialize(version)
        assert run.status == "succeeded", run.error
        stored_as.append(ticks(version))

    assert len(read_chunks(run.chunks)) > 2
    assert stored_as[0] == stored_as[1]


def ticks(version: FeatureViewVersion) -> list[tuple[Any, ...]]:
    features = [feature.name for feature in version.spec.features]
    rows = _rows(version, ["driver_id", "event_timestamp", "created_timestamp", *features])
    assert rows
    return rows


def test_a_long_run_gives_its_worker_to_one_that_waits(cast, history, sources):
    other = factories.DEFINITIONS.replace("name: driver_hourly", "name: driver_other")
    with committed():
        second = make_version(cast, text=other)
        first, waiting = ask(history), ask(second)

    with committed():
        wants_more = runner.run(run_id=first.pk, worker="w", clock=lambda: AT)

    first.refresh_from_db()
    assert (wants_more, first.status, first.rows_offline) == (True, "queued", 3)
    with committed():
        assert runner.run(run_id=waiting.pk, worker="w", clock=lambda: AT) is True
        assert runner.run(run_id=first.pk, worker="w", clock=lambda: AT) is True
    first.refresh_from_db()
    assert first.rows_offline == 6
    MaterializationRun.objects.filter(pk=waiting.pk).update(status="cancelled")
    with committed():
        assert perform(first).status == "succeeded"
    equals_the_source(history)


def test_a_value_that_cannot_be_read_fails_the_chunk_it_is_in(cast, sources, settings):
    settings.RUN_CHUNK_ROWS = 3
    write_rows(sources, [(k, e, c, r, n if n < 15 else 2**40) for k, e, c, r, n in HISTORY], WIDE)
    with committed():
        version = make_version(cast)
        run = materialize(version)

    assert (run.status, run.error_code) == ("failed", "source_value_invalid")
    assert "driver_stats.parquet" in run.error
    assert len(stored(version)) == 15


def test_an_increment_goes_before_the_histories_that_wait(cast, history, sources):
    texts = [
        factories.DEFINITIONS.replace("name: driver_hourly", f"name: driver_{name}")
        for name in ("other", "third")
    ]
    later, long = AT + HOUR, AT + HOUR + timedelta(minutes=11)
    with committed():
        others = [make_version(cast, text=text) for text in texts]
        materialize(history)
        first, second = (ask(each, end=later, at=later) for each in others)
        increment = ask(history, end=later, at=later)

    def turn(run: MaterializationRun, at: datetime) -> list[int]:
        with committed():
            return runner.take_turn(run_id=run.pk, worker="w", clock=lambda: at)

    assert (second.kind, increment.kind) == ("backfill", "incremental")
    assert turn(first, later) == [first.pk]
    increment.refresh_from_db()
    assert increment.status == "succeeded"
    assert turn(increment, later) == []  # its own message comes too late
    assert turn(first, later) == [first.pk]  # it stored a chunk, and the other waits
    with committed():
        another = ask(history, end=long, at=long)
    assert turn(second, long) == [second.pk]  # it has given way for long enough
    first.refresh_from_db(), second.refresh_from_db(), another.refresh_from_db()
    assert [first.rows_offline, second.rows_offline, another.status] == [3, 3, "queued"]
