"""Windows that a run committed and did not live to record.

A worker can die, or its database go away, between the Delta commit and the row that says so.
Readers see such rows at once. So the next run takes the window as stored: computed again from a
source that has changed since, it would give other values than were served.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec
from django.db import transaction
from django.db.models import Max

from materialization.choices import UNFINISHED_STATUSES
from materialization.chunks import committed_before, read_chunks, written_chunks
from materialization.edges.stores import offline_store
from materialization.models import MaterializationRun
from materialization.queries import coverage, table_at, uncovered
from materialization.runner.recording import note_commit, note_stored, number_of_more
from materialization.windows import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet

    from registry.models import FeatureTable

log = logging.getLogger(__name__)


def transaction_name(run: int) -> str:
    """Name the commit of a run: the table knows it by this, however often it is tried."""
    return f"assay-run-{run}"


def adopt_windows(table: FeatureTable) -> None:
    """Record what ended runs of the table committed without recording it.

    :raises OfflineStoreUnavailable: the table's log cannot be read.
    """
    # Nothing was stored since, or this was done first: what is not covered now was not covered
    # either when such a run decided what to compute.
    covered = coverage(table)
    doubtful = {transaction_name(run.pk): run for run in _doubtful_runs(table)}
    committed = offline_store().committed(table_at(table), doubtful) if doubtful else {}
    counts = {doubtful[name]: count for name, count in committed.items()}
    found = {
        run: windows
        for run, count in sorted(counts.items(), key=lambda pair: pair[0].pk)
        if (windows := _unrecorded(run, count, covered))
    }
    if found:
        rows = {run: _rows_of(run) for run in found}
        with transaction.atomic():
            under = number_of_more(found)
            for run in found:
                _note_chunks(run, counts[run], rows[run])
            note_stored(table, found, under=under)
        runs = ", ".join(sorted(map(str, found)))
        log.warning("%s had committed rows and not recorded it; recorded now.", runs)
        note_commit(table, offline_store().snapshot(table_at(table)))


def _unrecorded(run: MaterializationRun, count: int, covered: Sequence[Window]) -> list[Window]:
    """Return what of the run's first ``count`` chunks is not known to be stored.

    Of a time that was stored before it may have stored corrections.
    """
    chunks = read_chunks(run.chunks)
    stored = Window(run.window_start, chunks[count - 1].until)
    is_new = count > (committed_before(chunks, len(chunks)) or 0)
    return uncovered(run.version, covered, stored) or ([stored] if is_new else [])


def _rows_of(run: MaterializationRun) -> int:
    return offline_store().snapshot(table_at(run.table), sequence=run.sequence).rows


def _note_chunks(run: MaterializationRun, count: int, rows: int) -> None:
    """Say on the run what it stored: its first ``count`` chunks."""
    chunks = read_chunks(run.chunks)
    for number, each in enumerate(chunks[:count]):
        if each.stored_at is None:
            chunks[number] = msgspec.structs.replace(
                each, stored_at=run.finished_at, is_committed=True
            )
    ended = MaterializationRun.objects.filter(pk=run.pk)
    ended.update(chunks=written_chunks(chunks), rows_offline=rows)


def _doubtful_runs(table: FeatureTable) -> QuerySet[MaterializationRun]:
    """Return the ended runs since the last that recorded a window: it looked at those before.

    That last one too: it may have recorded some of its chunks, under whatever later numbers.
    Nothing is committed before a run began to publish: years of failed checks are not looked at.
    """
    ended = table.runs.filter(publishing=True).exclude(status__in=UNFINISHED_STATUSES)
    last = table.stored_windows.aggregate(last=Max("run__sequence"))["last"] or 0
    stored = ended.filter(sequence__gte=last)
    return stored.select_related("version", "table").order_by("sequence")
