"""The offline half of a run: compute what is missing, check it, commit it at once.

The sandbox writes rows once, into the table's staging folder, and says what they look like; a
failed check ends the run before the commit that makes them part of the table. Not for what is
missing (``looking``) or for the online store (``loading``).
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from django.db import transaction

from materialization.chunks import (
    committed_before,
    read_chunks,
    share_done,
    staging_name,
    totals,
    window_of,
)
from materialization.edges.engines import storing_engine
from materialization.edges.sources import whereabouts
from materialization.edges.stores import offline_store
from materialization.quality.row_checks import looks_at_stored
from materialization.queries import run_waits, table_at
from materialization.runner import splitting
from materialization.runner.adopting import adopt_windows, transaction_name
from materialization.runner.chunking import cut, note
from materialization.runner.heartbeat import LeaseLost, SlotWanted
from materialization.runner.judging import ChecksFailed, judge_rows, judge_stillness, stage_of
from materialization.runner.keeping import beside
from materialization.runner.looking import work_of
from materialization.runner.noting import catch_up, note_stored_chunks
from materialization.runner.parts import refuse_changed, remember_parts
from materialization.runner.quarantine import clear_forgotten, keep_refused
from materialization.runner.recording import (
    note_commit,
    note_windows,
    number_of_more,
    require_store,
)
from materialization.sequences import draw_sequence
from materialization.stores.columns import stored_schema
from materialization.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from materialization.chunks import Chunk
    from materialization.compute.jobs import ComputeJob
    from materialization.compute.reports import Counters
    from materialization.models import MaterializationRun
    from materialization.runner.heartbeat import Heartbeat
    from materialization.runner.work import Work
    from materialization.sources.where import Where
    from materialization.stores.offline_values import CommitResult

log = logging.getLogger(__name__)
#: The shares of a run's progress when it has computed, and when it has stored; loading is the rest.
COMPUTING_SHARE, OFFLINE_SHARE = 0.75, 0.8


class Part(NamedTuple):
    """One chunk of a run: its place among them, and what it has to read."""

    number: int
    work: Work
    began: datetime


class Committed(NamedTuple):
    rows: int
    counters: Counters


def progress_of(chunks: Sequence[Chunk]) -> float:
    """Return the progress of a run that has stored so many of its chunks and begins the next."""
    stored = [each for each in chunks if each.stored_at is not None]
    return round(share_done(chunks, len(stored) - 1, 1.0) * OFFLINE_SHARE, 3) if stored else 0.0


def store_missing(run: MaterializationRun, heartbeat: Heartbeat) -> None:
    """Compute and commit what the run's window lacks, and what arrived for windows before it.

    A large window is stored in chunks: one that is stored stays so, whatever becomes of the run.
    What an earlier run committed counts as stored, though it may not have lived to record it, and
    so does what an earlier attempt of this run did.

    :raises ChecksFailed: a blocking check failed; nothing of that chunk was published.
    :raises NoRows: the first backfill found not a single row: nothing could be served.
    :raises SourceChangedWhileRead: the source is not what it was; nothing was published.
    :raises OfflineStoreBehind: the store is not the one this database belongs to.
    :raises ChunksForgotten: the table knows of fewer chunks than the run; no more can follow.
    :raises SlotWanted: another run waits; this one goes on when it has its turn again.
    """
    require_store(run.table)
    adopt_windows(run.table)
    catch_up(run, heartbeat)
    where = whereabouts(run.version.spec, run.table.feature_view.project)
    with where.telling():
        for part in _parts(run, where, heartbeat):
            _store(run, part, heartbeat)
    splitting.drop_staged(run)


def _parts(run: MaterializationRun, where: Where, heartbeat: Heartbeat) -> Iterator[Part]:
    """Yield what is to be stored, one chunk after the other; looks at the source before each."""
    work = None
    if not run.chunks:
        work = work_of(run, where, run.window)
        cut(run, work, watch=partial(_watch, run, heartbeat, None))
    for number in range(len(run.chunks)):
        chunks = read_chunks(run.chunks)
        if chunks[number].stored_at is not None:
            continue
        if len(chunks) > 1 or work is None:
            heartbeat.check()
            work = work_of(run, where, window_of(run.window, chunks, number))
        yield Part(number, work, heartbeat.now())


def _store(run: MaterializationRun, part: Part, heartbeat: Heartbeat) -> None:
    work = part.work
    if work.job is None:
        judge_stillness(run, stage_of(run, part.number))
        _record(run, part, None, heartbeat)
        return
    result, counters = _commit(run, part, work.job, heartbeat)
    if result.already:  # by an attempt that was overtaken and not dead
        catch_up(run, heartbeat)
    else:
        _record(run, part, Committed(result.rows, counters), heartbeat)
    _give_way(run, heartbeat)


def _commit(
    run: MaterializationRun, part: Part, job: ComputeJob, heartbeat: Heartbeat
) -> tuple[CommitResult, Counters]:
    store, place = offline_store(), table_at(run.table)
    sequence = sequence_of(run)
    store.clear_staging(place, keep=staging_name(run.pk))
    clear_forgotten(run.table)
    with store.staging(place, f"{run.pk}-{run.attempt}") as folder:
        stored = store.snapshot(place).files if looks_at_stored(job.spec) else ()
        given = msgspec.structs.replace(job, staging=folder, sequence=sequence, stored_files=stored)
        asked = splitting.Asked(run, part.number, part.work, given)
        watch = partial(_watch, run, heartbeat, part.number)
        ready = splitting.prepared(asked, folder, watch=watch, check=heartbeat.check)
        given = msgspec.structs.replace(given, prepared=ready)
        computed = storing_engine().compute(given, watch=watch)
        # Before the commit: an attempt that dies after it leaves what it found to the next.
        reads_again = splitting.why_not(run)
        chunks = _note_counts(run, part, computed.counters, reads_again=reads_again)
        progress = round(share_done(chunks, part.number, 1.0) * OFFLINE_SHARE, 3)
        refuse_changed(part.work)
        try:
            judge_rows(run, computed, stage=stage_of(run, part.number), progress=progress)
        except ChecksFailed as exc:
            window = window_of(run.window, read_chunks(run.chunks), part.number)
            rows, at = computed.counters.rows, heartbeat.now()
            kept = keep_refused(run, folder, window, rows=rows, at=at)
            raise ChecksFailed(exc.message + kept, example=exc.example) from exc
        heartbeat.begin_publishing()
        result = store.commit(
            place,
            computed.files,
            schema=stored_schema(run.version.spec),
            sequence=sequence,
            transaction=transaction_name(run.pk),
            rows=computed.counters.rows,
            number=part.number + 1,
            after=committed_before(read_chunks(run.chunks), part.number),
            events=beside(run, computed.events),
        )
    note_commit(run.table, result)
    return result, computed.counters


def _watch(run: MaterializationRun, heartbeat: Heartbeat, number: int | None, share: float) -> None:
    """Note how far the chunk at place ``number`` is; None: the rows are being counted.

    :raises LeaseLost, RunCancelled: the run should stop.
    """
    if heartbeat.stopped is not None:
        raise heartbeat.stopped
    if number is None:
        return
    done = share_done(read_chunks(run.chunks), number, share)
    progress = round(done * COMPUTING_SHARE, 3)
    if progress > run.progress:
        run.advance(progress=progress)


def _note_counts(
    run: MaterializationRun, part: Part, counters: Counters | None, *, reads_again: str = ""
) -> list[Chunk]:
    """Note what the chunk's rows are, and why it read again what others read; return the chunks."""
    chunks = read_chunks(run.chunks)
    counts = part.work.counts(counters)
    if reads_again:
        counts["reads_again"] = reads_again
    chunks[part.number] = msgspec.structs.replace(chunks[part.number], counts=counts)
    all_counts = totals(chunks[: part.number + 1])
    note(run, chunks, source_counts=all_counts, rows_read=all_counts["rows_read"])
    return chunks


def _record(
    run: MaterializationRun, part: Part, committed: Committed | None, heartbeat: Heartbeat
) -> None:
    """Note what is stored now, all of it or nothing: a run that dies before is adopted.

    :raises LeaseLost: another attempt has the run; it will note the same.
    """
    counters = committed.counters if committed is not None else None
    rows = committed.rows if committed is not None else 0
    with transaction.atomic():
        under = number_of_more([run])
        if committed is None:  # else they are noted since they were computed
            _note_counts(run, part, None)
        note_stored_chunks(
            run,
            [part.number],
            began=part.began,
            at=heartbeat.now(),
            is_committed=committed is not None,
            rows_offline=run.rows_offline + rows,
        )
        windows = _noted(run, part.number, part.work.windows, rows=rows)
        first = counters.first_event if counters is not None else None
        note_windows(run, windows, under=under, first_event=first)
        remember_parts(run, part.work, counters)


def _noted(
    run: MaterializationRun, number: int, windows: list[Window], *, rows: int
) -> list[Window]:
    """Return the windows that say of the chunk's rows that they are stored.

    Of a time that is stored already there may be corrections and late rows: whoever loads has to
    know of theirs too, though the run may never come to load them itself.
    """
    if windows or not rows:
        return windows
    return [window_of(run.window, read_chunks(run.chunks), number)]


def _give_way(run: MaterializationRun, heartbeat: Heartbeat) -> None:
    """Return if the run may go on with its next chunk, or has none.

    :raises SlotWanted: another run has waited longer for a worker.
    """
    if all(each.stored_at is not None for each in read_chunks(run.chunks)):
        return
    if run_waits(run, at=heartbeat.now()):
        raise SlotWanted("another run waits for a worker; this one goes on when it has its turn.")


def sequence_of(run: MaterializationRun) -> int:
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
