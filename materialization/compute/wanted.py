"""What a job reads of a source of another system: the columns, and the stretch of time.

Not for fetching it (``staging``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from lib.instants import MICROSECOND
from materialization.compute.jobs import (
    ComputeJob,
    FitJob,
    LookJob,
    QueryJob,
    SplitJob,
    SurveyJob,
)
from materialization.finding.fetching import Wanted
from materialization.transforms.aggregation.encoding import tick_before
from registry.spec.row_sql import names_used_again
from registry.spec.sources.http import HttpSource

if TYPE_CHECKING:
    from registry.spec.sources.kinds import Source
    from registry.spec.version_spec import VersionSpec

#: Rows of another system that somebody who plans waits for: the rest is seen by the first run.
LOOK_ROWS = 200_000
#: The days at the ends of the calendar: nothing is before the first.
_FIRST, _LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


def wanted_of(job: ComputeJob | LookJob | SurveyJob | SplitJob | FitJob | QueryJob) -> Wanted:
    """Return what a job reads of its source."""
    if isinstance(job, LookJob):
        since = [spec.takes_since for spec in job.specs]
        first = None if None in since else min(each for each in since if each is not None)
        return Wanted(_columns_of(job.specs), most_rows=LOOK_ROWS, since=first)
    spec, wanted = job.spec, _columns_wanted(job.spec)
    if isinstance(job, QueryJob):
        return wanted
    if isinstance(job, FitJob):
        after, until = _ranges(job)
        return wanted._replace(after=after, until=until)
    if spec.transform.makes_ticks:
        end = job.ends[-1] if isinstance(job, SplitJob) else job.window_end
        # Whether the source lost its beginning is told by its first row, whenever that was.
        seeks_first = isinstance(job, ComputeJob) and job.corrects_at is not None
        after = None if seeks_first else _reached(spec, job.window_start)
        return wanted._replace(after=after, until=end)
    moved = spec.times_moved.values()
    if None in moved:  # windows are of the times that the SQL gives, and those are any
        return wanted
    after, until = _widened(*_hull(job), days=max((days or 0 for days in moved), default=0))
    return wanted._replace(after=after, until=until, by_arrival=True, since=spec.takes_since)


def _columns_wanted(spec: VersionSpec) -> Wanted:
    """Return which columns a version reads; its schema says which names are its SQL's own."""
    columns, sql = spec.columns_read, spec.view.sql
    if columns is not None and spec.schema is not None:
        return Wanted(columns & spec.schema.types.keys(), only_those=True)
    own = names_used_again(sql) if sql is not None else frozenset[str]()
    return Wanted(columns, only_those=columns is not None, own=own)


def specs_of(
    job: ComputeJob | LookJob | SurveyJob | SplitJob | FitJob | QueryJob,
) -> tuple[VersionSpec, ...]:
    return job.specs if isinstance(job, LookJob) else (job.spec,)


def wanted_beside(
    job: ComputeJob | LookJob | SurveyJob | SplitJob | FitJob | QueryJob, place: int
) -> Wanted:
    """Return what a job reads of a source that is joined.

    As far back as its ttl before the first row: where the source says when a row was known, rows
    of any event may be among those of a window. Asked by when they were known, rows of that ttl are
    any.
    """
    specs = specs_of(job)
    columns = _columns_of(tuple(spec.side(place) for spec in specs))
    spec, ttl = specs[0], specs[0].view.sources[place].ttl_duration
    if isinstance(job, LookJob):
        return Wanted(columns, most_rows=LOOK_ROWS)
    if isinstance(job, FitJob | QueryJob):
        return Wanted(columns, only_those=True)
    after, until = _hull(job)
    is_any = (
        _asks_by_known(spec.joined[place].source) or spec.rows_from.created_timestamp is not None
    )
    if ttl is None or after is None or is_any:
        return Wanted(columns, None, until, only_those=True)
    return Wanted(columns, after - ttl, until, only_those=True)


def _columns_of(specs: tuple[VersionSpec, ...]) -> frozenset[str] | None:
    """Return the columns that all of the versions read together; None: one reads all."""
    read = [spec.columns_read for spec in specs]
    return None if None in read else frozenset().union(*(each for each in read if each))


def _hull(job: ComputeJob | SurveyJob | SplitJob) -> tuple[datetime | None, datetime]:
    """Return the stretch in which all windows of a job lie."""
    if isinstance(job, ComputeJob):
        windows = [window for reading in job.all_readings() for window in reading.windows]
    else:
        end = job.ends[-1] if isinstance(job, SplitJob) else job.window_end
        windows = [(job.window_start, end)]
    starts = [start for start, _ in windows]
    after = None if None in starts else min(start for start in starts if start is not None)
    return after, max(end for _, end in windows)


def _widened(
    after: datetime | None, until: datetime, *, days: int
) -> tuple[datetime | None, datetime | None]:
    """Return a stretch with so many days more on both sides; None: beyond the calendar."""
    more = timedelta(days=days)
    if after is not None:
        after = after - more if after - _FIRST > more else None
    return after, until + more if _LAST - until > more else None


def _ranges(job: FitJob) -> tuple[datetime | None, datetime | None]:
    """Return the stretch in which the ranges of all its fits lie.

    Of SQL, which may say otherwise when a row happened than the source does, all there is. Asked by
    when they were known, rows of a range are any: they may have been known long before.
    """
    fits = [
        each.encode.fit for each in job.spec.features if each.name in job.features and each.encode
    ]
    windows = [fit.window for fit in fits if fit is not None]
    if not windows or not job.spec.transform.reads_keys:
        return None, None
    start, end = min(start for start, _ in windows), max(end for _, end in windows)
    if _asks_by_known(job.spec.source):
        return None, end
    back = job.spec.view.longest_window or MICROSECOND
    # Nothing in the calendar is before its first instant.
    return (start - back if start - _FIRST > back else None), end


def _asks_by_known(source: Source | None) -> bool:
    """Return whether a source is asked for rows by when they were known, whenever they happened."""
    return isinstance(source, HttpSource) and source.asks_by == "created_timestamp"


def _reached(spec: VersionSpec, start: datetime | None) -> datetime | None:
    """Return the instant after which the events of all windows lie; None: they are any."""
    if spec.view.is_unbounded:
        return None  # no calendar has the instant at which such a window begins
    begin = tick_before(spec, start) or start
    if (since := spec.view.start) is not None:
        since = since - MICROSECOND
        begin = since if begin is None else max(begin, since)
    if begin is None:
        return None
    return begin - spec.view.longest_window
