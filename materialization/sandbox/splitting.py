# ruff: noqa: S608 - names are quoted by sql_text, queries are our own writing
"""One reading of a source for several windows of it: the rows of each written apart.

Not for one window (``staging``), nor for where a run is cut (``survey``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lib.sql_text import instant, text, text_list
from materialization.compute.jobs import Prepared, Split
from materialization.compute.stored_rows_sql import as_staged_files
from materialization.errors import EngineStopped
from materialization.sandbox.staging import columns_sql
from materialization.stores.columns import CREATED, EVENT
from materialization.transforms.arrival import numbered_window
from materialization.transforms.columns import split_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import duckdb

    from materialization.compute.jobs import Counters, SplitJob
    from materialization.sources.reading import OpenedSource
    from materialization.transforms.rows import Opening

_PART = "__part"
#: The staging folder itself may not be written as a whole.
_FOLDER = "parts"
#: Windows that would read the source so often, each by itself, are written apart instead.
_WORTH = 2.0


def split(connection: duckdb.DuckDBPyConnection, job: SplitJob, open_part: Opening) -> Split:
    opened = open_part(job.source)
    if _times_read(connection, job, opened) < _WORTH:
        return Split(None)
    query, counted = split_rows(connection, job, open_part)
    place = f"greatest({EVENT}, {CREATED})"
    columns = (
        f"{columns_sql(job.spec, job.sequence)}, {numbered_window(place, job.ends)} AS {_PART}"
    )
    folder = str(Path(job.staging) / _FOLDER)
    written = connection.execute(
        f"COPY (SELECT {columns} FROM ({query})) TO {text(folder)}"
        f" {as_staged_files(job.spec, apart_by=_PART)}"
    ).fetchall()
    return Split(tuple(parts_of(written, counted, folder)))


def _times_read(
    connection: duckdb.DuckDBPyConnection, job: SplitJob, opened: OpenedSource
) -> float:
    """Return how many times over the windows would read the source's rows.

    A reader leaves out row groups by the event column of Parquet files, if that is an instant.
    """
    column, many = job.spec.rows_from.event_timestamp.column, len(job.ends)
    kind = opened.columns.get(column)
    if job.source.format != "parquet" or kind != "TIMESTAMP WITH TIME ZONE":
        return float(many)
    least, most = (f"TRY_CAST(stats_{end}_value AS TIMESTAMPTZ)" for end in ("min", "max"))
    starts = [None, *job.ends[:-1]] if job.spec.rows_from.created_timestamp is None else []
    read = " + ".join(_reads_sql(least, most, starts, job.ends))
    total, rows = connection.execute(
        f"SELECT sum(row_group_num_rows * coalesce({read}, {many})), sum(row_group_num_rows)"
        f" FROM parquet_metadata({text_list(job.source.paths)})"
        f" WHERE path_in_schema = {text(column)}"
    ).fetchall()[0]
    return float(total) / float(rows) if rows else float(many)


def _reads_sql(
    least: str, most: str, starts: list[datetime | None], ends: tuple[datetime, ...]
) -> Iterator[str]:
    """Yield for each window whether it reads a row group: 1 or 0, NULL where nobody can say."""
    for number, end in enumerate(ends):
        start = starts[number] if starts else None
        since = f" AND {most} > {instant(start)}" if start is not None else ""
        yield f"({least} <= {instant(end)}{since})::INTEGER"


def parts_of(
    written: list[tuple[Any, ...]], counted: list[Counters], folder: str
) -> Iterator[Prepared]:
    """Yield the files of each window; ``written`` begin with the name and the rows of a file.

    :raises EngineStopped: a file is of no window, or has other rows than were counted.
    """
    apart = {f"{folder}/{_PART}={number}": number for number, _ in enumerate(counted)}
    files: list[dict[str, int]] = [{} for _ in counted]
    for name, rows, *_ in written:
        number = apart.get(str(Path(name).parent))
        if number is None:
            raise EngineStopped(
                f"rows were read once for {len(counted)} windows, and {rows:,} of them were written"
                f" for none ({Path(name).parent.name}/{Path(name).name})."
            )
        files[number][name] = rows
    for number, counters in enumerate(counted):
        rows = sum(files[number].values())
        usable = counters.rows_read - counters.dropped_null_key - counters.dropped_null_time
        if rows != usable:
            raise EngineStopped(
                f"{rows:,} rows were written for window {number + 1} of {len(counted)}, which has"
                f" {usable:,} in the source."
            )
        yield Prepared(tuple(sorted(files[number])), msgspec.structs.replace(counters, rows=rows))
