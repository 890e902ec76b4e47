"""Small specs and sources for the engine's tests, and the sandbox's work done in this process."""

from __future__ import annotations

import io
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from materialization.compute.jobs import ComputeJob, Envelope
from materialization.compute.limits import EngineLimits
from materialization.compute.reports import Report
from materialization.errors import from_report
from materialization.sandbox import compute as sandbox_run
from materialization.sources.files import resolve_source
from materialization.stores.columns import INSTANT, computed_schema, stored_schema
from registry.spec.aggregate_functions import LastK
from registry.spec.aggregations import AggregationSpec
from registry.spec.model import (
    EntitySpec,
    FeatureSpec,
    FeatureViewSpec,
    JoinKey,
    ScheduleSpec,
)
from registry.spec.sources.base import TimeColumn
from registry.spec.sources.files import FileSource
from registry.spec.version_spec import VersionSpec

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
#: Slices so small that every aggregation takes several.
LIMITS = EngineLimits(memory_limit_mb=512, threads=1, timeout_s=60, slice_rows=7, compared_rows=7)
END = datetime(2100, 1, 1, tzinfo=UTC)


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def make_spec(
    path="rows.parquet", *, keys=(("k", "int64"),), features=(("x", "float64"),),
    event="event", event_unit="timestamp", created=None, created_unit="timestamp", **view,
):  # fmt: skip
    """``features``: (name, type) or (name, type, column)."""
    return VersionSpec(
        view=FeatureViewSpec(
            name="view",
            entities=("entity",),
            source="rows",
            features=tuple(
                FeatureSpec(name=name, type=kind, column=column[0] if column else None)
                for name, kind, *column in features
            ),
            **view,
        ),
        source=FileSource(
            name="rows",
            path=path,
            event_timestamp=TimeColumn(column=event, unit=event_unit),
            created_timestamp=TimeColumn(column=created, unit=created_unit) if created else None,
        ),
        entities=(
            EntitySpec(name="entity", join_keys=tuple(JoinKey(name=n, type=t) for n, t in keys)),
        ),
    )


def write_parquet(directory, rows, schema, name="rows.parquet", **options):
    path = Path(directory) / name
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, **options)
    return path


def heavy_spec(root):
    """A view whose ticks each have the last thousand of 200,000 rows, over four years."""
    event = at("2024-03-01T12:00")
    schema = pa.schema([("k", pa.int64()), ("event", INSTANT), ("x", pa.float64())])
    apart = timedelta(minutes=10)
    many = [{"k": 1, "event": event + n * apart, "x": float(n)} for n in range(200_000)]
    write_parquet(root, many, schema)
    return make_spec(
        features=[("x_last_k_1000_3650d", "list<float64>")],
        aggregations=(AggregationSpec(column="x", functions=(LastK(k=1000),), windows=("3650d",)),),
        schedule=ScheduleSpec(every="10m"),
    )


def slow_spec(root):
    """A view whose rows each take a hundred hashes: it is long at work, and has little at hand."""
    write_parquet(
        root,
        [{"k": 1, "event": at("2024-03-01T12:00"), "x": float(n)} for n in range(200_000)],
        pa.schema([("k", pa.int64()), ("event", INSTANT), ("x", pa.float64())]),
    )
    hashed = " + ".join(f"length(md5(repeat(CAST(x + {n} AS VARCHAR), 20)))" for n in range(100))
    return make_spec(features=[("y", "int64")], sql=f"SELECT k, event, {hashed} AS y FROM rows")


def compute_here(
    spec, root, *, start=None, end=END, state_files=(), limits=LIMITS, first_event=None
):
    """Return (table, counters): what the child would give, without starting one."""
    job = ComputeJob(
        spec=spec,
        source=resolve_source(spec.source, root=str(root)),
        window_start=start,
        window_end=end,
        state_files=tuple(map(str, state_files)),
        first_event=first_event,
    )
    with tempfile.TemporaryDirectory() as staging:
        job, said = msgspec.structs.replace(job, staging=staging), io.StringIO()
        sandbox_run.run(
            Envelope(job, limits, str(root)), asked=io.BytesIO(), told=io.BytesIO(), report=said
        )
        report = msgspec.json.decode(said.getvalue(), type=Report)
        if report.error is not None:
            raise from_report(report.error)
        return staged_rows(report.computed, spec), report.computed.counters


def computed_rows(engine, job):
    """Return (table, counters) of a job that the engine performs."""
    with tempfile.TemporaryDirectory() as staging:
        given = msgspec.structs.replace(job, staging=staging)
        computed = engine.compute(given, watch=lambda share: None)
        return staged_rows(computed, job.spec), computed.counters


def staged_rows(computed, spec):
    """Return the rows of staged files without their sequence."""
    schema = stored_schema(spec)
    tables = [pq.read_table(file, schema=schema) for file in computed.files]
    rows = pa.concat_tables(tables) if tables else schema.empty_table()
    return rows.select(computed_schema(spec).names)


def wreck(path, group: int, *, column: int) -> None:
    """Overwrite one column's pages in one row group with nonsense."""
    found = pq.ParquetFile(path).metadata.row_group(group).column(column)
    first = found.dictionary_page_offset or found.data_page_offset
    with path.open("r+b") as file:
        file.seek(first)
        file.write(b"\xff" * found.total_compressed_size)
