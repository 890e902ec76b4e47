"""What the database records of the offline store, and the look at it before anything is stored.

The store compares for itself whenever a table is opened; see ``stores.offline_values.TableAt``.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from django.db import transaction

from materialization import queries
from materialization.chunks import read_chunks, stored_until
from materialization.edges.stores import offline_store
from materialization.models import StoredWindow
from materialization.queries import recorded_tables, table_at
from materialization.runner.quarantine import settle
from materialization.sequences import draw_sequence
from materialization.stores.offline_protocol import OfflineStoreBehind
from materialization.windows import merge, start_of
from registry import locks
from registry.models import FeatureTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from materialization.models import MaterializationRun
    from materialization.stores.offline_values import Cared, CommitResult, Snapshot
    from materialization.windows import Window

#: What of a window and its run is needed to fold it with others.
_FOLDED = ("window_start", "window_end", "earlier_sequence", "first_event", "run__sequence")
#: Of how many tables one has to be there for the store to be ours.
LOOKED_AT = 5


def note_commit(table: FeatureTable, found: CommitResult | Snapshot | Cared) -> None:
    """Record what a table is called in the store and which version it has there by now."""
    if found.version <= table.stored_version:
        return
    table.stored_as, table.stored_version = found.identity, found.version
    older = FeatureTable.objects.filter(pk=table.pk, stored_version__lt=found.version)
    older.update(stored_as=found.identity, stored_version=found.version)


def note_windows(
    run: MaterializationRun,
    windows: Iterable[Window],
    *,
    under: int = 0,
    first_event: datetime | None = None,
) -> None:
    """Record the windows as stored by the run; each once, however often it is asked."""
    note_stored(run.table, {run: windows}, under=under, first_event=first_event)


def note_beginning(run: MaterializationRun, first_event: datetime | None) -> None:
    """Record that the source begins later than it did, if the run computes all ticks since then."""
    locks.hold(FeatureTable.objects.filter(pk=run.table_id))
    known = queries.first_event(run.table)
    if first_event is not None and known is not None and start_of(run.window) < known:
        run.table.stored_windows.filter(first_event__lt=first_event).update(first_event=first_event)


@transaction.atomic
def note_stored(
    table: FeatureTable,
    stored: Mapping[MaterializationRun, Iterable[Window]],
    *,
    under: int = 0,
    first_event: datetime | None = None,
) -> None:
    """Record what runs of the table stored; windows that touch become one row.

    So a table has as many rows as its coverage has parts, and not as it had runs. ``under`` is the
    number by which the rows are to be known where it is not their own: see ``number_of_more``.
    ``first_event`` is the earliest that they aggregated.
    """
    locks.hold(FeatureTable.objects.filter(pk=table.pk))
    settle(stored)
    new = [
        StoredWindow(
            table=table,
            run=run,
            earlier_sequence=under,
            window_start=window.start,
            window_end=window.end,
            first_event=first_event,
        )
        for run, windows in stored.items()
        for window in windows
    ]
    if new:
        known = list(table.stored_windows.select_related("run").only(*_FOLDED))
        table.stored_windows.all().delete()
        StoredWindow.objects.bulk_create(_folded(table, [*known, *new]))


def number_of_more(runs: Iterable[MaterializationRun]) -> int:
    """Return the number under which more that the runs stored is to be known; 0: their sequence.

    A load since their beginning took what they had stored by then, and says of their sequence that
    all of it is loaded. Draw before anything is locked: see ``registry.locks``.
    """
    is_loaded = [
        run
        for run in runs
        if run.table.generation > run.pk and stored_until(read_chunks(run.chunks)) is not None
    ]
    return draw_sequence(is_loaded[0].table) if is_loaded else 0


def _folded(table: FeatureTable, rows: Sequence[StoredWindow]) -> list[StoredWindow]:
    """Return as few rows as there are windows that do not touch."""
    whole = merge(row.window for row in rows)
    starts = [start_of(window) for window in whole]
    parts: list[list[StoredWindow]] = [[] for _ in whole]
    for row in rows:
        parts[bisect_right(starts, start_of(row.window)) - 1].append(row)
    return [_one(table, window, part) for window, part in zip(whole, parts, strict=True)]


def _one(table: FeatureTable, window: Window, parts: Sequence[StoredWindow]) -> StoredWindow:
    newest = max((part.run for part in parts), key=_sequence)
    sequences = {_sequence(part.run) for part in parts} | {p.earlier_sequence for p in parts}
    return StoredWindow(
        table=table,
        run=newest,
        earlier_sequence=max(sequences - {_sequence(newest)}, default=0),
        window_start=window.start,
        window_end=window.end,
        first_event=min(filter(None, (part.first_event for part in parts)), default=None),
    )


def _sequence(run: MaterializationRun) -> int:
    """Return what the run's rows carry; 0 where it had none to store."""
    return run.sequence or 0


def require_store(table: FeatureTable) -> None:
    """Return if rows of the table may be stored where the offline store is now.

    A table without its first commit has nothing to compare with, so the others are asked: a new
    table in a folder that was not mounted would hide below the mount.

    :raises OfflineStoreBehind: it is not the store this database belongs to.
    """
    if table.stored_as:
        offline_store().snapshot(table_at(table))
        return
    trouble: OfflineStoreBehind | None = None
    for other in recorded_tables()[:LOOKED_AT]:
        try:
            offline_store().snapshot(table_at(other))
        except OfflineStoreBehind as exc:
            trouble = exc
        else:
            return
    if trouble is not None:
        raise trouble
