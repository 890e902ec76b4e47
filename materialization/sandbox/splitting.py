# ruff: noqa: S608 - names are quoted by sql_text, queries are our own writing
"""One reading of a source for several windows of it: the rows of each written apart, by time.

Not for one window (``staging``), nor for where a run is cut (``survey``).
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lib.sql_text import instant, text, text_list
from materialization.compute.reports import Prepared, Split
from materialization.compute.stored_rows_sql import as_staged_files
from materialization.errors import EngineStopped
from materialization.sandbox.staging import PART, columns_sql
from materialization.stores.columns import CREATED, EVENT
from materialization.transforms.columns import split_rows
from materialization.transforms.stretches import MOST, cuts, stretch_number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import duckdb

    from materialization.compute.jobs import SplitJob
    from materialization.compute.reports import Counters
    from materialization.sources.reading import OpenedSource
    from materialization.transforms.columns import WindowRows
    from materialization.transforms.rows import Opening

#: The staging folder itself may not be written as a whole.
_FOLDER = "parts"
#: Windows that would read the source so often, each by itself, are written apart instead.
_WORTH = 2.0


def split(connection: duckdb.DuckDBPyConnection, job: SplitJob, open_part: Opening) -> Split:
    opened = open_part(job.source)
    if _times_read(connection, job, opened) < _WORTH:
        return Split(None)
    query, windows = split_rows(connection, job, open_part)
    number, firsts = _numbered(job, windows)
    folder = str(Path(job.staging) / _FOLDER)
    written = connection.execute(
        f"COPY (SELECT {columns_sql(job.spec, job.sequence)}, {number} AS {PART} FROM ({query}))"
        f" TO {text(folder)} {as_staged_files(job.spec, apart_by=PART)}"
    ).fetchall()
    counted = [window.counters for window in windows]
    return Split(tuple(parts_of(written, counted, folder, firsts)))


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


def _numbered(job: SplitJob, windows: list[WindowRows]) -> tuple[str, list[int]]:
    """Return SQL for the number of a row's part, a stretch of its window; and each window's first.

    After those comes the number that follows the last.
    """
    place, most = f"greatest({EVENT}, {CREATED})", MOST // len(windows)
    within, firsts = "", [0]
    for end, window in zip(job.ends, windows, strict=True):
        found = cuts(job.spec, window.moments, window.counters.rows, most=most)
        within += f" WHEN {place} <= {instant(end)} THEN {stretch_number(found, firsts[-1])}"
        firsts.append(firsts[-1] + len(found) + 1)
    return f"CASE{within} END", firsts


def parts_of(
    written: list[tuple[Any, ...]], counted: list[Counters], folder: str, firsts: list[int]
) -> Iterator[Prepared]:
    """Yield the files of each window; ``written`` begin with the name and the rows of a file.

    Those of a window are of the parts from its first (``firsts``) up to that of the next.

    :raises EngineStopped: a file is of no window, or has other rows than were counted.
    """
    apart = {
        f"{folder}/{PART}={part}": number
        for number, ends in enumerate(pairwise(firsts))
        for part in range(*ends)
    }
    files: list[dict[str, int]] = [{} for _ in counted]
    for name, rows, *_ in written:
        number = apart.get(str(Path(name).parent))
        if number is None:
            raise EngineStopped(
                f"rows were read once for {len(counted)} windows, and {rows:,} of them were written"
                f" for none ({Path(name).parent.name}/{Path(name).name}); the run is tried again."
            )
        files[number][name] = rows
    for number, counters in enumerate(counted):
        rows = sum(files[number].values())
        usable = counters.rows_read - counters.dropped_null_key - counters.dropped_null_time
        if rows != usable:
            raise EngineStopped(
                f"{rows:,} rows were written for window {number + 1} of {len(counted)}, which has"
                f" {usable:,} in the source; the run is tried again."
            )
        yield Prepared(tuple(sorted(files[number])), msgspec.structs.replace(counters, rows=rows))
