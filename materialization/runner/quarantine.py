"""Rows that checks refused: held beside their table, and what later runs make of them.

Not for people's decisions (``requests.quarantine``) or for publishing them (``releasing``). Each
change happens under the lock of the table; files go after their row has said so.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import transaction

from materialization.choices import KEPT_STATES, QuarantineState, RunKind
from materialization.chunks import read_chunks
from materialization.comparisons import (
    compared,
    compares_rows,
    refused_corrections,
    to_compare,
)
from materialization.edges.stores import offline_store
from materialization.models import Quarantine
from materialization.queries import coverage, table_at
from materialization.runner.heartbeat import LeaseLost
from materialization.stores.offline_protocol import OfflineStoreUnavailable
from materialization.windows import missing, within
from registry import locks
from registry.models import FeatureTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from materialization.models import MaterializationRun
    from materialization.windows import Window

log = logging.getLogger(__name__)
#: Where the chunk of a run that releases says what: several may be held of one time.
NOTED = "quarantine"


def keep_refused(
    run: MaterializationRun, folder: str, window: Window, *, rows: int, at: datetime
) -> str:
    """Hold refused rows and say so; a store that cannot must not hide what was wrong with them."""
    if not rows:
        return ""
    try:
        hold_rows(run, folder, window, rows=rows, at=at)
    except OfflineStoreUnavailable as exc:
        log.warning("%s: its rows are not in quarantine: %s", run, exc)
        return f" Its rows could not be kept: {exc.message}"
    said = f" Its {rows:,} rows are in quarantine until a steward releases or discards them."
    if refused_corrections(run):
        return f"{said} They can be released until further ticks are stored."
    return said


def hold_rows(
    run: MaterializationRun, folder: str, window: Window, *, rows: int, at: datetime
) -> None:
    """Keep what a blocked run staged; what was held of the same time before it is superseded.

    An attempt that dies before the row is written leaves files that the table's next run removes.

    :raises LeaseLost: another attempt has the run; it will hold its own.
    """
    store, place = offline_store(), table_at(run.table)
    name = store.set_aside(place, folder)
    facts = {
        "table": run.table,
        "window_start": window.start,
        "window_end": window.end,
        "state": QuarantineState.HELD,
        "stored_as": name,
        "rows": rows,
        "size_bytes": store.aside(place, name).size,
        "held_at": at,
    }
    with transaction.atomic():
        if not locks.hold(run.owned()):
            raise LeaseLost("another attempt owns the run")
        locks.hold(FeatureTable.objects.filter(pk=run.table_id))
        others = held_of(run).exclude(run=run)
        looked_at = [window] if refused_corrections(run) else compared(run, window.end)
        _supersede(run, [window], looked_at, others)
        Quarantine.objects.update_or_create(run=run, defaults=facts)


@transaction.atomic
def supersede_corrections(run: MaterializationRun) -> None:
    """Say of corrections of ticks that are held that a run has computed all of them again."""
    locks.hold(FeatureTable.objects.filter(pk=run.table_id))
    _supersede(run, [], [run.window], held_of(run))


def clear_forgotten(table: FeatureTable) -> None:
    """Remove files that no row speaks for any more, or yet; for the table's one writer."""
    kept = Quarantine.objects.filter(table=table, state__in=KEPT_STATES)
    names = kept.values_list("stored_as", flat=True)
    offline_store().keep_aside(table_at(table), set(names))


def settle(stored: Mapping[MaterializationRun, Iterable[Window]]) -> None:
    """Say what the windows that runs stored make of what is held, under the table's lock.

    A run that releases rows has released them; any other that stores of their time has read the
    source again, so those it stored stand in their place.
    """
    for run, windows in stored.items():
        if run.kind == RunKind.RELEASE:
            # Also what was held again, or released again, because its worker died too early to say.
            kept = released_by(run).filter(state__in=KEPT_STATES)
            kept.update(state=QuarantineState.RELEASED, ended_by=run)
        _supersede(run, windows, compared(run), held_of(run))


def released_by(run: MaterializationRun) -> QuerySet[Quarantine]:
    """Return what a run that releases is about: what it noted, until it has what has its window."""
    of_table = Quarantine.objects.filter(table=run.table_id)
    chunks = read_chunks(run.chunks)
    if noted := [each.counts[NOTED] for each in chunks if NOTED in each.counts]:
        return of_table.filter(pk__in=noted)
    start, end = run.window
    same = of_table.filter(window_end=end)
    return same.filter(window_start=start) if start else same.filter(window_start=None)


def held_of(run: MaterializationRun) -> QuerySet[Quarantine]:
    return Quarantine.objects.filter(table=run.table_id, state=QuarantineState.HELD)


def _supersede(
    run: MaterializationRun,
    windows: Iterable[Window],
    looked_at: Sequence[Window],
    held: QuerySet[Quarantine],
) -> None:
    """Say of those of the ``held`` that a run stands in the place of that they are superseded.

    Rows that came out otherwise than they are stored: only who compared all of that time once more,
    so the next run of new time does not; nor does it of corrections of ticks, though they cannot be
    released any more. Other rows: whoever stores any of what lacks of their time, or of all of it
    where nothing lacks.
    """
    stored = list(windows)
    for each in held.select_related("run__version__feature_view", "table"):
        if refused_corrections(each.run):
            is_over = not missing(each.window, looked_at)
        elif compares_rows(each.run):
            is_over = not missing(to_compare(each.run, each.window), looked_at)
        else:
            lacking = missing(each.window, coverage(each.table)) or [each.window]
            is_over = any(within(stored, part) for part in lacking)
        if is_over:
            ended = held.filter(pk=each.pk)
            if ended.update(state=QuarantineState.SUPERSEDED, ended_by=run):
                log.warning("%s is superseded by %s", each, run)


def follow_end(run: MaterializationRun, actor: object, at: datetime) -> None:
    """Hold again what a run was to release and did not come to store, however it ended."""
    if run.kind == RunKind.RELEASE:
        locks.hold(FeatureTable.objects.filter(pk=run.table_id))
        undone = Quarantine.objects.filter(ended_by=run, state=QuarantineState.RELEASING)
        undone.update(state=QuarantineState.HELD)
