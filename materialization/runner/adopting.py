"""Windows that a run committed and did not live to record.

A worker can die, or its database go away, between the Delta commit and the row that says so.
Readers see such rows at once. So the next run takes the window as stored: computed again from a
source that has changed since, it would give other values than were served.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from materialization.choices import LIVE_STATUSES
from materialization.edges import offline_store
from materialization.queries import coverage, newest_sequence, table_at, uncovered
from materialization.runner.recording import note_commit, note_stored

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from materialization.models import MaterializationRun
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
    named = {
        transaction_name(run.pk): (run, windows)
        for run in _doubtful_runs(table)
        if (windows := uncovered(run.version, covered, run.window))
    }
    committed = offline_store().committed(table_at(table), named) if named else set()
    if committed:
        note_stored(table, dict(named[name] for name in committed))
        runs = ", ".join(sorted(str(named[name][0]) for name in committed))
        log.warning("%s had committed rows and not recorded it; recorded now.", runs)
        note_commit(table, offline_store().snapshot(table_at(table)))


def _doubtful_runs(table: FeatureTable) -> QuerySet[MaterializationRun]:
    """Return the ended runs since the last that recorded a window: it looked at those before.

    Nothing is committed before a run began to publish: years of failed checks are not looked at.
    """
    ended = table.runs.filter(publishing=True).exclude(status__in=LIVE_STATUSES)
    stored = ended.filter(sequence__gte=newest_sequence(table))
    return stored.select_related("version").order_by("sequence")
