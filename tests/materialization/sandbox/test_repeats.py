"""A row that a source has twice is stored once, whatever it is read from and however it lies."""

from __future__ import annotations

import io
import random
from datetime import timedelta

import msgspec
import pyarrow as pa
import pyarrow.csv
import pytest

from materialization.compute.jobs import ComputeJob, Envelope
from materialization.compute.reports import Report
from materialization.sandbox import compute as sandbox_run
from materialization.sandbox import repeats, staging
from materialization.sources.files import resolve_source
from materialization.transforms import alike
from tests.materialization.engine_cases import (
    END,
    LIMITS,
    at,
    compute_here,
    make_spec,
    write_parquet,
)

T = at("2024-03-01T12:00")
SCHEMA = pa.schema(
    [
        ("k", pa.int64()),
        ("event", pa.timestamp("us", tz="UTC")),
        ("created", pa.timestamp("us", tz="UTC")),
        ("x", pa.float64()),
        ("tags", pa.string()),
    ]
)


def row(k, hours, x=1.0, tags=None, known=0):
    event = T + timedelta(hours=hours)
    created = event + timedelta(hours=known)
    return {"k": k, "event": event, "created": created, "x": x, "tags": tags}


#: Each row, and how often the source has it: but one of each is left out.
ROWS = [
    (row(1, 0), 3),
    (row(1, 0, x=2.0), 2),  # a correction, given twice
    (row(1, 0, known=1), 1),
    (row(1, 1), 1),
    (row(2, 0, x=float("nan"), tags="a"), 2),
    (row(2, 0, x=None, tags="a"), 2),
    (row(2, 0, x=None, tags=""), 1),
    (row(3, 0, x=0.0), 1),
    (row(3, 0, x=-0.0), 1),
]


def given(seed=0):
    rows = [each for each, times in ROWS for _ in range(times)]
    random.Random(seed).shuffle(rows)
    return rows


def spec_of(path="rows.parquet", created="created"):
    return make_spec(path, features=[("x", "float64"), ("tags", "string")], created=created)


def values(row, event="event", created="created"):
    moment, known = row[event].timestamp(), row[created].timestamp()
    return repr((row["k"], moment, known, row["x"], row["tags"]))


@pytest.mark.parametrize("at_once", [16_000_000, 2])
@pytest.mark.parametrize("ordered", [2_000_000, 0])
def test_equal_rows_are_stored_once_and_counted(tmp_path, monkeypatch, at_once, ordered):
    monkeypatch.setattr(alike, "_AT_ONCE", at_once)
    monkeypatch.setattr(repeats, "ORDERED_ROWS", ordered)
    monkeypatch.setattr(staging, "ORDERED_ROWS", ordered)
    rows = given()
    write_parquet(tmp_path, rows[:6], SCHEMA, name="a.parquet")
    write_parquet(tmp_path, rows[6:], SCHEMA, name="b.parquet")

    table, counters = compute_here(spec_of("*.parquet"), tmp_path)

    found = [values(each, "event_timestamp", "created_timestamp") for each in table.to_pylist()]
    assert sorted(found) == sorted(values(each) for each, _ in ROWS)
    assert (counters.rows, counters.repeated, counters.rows_read) == (9, 5, 14)


def test_what_a_csv_has_twice_is_stored_once(tmp_path):
    table = pa.Table.from_pylist(given(), schema=SCHEMA).select(["k", "event", "x"])
    pa.csv.write_csv(table, tmp_path / "rows.csv")
    spec = make_spec("rows.csv", features=[("x", "float64")])

    table, counters = compute_here(spec, tmp_path)

    assert (table.num_rows, counters.repeated) == (7, 7)


def test_one_row_that_is_most_of_a_source_takes_no_more_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(alike, "_AT_ONCE", 100)
    monkeypatch.setattr(alike, "_BATCH", 2048)
    write_parquet(tmp_path, [row(1, 0)] * 9000 + [row(2, each) for each in range(500)], SCHEMA)

    table, counters = compute_here(spec_of(), tmp_path)

    assert (table.num_rows, counters.repeated) == (501, 8999)


def test_the_files_that_had_them_are_gone(tmp_path):
    """Of a job that is refused the whole folder is kept."""
    write_parquet(tmp_path, given(), SCHEMA)
    folder = tmp_path / "staging"
    folder.mkdir()
    source = resolve_source(spec_of().source, root=str(tmp_path))
    job = ComputeJob(spec=spec_of(), source=source, window_end=END, staging=str(folder))
    said = io.StringIO()

    sandbox_run.run(
        Envelope(job, LIMITS, str(tmp_path)), asked=io.BytesIO(), told=io.BytesIO(), report=said
    )

    computed = msgspec.json.decode(said.getvalue(), type=Report).computed
    assert sorted(map(str, folder.rglob("*.parquet"))) == sorted(computed.files)
    assert computed.profile["rows"] == len(ROWS)
