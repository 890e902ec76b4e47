"""Computing the rows that a version would make, of a stretch of its source, and storing none.

Not for what is made of them: ``comparison``, ``leakage`` and ``cost`` have that.
"""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lib.errors import Invalid
from lib.instants import MICROSECOND
from materialization.compute.jobs import ComputeJob, Reading, SurveyJob
from materialization.quality.profiles import Profile
from materialization.windows import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from materialization.compute.engine import Engine
    from materialization.compute.reports import Counters
    from materialization.sources.inputs import SourceInput
    from registry.spec.version_spec import VersionSpec

#: Into how many stretches a long history is cut at most, to find the last.
_STRETCHES = 512
#: A row of an aggregation costs about so many times as much as one that stands alone.
_DEARER = 5
#: Rows that became known at once cannot be taken apart: so many times what may be read is too much.
_MOST = 20


class TooManyAtOnce(Invalid):
    code = "too_many_rows_at_once"


class Subject(NamedTuple):
    """A version and what may be read of its source now."""

    spec: VersionSpec
    source: SourceInput

    @property
    def size(self) -> int:
        """The bytes of all that the source has."""
        return sum(part.size for part in self.source.parts())


class Bounds(NamedTuple):
    """What trying out may cost: rows of the source, until ``watch`` raises one of ``ends``."""

    rows: int
    engine: Engine
    watch: Callable[[float], None]
    ends: type[Exception]


class Trial(NamedTuple):
    """The rows of ``window`` as Parquet in a private folder, of ``columns.stored_schema``."""

    spec: VersionSpec
    window: Window
    files: tuple[str, ...]
    counters: Counters
    profile: Profile
    seconds: float

    @property
    def bytes(self) -> int:
        return sum(Path(file).stat().st_size for file in self.files)


def last_stretch(subject: Subject, bounds: Bounds, *, until: datetime) -> Window:
    """Return the newest part of the history that has about as many rows as may be read.

    :raises TooManyAtOnce: so many became known at once that no part is small enough.
    """
    spec, at_most = subject.spec, bounds.rows
    start = spec.view.start
    # Windows exclude their start, and a row may lie on the view's.
    begin = start - MICROSECOND if start is not None else None
    if spec.transform.makes_ticks:
        at_most = max(at_most // _DEARER, 1)
    job = SurveyJob(spec, subject.source, until, begin, at_most, _STRETCHES)
    parts = bounds.engine.survey(job, watch=bounds.watch).parts
    first, rows = _first_of_last(parts, at_most)
    if rows > at_most * _MOST:
        raise TooManyAtOnce(
            f"the newest part of the source that can be tried out alone has {rows:,} rows, and"
            f" evidence is made of at most {at_most * _MOST:,}. Parts are cut by the hour in which"
            " rows became known: have the source say it of each row, or raise EVIDENCE_ROWS.",
            rows=rows,
        )
    return Window(parts[first - 1][0] if first else begin, until)


def _first_of_last(parts: Sequence[tuple[datetime, int]], at_most: int) -> tuple[int, int]:
    """Return the first of the last stretches that are enough rows together, and how many these are.

    At least the last one, and the one before where that has but a few.
    """
    rows = 0
    for place in range(len(parts) - 1, -1, -1):
        rows += parts[place][1]
        if rows >= at_most // 2:
            return place, rows
    return 0, rows


def try_out(subject: Subject, bounds: Bounds, *, window: Window, folder: Path) -> Trial:
    """Compute the version's rows of the window into ``folder``, which is made.

    :raises AssayError: as ``Engine.compute``.
    """
    folder.mkdir()
    spec, source = subject
    # What is read alone says which parts have rows beyond the window.
    readings = (Reading(source, ((window.start, window.end),), None),)
    job = ComputeJob(
        spec=spec,
        source=source,
        window_start=window.start,
        window_end=window.end,
        readings=() if spec.transform.makes_ticks else readings,
        staging=str(folder),
    )
    began = time.monotonic()
    made = bounds.engine.compute(job, watch=bounds.watch)
    profile = Profile.from_json(made.profile, spec.features)
    took = time.monotonic() - began
    return Trial(spec, window, made.files, made.counters, profile, took)


def middle_of(window: Window, first: datetime) -> datetime:
    """Return the instant half way through the window, which begins no earlier than ``first``."""
    start = first if window.start is None else max(window.start, first)
    half: timedelta = (window.end - start) / 2
    return start + half
