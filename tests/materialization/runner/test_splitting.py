"""What the first chunk stages for those that follow: taken once, else read again, never left."""

from __future__ import annotations

import json
import shutil
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from materialization.chunks import Chunk, read_chunks, written_chunks
from materialization.compute import scratch
from materialization.models import MaterializationRun
from materialization.requests.cancelling import cancel_run
from materialization.requests.pausing import pause_run
from materialization.requests.sweep import sweep
from materialization.runner import run as runner
from materialization.runner import splitting
from tests import factories
from tests.factories import make_version
from tests.materialization.run_world import (
    AT,
    HOUR,
    ask,
    committed,
    materialize,
    perform,
    staged,
    staging_of,
    write_rows,
)
from tests.materialization.runner.test_chunks import (
    HISTORY,
    Killed,
    dead_remove_nothing,
    equals_the_source,
    stored,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from registry.models import FeatureViewVersion

pytestmark = pytest.mark.django_db

#: Another disk than that of the tests.
IN_MEMORY = "/dev/shm"  # noqa: S108


@pytest.fixture
def history(cast, sources, settings) -> FeatureViewVersion:
    settings.RUN_CHUNK_ROWS = 3
    write_rows(sources, HISTORY)
    with committed():
        return make_version(cast)


def one_chunk(run: MaterializationRun) -> None:
    """Store one chunk of a run: it stops before the next, for another that waits."""
    before = run.rows_offline
    with committed():
        assert runner.run(run_id=run.pk, worker="w", clock=lambda: AT) is True
    run.refresh_from_db()
    assert run.rows_offline > before


@pytest.fixture
def waited_for(cast, history) -> MaterializationRun:
    other = factories.DEFINITIONS.replace("name: driver_hourly", "name: driver_other")
    with committed():
        second = make_version(cast, text=other)
        run, _ = ask(history), ask(second)
    return run


def test_a_source_in_no_order_is_read_once_for_all_chunks(history, waited_for):
    one_chunk(waited_for)
    first = staged(history)
    one_chunk(waited_for)
    second = staged(history)
    MaterializationRun.objects.exclude(pk=waited_for.pk).update(status="cancelled")
    with committed():
        assert perform(waited_for).status == "succeeded"

    assert first == [f"__part={n}" for n in range(1, 6)]
    assert second == first[1:]
    assert staged(history) == []
    equals_the_source(history)


def halve(folder: Path, number: int) -> Path:
    """Have a part's rows in two files, as if two threads had written it; return the second."""
    note = json.loads((folder / "split.json").read_text())
    (name,) = note["parts"][number]["files"]
    rows = pq.read_table(folder / name)
    note["parts"][number]["files"].append(f"{name}-2")
    (folder / "split.json").write_text(json.dumps(note))
    pq.write_table(rows.slice(0, 1), folder / name)
    pq.write_table(rows.slice(1), folder / f"{name}-2")
    return folder / f"{name}-2"


@pytest.mark.parametrize("fault", ["a file is gone", "its note is gone", "the source changed"])
def test_what_was_staged_and_cannot_be_taken_is_read_again(history, waited_for, sources, fault):
    one_chunk(waited_for)
    (folder,) = staging_of(history).iterdir()
    if fault == "a file is gone":
        halve(folder, 1).unlink()
    elif fault == "its note is gone":
        (folder / "split.json").unlink()
    else:
        changed = [(k, e, c, r, n if n < 12 else n + 100) for k, e, c, r, n in HISTORY]
        write_rows(sources, changed)
    MaterializationRun.objects.exclude(pk=waited_for.pk).update(status="cancelled")
    with committed():
        assert perform(waited_for).status == "succeeded"

    assert staged(history) == []
    if fault == "the source changed":
        trips = [row[3] for row in stored(history)]
        assert sorted(trips) == [*range(12), *range(112, 116)]
    else:
        equals_the_source(history)


@pytest.mark.parametrize("lies_by", ["a cancel", "a pause", "deaths", "nothing"])
def test_what_is_staged_for_nobody_is_removed(cast, history, waited_for, lies_by):
    """Of the run's chunks, and by an attempt that died while it read."""
    one_chunk(waited_for)
    dead = staging_of(history) / f"{waited_for.pk}-7-chunks" / "parts"
    dead.mkdir(parents=True)
    (dead / "half.parquet").touch()
    with committed():
        sweep(at=AT)
    assert "parts" in staged(history)  # the run is live
    with committed():
        if lies_by == "a cancel":
            cancel_run(run=waited_for, actor=cast.operator, at=AT)
        elif lies_by == "a pause":
            pause_run(run=waited_for, actor=cast.operator, at=AT)
        elif lies_by == "deaths":
            MaterializationRun.objects.filter(pk=waited_for.pk).update(
                status="running", attempt=7, lease_expires_at=AT - HOUR
            )
        if lies_by != "nothing":
            sweep(at=AT)
            assert staged(history) == []
    MaterializationRun.objects.update(status="cancelled")

    with committed():
        assert materialize(history).status == "succeeded"

    assert staged(history) == []
    equals_the_source(history)


@pytest.fixture
def at_each_reading(history):
    """Give a clock that has something happen once an attempt has read all, before it keeps it."""

    def clock_with(happens: Callable[[], object]) -> Callable[[], datetime]:
        seen = set[Path]()

        def clock() -> datetime:
            new = set(staging_of(history).glob("*-*-chunks/[0-9]*")) - seen
            seen.update(new)
            if new:
                happens()
            return AT

        return clock

    return clock_with


def test_an_attempt_that_was_overtaken_leaves_the_staged_rows_of_the_next(
    history, waited_for, at_each_reading, settings
):
    def overtaken() -> None:
        sweep(at=AT + timedelta(seconds=settings.RUN_LEASE_SECONDS + 1))
        one_chunk(waited_for)

    with committed():
        clock = at_each_reading(overtaken)
        assert runner.run(run_id=waited_for.pk, worker="a", clock=clock) is False

    (folder,) = staging_of(history).iterdir()
    assert [each.name for each in folder.iterdir() if each.is_dir()] == ["2"]
    MaterializationRun.objects.exclude(pk=waited_for.pk).update(status="cancelled")
    with committed():
        assert perform(waited_for).status == "succeeded"
    equals_the_source(history)


def test_a_reading_of_all_that_ends_its_worker_each_time_is_given_up(
    history, at_each_reading, monkeypatch, settings
):
    dead_remove_nothing(monkeypatch)

    def die() -> None:
        raise Killed

    clock = at_each_reading(die)
    with committed():
        run = ask(history)
    for _ in range(2):
        with committed(), pytest.raises(Killed):
            runner.run(run_id=run.pk, worker="a", clock=clock)
        with committed():
            sweep(at=AT + timedelta(seconds=settings.RUN_LEASE_SECONDS + 1))
    with committed():
        runner.run(run_id=run.pk, worker="a", clock=clock)

    run.refresh_from_db()
    assert (run.status, run.attempt) == ("succeeded", 3), run.error
    assert "2 attempts stored no chunk" in run.source_counts["reads_again"]
    assert staged(history) == []
    equals_the_source(history)


def test_a_cancel_needs_no_store(cast, history, waited_for, settings):
    settings.OFFLINE_STORE = settings.OFFLINE_STORE / "a|b"  # no table can be found there
    with committed():
        cancel_run(run=waited_for, actor=cast.operator, at=AT)
        sweep(at=AT)

    waited_for.refresh_from_db()
    assert waited_for.status == "cancelled"


@pytest.mark.parametrize("others", [0, 1])
def test_what_is_free_is_given_away_once(cast, history, sources, monkeypatch, others):
    """Half of it is room for two chunks, and later for two more; half of the half is not.

    Beside what is staged there has to be room for as much that the engine spills.
    """
    each_row = (sources / "driver_stats.parquet").stat().st_size // len(HISTORY)
    free = shutil.disk_usage(sources)._replace(free=2 * 16 * each_row)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    text = factories.DEFINITIONS.replace("name: driver_hourly", "name: driver_other")
    with committed():
        another = ask(make_version(cast, text=text))
    chunks = written_chunks([Chunk(AT - HOUR), Chunk(AT)][: 1 + others])
    MaterializationRun.objects.filter(pk=another.pk).update(status="running", chunks=chunks)

    with committed():
        run = materialize(history)

    assert run.status == "succeeded"
    first, *following = ("reads_again" in each.counts for each in read_chunks(run.chunks))
    assert (first, any(following)) == (bool(others), bool(others))
    equals_the_source(history)


def test_a_note_that_cannot_be_written_costs_only_time(history, monkeypatch):
    monkeypatch.setattr(splitting, "_NOTE", "in_no_folder/split.json")
    with committed():
        run = materialize(history)

    assert run.status == "succeeded", run.traceback
    assert staged(history) == []
    equals_the_source(history)


@pytest.mark.parametrize("spills", ["beside it", "elsewhere"])
def test_what_the_engine_may_spill_counts_where_it_is_on_the_same_disk(
    history, sources, monkeypatch, spills
):
    each_row = (sources / "driver_stats.parquet").stat().st_size // len(HISTORY)
    free = shutil.disk_usage(sources)._replace(free=2 * 8 * each_row)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    if spills == "elsewhere":  # as where /tmp is a disk in memory
        if Path(IN_MEMORY).stat().st_dev == sources.stat().st_dev:
            pytest.skip("there is one disk only")
        monkeypatch.setattr(tempfile, "tempdir", IN_MEMORY)
        monkeypatch.setattr(scratch, "_kept", [])

    with committed():
        run = materialize(history)

    said = run.source_counts.get("reads_again", "")
    assert ("and spill up to 0 MB beside them" in said) == (spills == "beside it")
    assert bool(said) == (spills == "beside it")
    equals_the_source(history)


def test_where_there_is_no_room_each_chunk_reads_the_source_and_says_so(history, monkeypatch):
    monkeypatch.setattr(splitting, "MOST_BYTES", 400)
    with committed():
        run = materialize(history)

    assert run.status == "succeeded"
    assert "there is room for 0 MB" in run.source_counts["reads_again"]
    equals_the_source(history)
