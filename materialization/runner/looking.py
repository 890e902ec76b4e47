"""What a run reads of its source.

Not for deciding it (``readings`` does, for rows that stand alone) or for reading (the engine), nor
for what the next run is told of it (``parts``).
"""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings

from lib.errors import Unavailable
from materialization.choices import COMPARING_KINDS
from materialization.compute.jobs import ComputeJob, Reading
from materialization.edges.stores import offline_store
from materialization.finding.kinds import find_rows
from materialization.queries import coverage, first_event, table_at, uncovered
from materialization.readings import Planned, as_of, plan_readings, settled
from materialization.runner.beside import identities, wait_for_beside
from materialization.runner.keeping import keeping_of
from materialization.runner.parts import seen_parts
from materialization.runner.work import Work
from materialization.windows import Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from materialization.models import MaterializationRun
    from materialization.sources.inputs import Part, SourceInput
    from materialization.sources.where import Where
    from registry.models import FeatureTable


class SourceStillWritten(Unavailable):
    code = "source_still_written"


def work_of(run: MaterializationRun, where: Where, wanted: Window) -> Work:
    """Return what the run has to read: windows that are not stored, and what arrived for others.

    ``wanted`` is the part of its window that is stored at once.

    :raises SourceStillWritten: a first backfill would miss what is being written just now.
    :raises Invalid: there is nothing to read, or it may not be read; says what to do.
    """
    spec = run.version.spec
    source = find_rows(spec, where)
    parts = source.parts()
    rest, now = timedelta(seconds=settings.SOURCE_SETTLE_SECONDS), time.time()
    ready = settled(parts, now=now, age=rest)
    waiting = sorted({part.name for part in parts} - {part.name for part in ready})
    covered = coverage(run.table)
    if waiting and not (ready and covered):
        raise still_written(waiting[0])
    wait_for_beside(source, now=now, age=rest, still_written=still_written)
    windows = uncovered(run.version, covered, wanted)
    beside = identities(source)
    work = Work(windows, as_of(wanted, covered), ready, waiting, beside=beside)
    if spec.transform.makes_ticks:
        return _ticks(run, work, source)
    return _rows(run, work, source, covered, wanted)


def still_written(name: str) -> SourceStillWritten:
    return SourceStillWritten(
        f"{name} changed less than {settings.SOURCE_SETTLE_SECONDS} s ago and may still"
        " be written; it is read when it has rested (SOURCE_SETTLE_SECONDS)."
    )


def _ticks(run: MaterializationRun, work: Work, source: SourceInput) -> Work:
    """Aggregations read whatever their windows reach; ticks that are stored stay as they are."""
    work = work._replace(keeps_ticks=True)
    if not work.windows:
        return work
    (window,) = work.windows
    names = frozenset(part.name for part in work.parts)
    job = ComputeJob(
        spec=run.version.spec,
        source=source.only(names),
        window_start=window.start,
        window_end=window.end,
        state_files=() if window.start is None else _stored_files(run.table),
        keeping=keeping_of(run, is_whole=not work.waiting),
        first_event=first_event(run.table) if run.version.spec.view.is_unbounded else None,
    )
    return work._replace(reads=names, job=job)


def _rows(
    run: MaterializationRun,
    work: Work,
    source: SourceInput,
    covered: Sequence[Window],
    wanted: Window,
) -> Work:
    seen = seen_parts(run.table)
    there = {*(part.name for part in work.parts), *work.waiting}
    work = work._replace(vanished=sorted(seen.keys() - there))
    planned = plan_readings(
        work.parts,
        seen,
        wanted=wanted,
        covered=covered,
        again=_again(run, covered, wanted, work.parts),
        arrived=as_of(run.window, covered),
        is_first=run.table.ready_at is None,
    )
    if not planned:
        return work
    reads = frozenset(name for each in planned for name in each.names)
    everything = frozenset(part.name for part in work.parts)
    compares = any(each.unseen for each in planned)
    job = ComputeJob(
        spec=run.version.spec,
        source=source.only(everything if compares else reads),
        window_end=work.until,
        state_files=_stored_files(run.table) if compares else (),
        readings=tuple(_reading(each, source, everything) for each in planned),
    )
    return work._replace(reads=reads, planned=planned, job=job)


def _stored_files(table: FeatureTable) -> tuple[str, ...]:
    return offline_store().snapshot(table_at(table)).files


def _again(
    run: MaterializationRun, covered: Sequence[Window], wanted: Window, parts: Sequence[Part]
) -> Window | None:
    """Return what is compared with the source once more, though none of its parts changed.

    A run looks back once, with its first rows.
    """
    if run.kind in COMPARING_KINDS:
        return wanted if run.compared_until is None else _until(wanted, run.compared_until)
    source = run.version.spec.rows_from
    if source.lookback is None and not any(part.grows for part in parts):
        return None  # each of them tells when it changes
    back = source.look_back
    if back is None or not covered or wanted.start != run.window_start:
        return None
    return Window(covered[-1].end - back, covered[-1].end)


def _until(window: Window, end: datetime) -> Window:
    return Window(window.start, min(window.end, end))


def corrections_of(run: MaterializationRun, where: Where) -> Work:
    """Return what is read to compute the stored ticks of the run's window again.

    All of them up to the run's end, since each tick continues the one before. Whoever asks for it
    says that the source is right: rows of its first stored tick that it has no more were wrong.
    """
    work = work_of(run, where, Window(run.window_end, run.window_end))
    names = frozenset(part.name for part in work.parts)
    source = find_rows(run.version.spec, where).only(names)
    job = ComputeJob(
        spec=run.version.spec,
        source=source,
        window_start=run.window_start,
        window_end=run.window_end,
        state_files=_stored_files(run.table),
        corrects_at=run.window_end,
        keeping=keeping_of(run, is_whole=not work.waiting),
    )
    return work._replace(reads=names, job=job, keeps_ticks=False)


def _reading(planned: Planned, source: SourceInput, everything: frozenset[str]) -> Reading:
    others = everything - set(planned.names)
    return Reading(
        source=source.only(set(planned.names)),
        windows=tuple((window.start, window.end) for window in planned.windows),
        known_since=planned.known_since,
        unseen=planned.unseen,
        others=source.only(others) if planned.unseen and others else None,
    )
