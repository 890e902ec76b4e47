"""What the database records of the offline store, and the look at it before anything is stored.

The store compares for itself whenever a table is opened; see ``stores.protocols.TableAt``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.edges import offline_store
from materialization.models import StoredWindow
from materialization.queries import recorded_tables, table_at
from materialization.stores.protocols import OfflineStoreBehind
from registry.models import FeatureTable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from materialization.models import MaterializationRun
    from materialization.stores.protocols import CommitResult, Snapshot
    from materialization.windows import Window

#: Of how many tables one has to be there for the store to be ours.
LOOKED_AT = 5


def note_commit(table: FeatureTable, found: CommitResult | Snapshot) -> None:
    """Record what a table is called in the store and which version it has there by now."""
    if found.version <= table.stored_version:
        return
    table.stored_as, table.stored_version = found.identity, found.version
    older = FeatureTable.objects.filter(pk=table.pk, stored_version__lt=found.version)
    older.update(stored_as=found.identity, stored_version=found.version)


def note_windows(run: MaterializationRun, windows: Iterable[Window]) -> None:
    """Record the windows as stored by the run; each once, however often it is asked."""
    for window in windows:
        StoredWindow.objects.get_or_create(
            table=run.table,
            run=run,
            window_end=window.end,
            defaults={"window_start": window.start},
        )


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
