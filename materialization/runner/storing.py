"""The offline half of a run: compute what is missing, check it, commit it at once.

The sandbox writes rows once, into the table's staging folder, and says what they look like; a
failed check ends the run before the commit that makes them part of the table. Not for what is
missing (``looking``) or for the online store (``loading``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec
from django.db import transaction

from materialization.choices import RunStep
from materialization.edges import engine, offline_store, whereabouts
from materialization.queries import coverage, table_at, uncovered
from materialization.runner.adopting import adopt_windows, transaction_name
from materialization.runner.heartbeat import LeaseLost
from materialization.runner.judging import judge_rows, judge_stillness
from materialization.runner.looking import refuse_changed, remember_parts, work_of
from materialization.runner.recording import note_commit, note_windows, require_store
from materialization.sequences import draw_sequence
from materialization.stores.columns import stored_schema

if TYPE_CHECKING:
    from materialization.compute.jobs import ComputeJob, Counters
    from materialization.models import MaterializationRun
    from materialization.runner.heartbeat import Heartbeat
    from materialization.runner.looking import Work
    from materialization.stores.protocols import CommitResult

#: The shares of a run's progress when it has computed, and when it has stored; loading is the rest.
COMPUTING_SHARE, OFFLINE_SHARE = 0.75, 0.8


def store_missing(run: MaterializationRun, heartbeat: Heartbeat) -> None:
    """Compute and commit what the run's window lacks, and what arrived for windows before it.

    What an earlier run committed counts as stored, though it may not have lived to record it, and
    so does what an earlier attempt of this run did.

    :raises ChecksFailed: a blocking check failed; nothing was published.
    :raises NoRows: the first backfill found not a single row: nothing could be served.
    :raises SourceChangedWhileRead: the source is not what it was; nothing was published.
    :raises OfflineStoreBehind: the store is not the one this database belongs to.
    """
    require_store(run.table)
    adopt_windows(run.table)
    name = transaction_name(run.pk)
    if run.sequence is not None and offline_store().committed(table_at(run.table), [name]):
        _record_committed(run)
        return
    where = whereabouts(run.version.spec, run.table.feature_view.project)
    with where.telling():
        work = work_of(run, where)
    if work.job is None:
        judge_stillness(run)
        _record(run, work, None, 0)
        return
    with where.telling():
        result, counters = _commit(run, work, work.job, heartbeat)
    if result.already:  # by an attempt that was overtaken and not dead
        _record_committed(run)
    else:
        _record(run, work, counters, result.rows)


def _commit(
    run: MaterializationRun, work: Work, job: ComputeJob, heartbeat: Heartbeat
) -> tuple[CommitResult, Counters]:
    store, place = offline_store(), table_at(run.table)
    sequence = _sequence(run)
    store.clear_staging(place)
    with store.staging(place, f"{run.pk}-{run.attempt}") as folder:
        given = msgspec.structs.replace(job, staging=folder, sequence=sequence)
        computed = engine().compute(given, watch=partial(_watch, run, heartbeat))
        judge_rows(run, computed, progress=OFFLINE_SHARE)
        refuse_changed(work)
        # Before the commit: an attempt that dies after it leaves what it found to the next.
        run.advance(source_counts=work.counts(computed.counters))
        heartbeat.begin_publishing()
        result = store.commit(
            place,
            computed.files,
            schema=stored_schema(run.version.spec),
            sequence=sequence,
            transaction=transaction_name(run.pk),
        )
    note_commit(run.table, result)
    return result, computed.counters


def _watch(run: MaterializationRun, heartbeat: Heartbeat, share: float) -> None:
    """:raises LeaseLost, RunCancelled: the run should stop."""
    if heartbeat.stopped is not None:
        raise heartbeat.stopped
    progress = round(share * COMPUTING_SHARE, 3)
    if progress > run.progress:
        run.advance(progress=progress)


def _record(run: MaterializationRun, work: Work, counters: Counters | None, stored: int) -> None:
    """Note what is stored now, all of it or nothing: a run that dies before is adopted.

    :raises LeaseLost: another attempt has the run; it will note the same.
    """
    with transaction.atomic():
        said = {"source_counts": work.counts(counters), "step": RunStep.OFFLINE}
        if not run.advance(rows_offline=stored, **said):
            raise LeaseLost("another attempt owns the run")
        note_windows(run, work.windows)
        remember_parts(run, work, counters)


def _record_committed(run: MaterializationRun) -> None:
    """Note what an earlier attempt of the run committed; its evidence is on the run already.

    The source may be another by now, and nothing more can be committed under the run's name. So
    it is not read, and no part is remembered: the next run compares what that attempt did not see.

    :raises LeaseLost: another attempt has the run; it will note the same.
    """
    snapshot = offline_store().snapshot(table_at(run.table), sequence=run.sequence)
    windows = uncovered(run.version, coverage(run.table), run.window)
    with transaction.atomic():
        if not run.advance(rows_offline=snapshot.rows, step=RunStep.OFFLINE):
            raise LeaseLost("another attempt owns the run")
        note_windows(run, windows)
    note_commit(run.table, snapshot)


def _sequence(run: MaterializationRun) -> int:
    """Return what the run's rows carry, drawn at its first attempt and never again.

    A commit that is repeated by a later attempt is the same commit.
    :raises LeaseLost: another attempt has the run, and may have drawn for it.
    """
    if run.sequence is not None:
        return run.sequence
    with transaction.atomic():
        sequence = draw_sequence(run.table)
        if not run.advance(sequence=sequence):
            raise LeaseLost("another attempt owns the run")
    return sequence
