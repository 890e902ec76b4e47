"""Stored ticks computed again on request: those that come out otherwise are stored as corrections.

Not for rows that stand alone: ``looking`` has them compared. A tick's correction is known from the
run's end on, so that what was served before, and what was trained on it, stays what it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from django.db import transaction

from materialization.chunks import read_chunks, totals
from materialization.edges.engines import storing_engine
from materialization.edges.sources import whereabouts
from materialization.edges.stores import offline_store
from materialization.quality.row_checks import looks_at_stored
from materialization.quality.stored_profiles import of_all
from materialization.queries import table_at
from materialization.runner.adopting import transaction_name
from materialization.runner.heartbeat import LeaseLost
from materialization.runner.judging import ChecksFailed, judge_rows, stage_of_corrections
from materialization.runner.keeping import beside
from materialization.runner.looking import corrections_of
from materialization.runner.parts import refuse_changed
from materialization.runner.quarantine import keep_refused, supersede_corrections
from materialization.runner.recording import (
    note_beginning,
    note_commit,
    note_windows,
    number_of_more,
)
from materialization.stores.columns import stored_schema

if TYPE_CHECKING:
    from datetime import datetime

    from materialization.models import MaterializationRun
    from materialization.runner.heartbeat import Heartbeat
    from materialization.runner.work import Work

#: How far a run is when its new ticks are stored.
_BEFORE, _SHARE = 0.4, 0.4


def correct_ticks(run: MaterializationRun, heartbeat: Heartbeat) -> None:
    """Compute the ticks of the run's window again and commit what differs; new ones are stored.

    :raises ChecksFailed: a blocking check of the corrections failed; they are in quarantine.
    :raises SourceChangedWhileRead: the source is not what it was; no correction was published.
    """
    store, place = offline_store(), table_at(run.table)
    name = f"{transaction_name(run.pk)}-corrections"
    if not store.committed(place, [name]):
        where = whereabouts(run.version.spec, run.table.feature_view.project)
        with where.telling():
            _commit(run, corrections_of(run, where), heartbeat, name)
    supersede_corrections(run)
    rows = store.snapshot(table_at(run.table), sequence=run.sequence).rows
    run.advance(rows_offline=rows, profile=of_all(run.profile))


def _commit(run: MaterializationRun, work: Work, heartbeat: Heartbeat, name: str) -> None:
    if work.job is None or run.sequence is None:
        raise LeaseLost("the run's new ticks are not stored yet")
    heartbeat.check()
    store, place = offline_store(), table_at(run.table)
    with store.staging(place, f"{run.pk}-{run.attempt}-corrections") as folder:
        job = msgspec.structs.replace(
            work.job,
            staging=folder,
            sequence=run.sequence,
            stored_files=work.job.state_files if looks_at_stored(work.job.spec) else (),
        )

        def watch(share: float) -> None:
            if heartbeat.stopped is not None:
                raise heartbeat.stopped
            run.advance(progress=round(_BEFORE + share * _SHARE, 3))

        computed = storing_engine().compute(job, watch=watch)
        counts = totals(read_chunks(run.chunks))
        for key, value in work.counts(computed.counters).items():
            counts[key] = value if key not in _ADDED else counts.get(key, 0) + value
        run.advance(source_counts=counts, rows_read=counts["rows_read"])
        try:
            judge_rows(run, computed, stage=stage_of_corrections(run), progress=_BEFORE + _SHARE)
        except ChecksFailed as exc:
            rows, at = computed.counters.rows, heartbeat.now()
            kept = keep_refused(run, folder, run.window, rows=rows, at=at)
            raise ChecksFailed(exc.message + kept, example=exc.example) from exc
        refuse_changed(work)
        heartbeat.begin_publishing()
        _note_more(run, first_event=computed.counters.first_event)
        result = store.commit(
            place,
            computed.files,
            schema=stored_schema(run.version.spec),
            sequence=run.sequence,
            transaction=name,
            rows=computed.counters.rows,
            events=beside(run, computed.events),
        )
    note_commit(run.table, result)


def _note_more(run: MaterializationRun, *, first_event: datetime | None) -> None:
    """Let whoever loads know of rows that come after a load; before they do, lest nobody does.

    And let a comparison know that all ticks are of a source that begins with ``first_event``.
    """
    with transaction.atomic():
        if under := number_of_more([run]):
            note_windows(run, [run.window], under=under)
        note_beginning(run, first_event)


_ADDED = frozenset({"rows_read", "rows_stored"})
