# ruff: noqa: S608 - names are quoted by sql_text, queries are our own writing
"""A job's rows written where they will stay: Parquet files in the staging folder of their table.

Not for making them part of the table: the parent does, after its checks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lib.sql_text import identifier, text
from materialization.compute.reports import Events
from materialization.compute.stored_rows_sql import ORDERED_ROWS, as_staged_files
from materialization.stores.columns import EVENT, EVENTS, SEQUENCE, stored_schema
from materialization.transforms.aggregation.events import AS_EVENT_FILES
from materialization.transforms.stretches import cuts, stretch_number

if TYPE_CHECKING:
    import duckdb

    from materialization.compute.jobs import ComputeJob
    from materialization.sandbox.telling import Telling
    from materialization.transforms.rows import Query, Rows
    from registry.spec.version_spec import VersionSpec

#: The number of the stretch that a row is in: the name of a folder, and in no file.
PART = "__part"


def stage(
    connection: duckdb.DuckDBPyConnection, job: ComputeJob, rows: Rows, telling: Telling
) -> tuple[tuple[str, ...], int]:
    """Write what the queries give; return the files that have rows, and how many rows they have."""
    files: list[str] = []
    count = 0
    for number, query in enumerate(rows.queries):
        telling.begin(number, rows.expected)
        written = connection.execute(_copy_sql(job, query, number)).fetchall()
        files += [name for name, size, *_ in written if size]
        count += sum(size for _, size, *_ in written)
    return tuple(files), count


def stage_events(connection: duckdb.DuckDBPyConnection, job: ComputeJob, sql: str) -> Events:
    """Write what the rows are made of into a folder of its own; nothing where nothing is asked."""
    if not sql:
        return Events()
    written = connection.execute(
        f"COPY (SELECT * REPLACE ({job.sequence:d}::BIGINT AS {SEQUENCE}) FROM ({sql})"
        f" ORDER BY {EVENT}) TO {text(str(Path(job.staging) / EVENTS))} {AS_EVENT_FILES}"
    ).fetchall()
    files = tuple(name for name, size, *_ in written if size)
    return Events(files, sum(size for _, size, *_ in written))


def columns_sql(spec: VersionSpec, sequence: int) -> str:
    """Return the columns of stored rows, of which the sequence is not in the query."""
    return ", ".join(
        f"{sequence:d}::BIGINT AS {SEQUENCE}" if name == SEQUENCE else identifier(name)
        for name in stored_schema(spec).names
    )


def _copy_sql(job: ComputeJob, query: Query, number: int) -> str:
    """Return SQL that writes the rows in the order of their events, or in files of some time each.

    Either way a read of some time opens few row groups. Ordering more rows than memory holds takes
    as long again as writing them and as much room on the disk; cutting them by time a third of it.
    """
    columns, apart, order = columns_sql(job.spec, job.sequence), "", ""
    if query.rows is None or query.rows <= ORDERED_ROWS:
        order = f" ORDER BY {EVENT}"
    elif found := cuts(job.spec, query.moments, query.rows):
        columns, apart = f"{columns}, {stretch_number(found)} AS {PART}", PART
    return (
        f"COPY (SELECT {columns} FROM ({query.sql}){order})"
        f" TO {text(str(Path(job.staging) / str(number)))}"
        f" {as_staged_files(job.spec, apart_by=apart)}"
    )
