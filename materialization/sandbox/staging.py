# ruff: noqa: S608 - names are quoted by sql_text, queries are our own writing
"""A job's rows written where they will stay: Parquet files in the staging folder of their table.

Not for making them part of the table: the parent does, after its checks.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lib.sql_text import identifier, text
from materialization.compute.stored_rows_sql import ORDERED_ROWS, as_staged_files
from materialization.stores.columns import EVENT, SEQUENCE, stored_schema

if TYPE_CHECKING:
    import duckdb

    from materialization.compute.jobs import ComputeJob
    from materialization.sandbox.telling import Telling
    from materialization.transforms.rows import Query, Rows
    from registry.spec.model import VersionSpec


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


def columns_sql(spec: VersionSpec, sequence: int) -> str:
    """Return the columns of stored rows, of which the sequence is not in the query."""
    return ", ".join(
        f"{sequence:d}::BIGINT AS {SEQUENCE}" if name == SEQUENCE else identifier(name)
        for name in stored_schema(spec).names
    )


def _copy_sql(job: ComputeJob, query: Query, number: int) -> str:
    """Return SQL that writes the rows in the order of their events, if that is soon done.

    Then a read of some time opens few row groups. Of more rows than memory holds ordering takes
    several times as long as all else; they stay as the source has them.
    """
    ordered = query.rows is None or query.rows <= ORDERED_ROWS
    order = f" ORDER BY {EVENT}" if ordered else ""
    return (
        f"COPY (SELECT {columns_sql(job.spec, job.sequence)} FROM ({query.sql}){order})"
        f" TO {text(str(Path(job.staging) / str(number)))} {as_staged_files(job.spec)}"
    )
