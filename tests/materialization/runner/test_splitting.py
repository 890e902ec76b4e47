"""What the first chunk stages for those that follow: taken once, else read again, never left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from materialization.models import MaterializationRun
from materialization.queries import table_at
from materialization.requests.pausing import pause_run
from materialization.requests.runs import cancel_run
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
    table_of,
    write_rows,
)
from tests.materialization.runner.test_chunks import HISTORY, equals_the_source, stored

if TYPE_CHECKING:
    from registry.models import FeatureViewVersion

pytestmark = pytest.mark.django_db


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
    (folder,) = Path(table_at(table_of(history)).uri, "_staging").iterdir()
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
    dead = Path(table_at(table_of(history)).uri, "_staging", f"{waited_for.pk}-7-chunks", "parts")
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


def test_a_cancel_needs_no_store(cast, history, waited_for, settings):
    settings.OFFLINE_STORE = settings.OFFLINE_STORE / "a|b"  # no table can be found there
    with committed():
        cancel_run(run=waited_for, actor=cast.operator, at=AT)
        sweep(at=AT)

    waited_for.refresh_from_db()
    assert waited_for.status == "cancelled"


def test_where_there_is_no_room_each_chunk_reads_the_source_and_says_so(history, monkeypatch):
    monkeypatch.setattr(splitting, "MOST_BYTES", 400)
    with committed():
        run = materialize(history)

    assert run.status == "succeeded"
    assert "there is room for 0 MB" in run.source_counts["reads_again"]
    equals_the_source(history)
