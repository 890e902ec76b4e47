"""More rows than are ordered are cut into files by time; a read of some time opens no others."""

from __future__ import annotations

import io
import random
from datetime import timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materialization.compute.duckdb_engine import DuckDBEngine
from materialization.compute.jobs import ComputeJob, Envelope, Reading, SplitJob
from materialization.compute.questions import FOUND_EVENT, JoinQuestion, Timing
from materialization.compute.reports import Report
from materialization.sandbox import compute as sandbox_run
from materialization.sandbox import splitting, staging
from materialization.sources.files import resolve_source
from materialization.stores.columns import EVENT, INSTANT, stored_schema
from materialization.transforms import stretches
from tests.materialization.engine_cases import END, LIMITS, at, make_spec, write_parquet

T = at("2024-03-01T00:00")
MINUTE = timedelta(minutes=1)
ROWS = 3000
SPEC = make_spec(features=[("x", "float64")], created="created")
SCHEMA = pa.schema(
    [("k", pa.int64()), ("event", INSTANT), ("created", INSTANT), ("x", pa.float64())]
)


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch):
    monkeypatch.setattr(staging, "ORDERED_ROWS", 1000)
    monkeypatch.setattr(stretches, "_FEWEST_ROWS", 300)
    monkeypatch.setattr(stretches, "_VALUES", 0)
    monkeypatch.setattr(stretches, "_ONE_IN", 1)


def source_of(tmp_path, *, lasting=ROWS, late=lambda n: 0, times=1):
    """Write rows in no order, a minute apart within ``lasting`` minutes; some are known later."""
    rows = [
        {"k": n % 7, "event": event, "created": event + MINUTE * late(n), "x": float(n)}
        for n in range(ROWS)
        for event in [T + MINUTE * (n % lasting)] * times
    ]
    random.Random(5).shuffle(rows)
    write_parquet(tmp_path, rows, SCHEMA, row_group_size=500)
    return resolve_source(SPEC.source, root=str(tmp_path))


def reported(tmp_path, job, field):
    said = io.StringIO()
    sandbox_run.run(
        Envelope(job, LIMITS, str(tmp_path)), asked=io.BytesIO(), told=io.BytesIO(), report=said
    )
    report = msgspec.json.decode(said.getvalue(), type=Report)
    assert report.error is None
    return getattr(report, field)


def folder(tmp_path):
    (tmp_path / "staging").mkdir()
    return str(tmp_path / "staging")


def staged(tmp_path, source):
    job = ComputeJob(spec=SPEC, source=source, window_end=END, staging=folder(tmp_path))
    computed = reported(tmp_path, job, "computed")
    assert computed.counters.rows == ROWS
    return computed.files


def numbers(files):
    schema = stored_schema(SPEC)
    return sorted(n for f in files for n in pq.read_table(f, schema=schema)["x"].to_pylist())


def extents(files):
    """Return the first and last event of each file, in order of time."""
    times = [pq.read_table(f, schema=stored_schema(SPEC))[EVENT].to_pylist() for f in files]
    return sorted((min(each), max(each)) for each in times)


def are_apart(found):
    return all(before[1] < after[0] for before, after in zip(found, found[1:], strict=False))


def test_many_rows_lie_in_files_of_some_time_each(tmp_path):
    files = staged(tmp_path, source_of(tmp_path))

    found = extents(files)
    assert len(found) == 10
    assert are_apart(found)
    assert max(last - first for first, last in found) < 400 * MINUTE
    assert numbers(files) == sorted(map(float, range(ROWS)))


def test_what_is_left_out_as_given_twice_leaves_files_of_some_time(tmp_path):
    """Of two readings, each of more rows than are ordered."""
    source, half = source_of(tmp_path, times=2), T + MINUTE * 1500
    readings = (Reading(source, ((None, half),)), Reading(source, ((half, END),)))
    job = ComputeJob(SPEC, source, END, readings=readings, staging=folder(tmp_path))

    computed = reported(tmp_path, job, "computed")

    assert (computed.counters.rows, computed.counters.repeated) == (ROWS, ROWS)
    assert len(computed.files) > 10
    assert are_apart(extents(computed.files))
    assert numbers(computed.files) == sorted(map(float, range(ROWS)))


@pytest.mark.parametrize(("lasting", "most"), [(1, 1), (3, 3)])
def test_events_of_one_moment_are_not_cut(tmp_path, lasting, most):
    files = staged(tmp_path, source_of(tmp_path, lasting=lasting))

    found = extents(files)
    assert 1 <= len(found) <= most
    assert are_apart(found)
    assert numbers(files) == sorted(map(float, range(ROWS)))


def damage(file):
    """Make a file's rows unreadable; what its footer says of them stays."""
    path = Path(file)
    data, footer = path.read_bytes(), pq.read_metadata(file).serialized_size + 8
    path.write_bytes(data[:4] + b"\xff" * (len(data) - footer - 4) + data[-footer:])


@pytest.mark.parametrize("timing", list(Timing))
def test_a_read_of_some_time_opens_the_files_of_that_time(tmp_path, timing):
    files = staged(tmp_path, source_of(tmp_path, late=lambda n: n % 2))
    spec = msgspec.structs.replace(SPEC, view=msgspec.structs.replace(SPEC.view, ttl="1h"))
    moment = T + MINUTE * 1500
    for file in files:
        ((first, last),) = extents([file])
        if last < moment - timedelta(hours=1) or first > moment:
            damage(file)
    asked = pa.table({"k": list(range(7)), "event_timestamp": pa.array([moment] * 7, INSTANT)})

    question = JoinQuestion(spec, files, ("x",), asked, timing)
    [answer] = DuckDBEngine(LIMITS).point_in_time_joins([question])

    assert answer.rows[FOUND_EVENT].null_count == 0
    assert max(answer.rows["x"].to_pylist()) in (1499.0, 1500.0)


def test_a_look_back_at_some_time_opens_nothing_later(tmp_path):
    files = staged(tmp_path, source_of(tmp_path))
    moment = T + MINUTE * 1500
    for file in files:
        if extents([file])[0][0] > moment:
            damage(file)

    with DuckDBEngine(LIMITS).latest_rows(files, SPEC, as_of=moment) as reader:
        found = reader.read_all()

    assert sorted(found["x"].to_pylist()) == [float(n) for n in range(1494, 1501)]


@pytest.mark.parametrize("most", [60, 2])
def test_rows_written_for_several_windows_are_cut_by_time_as_well(tmp_path, monkeypatch, most):
    """Late ones, too, which are of a later window than their event."""
    monkeypatch.setattr(splitting, "MOST", most)
    ends = tuple(T + MINUTE * n for n in (1000, 2000, 5000))
    source = source_of(tmp_path, late=lambda n: 900 if n % 10 == 0 else 0)
    job = SplitJob(SPEC, source, None, ends, folder(tmp_path), sequence=3)

    parts = reported(tmp_path, job, "split").parts

    assert [len(part.files) for part in parts] == ([4, 4, 4] if most == 60 else [1, 1, 1])
    known = [n + 900 if n % 10 == 0 else n for n in range(ROWS)]
    for part, first, last in zip(parts, (-1, 1000, 2000), (1000, 2000, 5000), strict=True):
        assert are_apart(extents(part.files))
        of_window = [float(n) for n in range(ROWS) if first < known[n] <= last]
        assert numbers(part.files) == of_window
        assert part.counters.rows == len(of_window)
