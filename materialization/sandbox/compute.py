# ruff: noqa: S608 - names and texts are quoted by sql_text
"""What happens inside the child: open the source, compute or probe, write rows and the report.

Not for confinement (``main``, ``session``). Nothing here is called in the parent.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, TextIO

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from lib.errors import AssayError
from materialization.compute.jobs import ComputeJob, Counters, Envelope, Report
from materialization.errors import to_report
from materialization.sandbox import look
from materialization.sandbox.failures import translate
from materialization.sandbox.session import open_locked
from materialization.sources.reading import OpenedSource, open_source
from materialization.stores.columns import computed_schema
from materialization.transforms.aggregation.run import aggregate
from materialization.transforms.row_query import NO_KEY, NO_TIME, row_query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from materialization.compute.limits import EngineLimits


def read_envelope(data: bytes) -> Envelope:
    return msgspec.json.decode(data, type=Envelope)


def run(envelope: Envelope, *, rows: IO[bytes], report: TextIO) -> int:
    """Do the job; return the exit code: 0 done, 1 refused with a report, 2 nobody reads on."""
    opened: OpenedSource | None = None
    try:
        job, limits = envelope.job, envelope.limits
        state = job.state_files if isinstance(job, ComputeJob) else ()
        connection = open_locked(
            [*job.source.paths, *state], limits=limits, temp_directory=envelope.temp_directory
        )
        opened = open_source(connection, job.spec, job.source)
        if isinstance(job, ComputeJob):
            outcome = Report(counters=_compute(connection, job, limits, opened, rows))
        else:
            outcome = Report(probe=look.probe(connection, job.spec, opened))
    except BrokenPipeError:
        return 2
    except (AssayError, duckdb.Error, pa.ArrowException, OSError) as exc:
        error = translate(exc, known=opened.columns if opened else None)
        outcome = Report(error=to_report(error))
    report.write(msgspec.json.encode(outcome).decode() + "\n")
    report.flush()
    return 1 if outcome.error else 0


def _compute(
    connection: duckdb.DuckDBPyConnection,
    job: ComputeJob,
    limits: EngineLimits,
    opened: OpenedSource,
    rows: IO[bytes],
) -> Counters:
    schema = computed_schema(job.spec)
    if job.spec.is_aggregated:
        done = aggregate(
            connection,
            job,
            columns=opened.columns,
            relation=opened.relation,
            slice_rows=limits.slice_rows,
        )
        counters, queries = done.counters, done.queries
    else:
        counters = Counters()
        query = row_query(
            job.spec, opened.columns, relation=opened.relation,
            window_start=job.window_start, window_end=job.window_end,
        )  # fmt: skip
        queries = iter([query])
    with pa.ipc.new_stream(rows, schema) as stream:
        for batch in _batches(connection, queries, limits):
            kept, seen = (batch, Counters()) if job.spec.is_aggregated else _drop(batch)
            counters = _added(counters, seen, kept.num_rows)
            if kept.num_rows:
                stream.write_batch(kept.select(schema.names).cast(schema))
    return counters


def _batches(
    connection: duckdb.DuckDBPyConnection, queries: Iterator[str], limits: EngineLimits
) -> Iterator[pa.RecordBatch]:
    for query in queries:
        yield from connection.sql(query).to_arrow_reader(limits.batch_rows)


def _drop(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, Counters]:
    """Take off the two marks, and the rows they are set on."""
    no_time, no_key = batch.column(NO_TIME), batch.column(NO_KEY)
    unusable = pc.or_(no_time, no_key)
    without_time = pc.sum(no_time).as_py() or 0
    without_key = (pc.sum(unusable).as_py() or 0) - without_time
    counters = Counters(
        rows_read=batch.num_rows, dropped_null_key=without_key, dropped_null_time=without_time
    )
    return batch.drop_columns([NO_TIME, NO_KEY]).filter(pc.invert(unusable)), counters


def _added(left: Counters, right: Counters, rows: int) -> Counters:
    return Counters(
        rows_read=left.rows_read + right.rows_read,
        dropped_null_key=left.dropped_null_key + right.dropped_null_key,
        dropped_null_time=left.dropped_null_time + right.dropped_null_time,
        rows=left.rows + rows,
    )
