"""What a run reads of its source, and what is remembered of that for the next.

Not for deciding it (``readings`` does, for rows that stand alone) or for reading (the engine).
"""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings

from lib.errors import Unavailable
from materialization.choices import COMPARING_KINDS
from materialization.compute.jobs import ComputeJob, Counters, Reading
from materialization.edges import offline_store
from materialization.finding.kinds import find_source
from materialization.models import SourcePart
from materialization.queries import coverage, first_event, table_at, uncovered
from materialization.readings import (
    Planned,
    Seen,
    as_of,
    plan_readings,
    remembered,
    settled,
)
from materialization.runner.keeping import keeping_of
from materialization.windows import Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from materialization.models import MaterializationRun
    from materialization.sources.inputs import Part, SourceInput
    from materialization.sources.where import Where
    from registry.models import FeatureTable


#: Parts written or deleted by one statement.
_AT_ONCE = 500


class SourceStillWritten(Unavailable):
    code = "source_still_written"


class SourceChangedWhileRead(Unavailable):
    """Nothing of what was read is stored: it may be half the old and half the new."""

    code = "source_changed"


class Work(NamedTuple):
    """What one run has to do: ``windows`` count as stored once the ``job`` is done.

    ``until`` is then the instant up to which the table speaks. ``parts`` are the source's as the
    run goes by them, ``reads`` names those it opens, ``waiting`` those that are left for a later
    run, ``vanished`` those that earlier runs saw and the source has no more. No job: nothing is to
    be read. ``keeps_ticks``: what is stored is not looked at again.
    """

    windows: list[Window]
    until: datetime
    parts: Sequence[Part]
    waiting: Sequence[str] = ()
    vanished: Sequence[str] = ()
    reads: frozenset[str] = frozenset()
    planned: Sequence[Planned] = ()
    job: ComputeJob | None = None
    keeps_ticks: bool = False

    def counts(self, counters: Counters | None) -> dict[str, Any]:
        """Say what was read of the source and what became of it, for ``run.source_counts``."""
        found = counters or Counters()
        why = _why_gone(found)
        return {
            **({"why_gone": why} if why else {}),
            **({"parts_gone": len(self.vanished)} if self.vanished else {}),
            **({"first_gone": Path(self.vanished[0]).name} if self.vanished else {}),
            **({"of_ticks": True} if self.job and self.job.spec.transform.makes_ticks else {}),
            **({"copies": found.copies} if found.copies else {}),
            "parts": len(self.parts) + len(self.waiting),
            "parts_read": len(self.reads),
            "parts_waiting": len(self.waiting),
            "rows_read": found.rows_read,
            "rows_stored": found.rows,
            "already_stored": found.already_stored,
            "repeated": found.repeated,
            "corrected": found.corrected,
            "gone": found.gone,
            "late": found.late,
            "dropped_null_key": found.dropped_null_key,
            "dropped_null_time": found.dropped_null_time,
            "placeholder_times": found.placeholder_times,
            "keeps_ticks": self.keeps_ticks,
        }


def _why_gone(found: Counters) -> str:
    """Say why ticks stayed as they are though the source has rows for them; empty: none did."""
    if not found.gone or found.whole_from is None:
        return ""
    return (
        f"the source begins after ticks that are stored, so of the windows of those before"
        f" {found.whole_from:%Y-%m-%d %H:%M:%S} UTC it has a part only"
    )


def work_of(run: MaterializationRun, where: Where, wanted: Window) -> Work:
    """Return what the run has to read: windows that are not stored, and what arrived for others.

    ``wanted`` is the part of its window that is stored at once.

    :raises SourceStillWritten: a first backfill would miss what is being written just now.
    :raises Invalid: there is nothing to read, or it may not be read; says what to do.
    """
    spec = run.version.spec
    source = find_source(spec.rows_from, where)
    parts = source.parts()
    rest = timedelta(seconds=settings.SOURCE_SETTLE_SECONDS)
    ready = settled(parts, now=time.time(), age=rest)
    waiting = sorted({part.name for part in parts} - {part.name for part in ready})
    covered = coverage(run.table)
    if waiting and not (ready and covered):
        raise SourceStillWritten(
            f"{waiting[0]} changed less than {settings.SOURCE_SETTLE_SECONDS} s ago and may still"
            " be written; it is read when it has rested (SOURCE_SETTLE_SECONDS)."
        )
    windows = uncovered(run.version, covered, wanted)
    work = Work(windows, as_of(wanted, covered), ready, waiting)
    if spec.transform.makes_ticks:
        return _ticks(run, work, source)
    return _rows(run, work, source, covered, wanted)


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
        again=_again(run, covered, wanted),
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


def _again(run: MaterializationRun, covered: Sequence[Window], wanted: Window) -> Window | None:
    """Return what is compared with the source once more, though none of its parts changed.

    A run looks back once, with its first rows.
    """
    if run.kind in COMPARING_KINDS:
        return wanted if run.compared_until is None else _until(wanted, run.compared_until)
    back = run.version.spec.rows_from.look_back
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
    source = find_source(run.version.spec.rows_from, where).only(names)
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


def refuse_changed(work: Work) -> None:
    """Return if what was read is still what it was when it was looked at.

    :raises SourceChangedWhileRead: it is not; names what changed.
    """
    if work.job is None:
        return
    before = {part.name: part.identity for part in work.parts if part.name in work.reads}
    try:
        now = {part.name: part.identity for part in work.job.source.only(work.reads).parts()}
    except OSError as exc:
        raise _changed(str(exc.filename)) from exc
    for name, identity in before.items():
        if now[name] != identity:
            raise _changed(name)


def _changed(name: str) -> SourceChangedWhileRead:
    return SourceChangedWhileRead(
        f"{name} changed while it was read; nothing of it was stored and the run is tried again."
        " Write a file under another name, and rename it when it is whole."
    )


def seen_parts(table: FeatureTable) -> dict[str, Seen]:
    """Return the parts of the table's source by name, as the last run that read them saw them."""
    rows = table.source_parts.values_list("name", *Seen._fields)
    return {name: Seen(*rest) for name, *rest in rows}


def remember_parts(run: MaterializationRun, work: Work, counters: Counters | None) -> None:
    """Note the parts as this run saw them, and forget those that are gone."""
    if run.version.spec.transform.makes_ticks:
        return
    seen = seen_parts(run.table)
    found = remembered(
        work.parts,
        seen,
        work.planned,
        has_later=frozenset(counters.has_later) if counters else frozenset(),
        read_until=work.until,
    )
    SourcePart.objects.bulk_create(
        [
            SourcePart(table=run.table, name=name, **each._asdict())
            for name, each in found.items()
            if each != seen.get(name)
        ],
        batch_size=_AT_ONCE,
        update_conflicts=True,
        unique_fields=("table", "name"),
        update_fields=Seen._fields,
    )
    gone = sorted(seen.keys() - {*found, *work.waiting})
    for first in range(0, len(gone), _AT_ONCE):
        run.table.source_parts.filter(name__in=gone[first : first + _AT_ONCE]).delete()
