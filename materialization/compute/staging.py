"""Rows of other systems written into files before the job that reads them begins.

The parent fetches, with credentials, what the job reads and hardly more; the sandbox gets a job
that reads those files and nothing else. Not for fetching (``finding``).
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import msgspec

from lib.errors import AssayError
from lib.instants import MICROSECOND
from materialization.compute.jobs import ComputeJob, FitJob, LookJob, SplitJob, SurveyJob
from materialization.errors import TEMP_PREFIX
from materialization.finding.fetching import Fetched, Wanted
from materialization.sources.inputs import LinkedRows, SourceFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from materialization.compute.jobs import Counters, Reading
    from materialization.compute.limits import EngineLimits
    from materialization.finding.fetching import Fetch
    from materialization.sources.inputs import SourceInput
    from registry.spec.model import VersionSpec

_Reading = TypeVar("_Reading", ComputeJob, LookJob, SurveyJob, SplitJob, FitJob)
#: Rows of another system that somebody who plans waits for: the rest is seen by the first run.
LOOK_ROWS = 200_000


@dataclass(frozen=True)
class Staged(Generic[_Reading]):
    """A job over files that are here, and what was fetched for it; None: it read files anyway."""

    job: _Reading
    fetched: Fetched | None = None

    def counted(self, counters: Counters) -> Counters:
        """Return what was counted with the parts as they are called where they come from."""
        if self.fetched is None or not counters.has_later:
            return counters
        names = {path: name for name, path in self.fetched.files.items()}
        later = tuple(names.get(path, path) for path in counters.has_later)
        return msgspec.structs.replace(counters, has_later=later)


@contextmanager
def staged(
    job: _Reading, limits: EngineLimits, fetch: Fetch, watch: Callable[[], None]
) -> Iterator[Staged[_Reading]]:
    """Give the job with what it reads of another system in files, gone at the end of the block.

    Errors name what was read as it is called there. What ``watch`` raises ends the fetching.
    """
    if not isinstance(job.source, LinkedRows) or _is_prepared(job):
        yield Staged(job)
        return
    with tempfile.TemporaryDirectory(prefix=TEMP_PREFIX, dir=limits.temp_root) as folder:
        fetched = fetch(job.source, wanted_of(job), folder, watch)
        try:
            yield Staged(_over(job, fetched), fetched)
        except AssayError as exc:
            exc.reword(lambda message: _told(message, fetched))
            raise


def _is_prepared(job: object) -> bool:
    return isinstance(job, ComputeJob) and job.prepared is not None


def _told(message: str, fetched: Fetched) -> str:
    for name, path in fetched.files.items():
        message = message.replace(path, fetched.told.get(name, name))
    return message


def wanted_of(job: ComputeJob | LookJob | SurveyJob | SplitJob | FitJob) -> Wanted:
    """Return what a job reads of its source."""
    if isinstance(job, LookJob):
        return Wanted(_columns_of(job.specs), most_rows=LOOK_ROWS)
    spec, only = job.spec, job.spec.columns_read is not None
    if isinstance(job, FitJob):
        return Wanted(spec.columns_read, only_those=only)
    if spec.transform.makes_ticks:
        end = job.ends[-1] if isinstance(job, SplitJob) else job.window_end
        # Whether the source lost its beginning is told by its first row, whenever that was.
        seeks_first = isinstance(job, ComputeJob) and job.corrects_at is not None
        after = None if seeks_first else _reached(spec, job.window_start)
        return Wanted(spec.columns_read, after, end, only_those=only)
    after, until = _hull(job)
    return Wanted(spec.columns_read, after, until, by_arrival=True, only_those=only)


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


def _reached(spec: VersionSpec, start: datetime | None) -> datetime | None:
    """Return the instant after which the events of all windows lie; None: they are any."""
    if spec.view.is_unbounded:
        return None  # no calendar has the instant at which such a window begins
    begin = start
    if (since := spec.view.start) is not None:
        since = since - MICROSECOND
        begin = since if begin is None else max(begin, since)
    if begin is None:
        return None
    return begin - spec.view.longest_window


def _over(job: _Reading, fetched: Fetched) -> _Reading:
    """Return the job with files in the place of what they hold."""
    here = msgspec.structs.replace(job, source=_files(job.source, fetched))
    if isinstance(here, ComputeJob) and here.readings:
        readings = tuple(_reading_over(each, fetched) for each in here.readings)
        return msgspec.structs.replace(here, readings=readings)
    return here


def _reading_over(reading: Reading, fetched: Fetched) -> Reading:
    others = reading.others
    return msgspec.structs.replace(
        reading,
        source=_files(reading.source, fetched),
        others=None if others is None else _files(others, fetched),
    )


def _files(source: SourceInput, fetched: Fetched) -> SourceFiles:
    names = [part.name for part in source.parts() if part.name in fetched.files]
    names.sort(key=fetched.files.__getitem__)
    said = tuple(fetched.partitions.get(name, ()) for name in names)
    paths = tuple(fetched.files[name] for name in names)
    return SourceFiles(paths, fetched.format, said if any(said) else ())
