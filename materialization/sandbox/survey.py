# ruff: noqa: S608 - names go through identifier(), the rest are numbers and names of our own
"""Where a window of a source is cut into parts of about as many rows each, by whole hours.

Not for computing them: each is a job of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.instants import from_us, to_us
from materialization.compute.reports import Survey
from materialization.transforms.arrival import taken
from materialization.transforms.base import base_casts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    import duckdb

    from materialization.compute.jobs import SurveyJob
    from materialization.sources.reading import OpenedSource

_HOUR_US = 3_600_000_000


def survey(connection: duckdb.DuckDBPyConnection, job: SurveyJob, opened: OpenedSource) -> Survey:
    """Count the window's rows by the hour in which each became visible, and cut between hours."""
    (rows,) = connection.execute(f"SELECT count(*) FROM {opened.relation}").fetchall()[0]
    if rows <= job.at_most:
        return Survey(((job.window_end, rows),))
    hours = connection.execute(_hours_sql(job, opened)).fetchall()
    rows = sum(count for _, count in hours)
    many = min(-(-rows // job.at_most), job.parts) or 1
    parts = _cut(hours, wanted=-(-rows // many), shortest_us=job.shortest_us)
    return Survey(tuple(_ended(parts, to_us(job.window_end))))


def _hours_sql(job: SurveyJob, opened: OpenedSource) -> str:
    """Return each hour that has rows, by its end in µs, and how many."""
    base = base_casts(job.spec, opened.columns)
    times = f"SELECT {base.event.strict} AS e, {base.created_sql} AS c FROM {opened.relation}"
    end = f"(ceil(epoch_us(greatest(e, c)) / {_HOUR_US}.0) * {_HOUR_US})::BIGINT"
    wanted = taken(job.spec, [(job.window_start, job.window_end)])
    return f"SELECT {end}, count(*) FROM ({times}) WHERE {wanted} GROUP BY 1 ORDER BY 1"


def _cut(
    hours: Iterable[tuple[int, int]], *, wanted: int, shortest_us: int
) -> Iterator[tuple[int, int]]:
    """Yield the end of each part, and its rows; the last ends with the last hour."""
    rows, end, began = 0, 0, None
    for end, count in hours:
        began = end - _HOUR_US if began is None else began
        rows += count
        if rows >= wanted and end - began >= shortest_us:
            yield end, rows
            rows, began = 0, end
    if rows:
        yield end, rows


def _ended(parts: Iterable[tuple[int, int]], last_us: int) -> Iterator[tuple[datetime, int]]:
    """Yield the parts with their ends as instants; the last ends where the window does."""
    *before, (_, rows) = list(parts) or [(0, 0)]
    for end, count in before:
        if end < last_us:
            yield from_us(end), count
        else:  # the window ends within an hour
            rows += count
    yield from_us(last_us), rows
