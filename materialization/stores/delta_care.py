"""Care of a Delta table: few files, a short log, and none that nobody can need.

Thousands of small runs leave as many files and entries of the log, and each reader pays for them.
Not for when that is due (``requests.care``) or for commits (``offline``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import WriterProperties

from materialization.stores.offline_values import Cared, name_in_table

if TYPE_CHECKING:
    from collections.abc import Collection

    from deltalake import DeltaTable

    from materialization.stores.table_files import TableFiles

#: Files of fewer bytes are small; so many of them are made into some of about this size.
SMALL_BYTES, MANY, TARGET_BYTES = 32 << 20, 16, 128 << 20
#: Files that were added one after the other are made into one: row groups of a run's size keep what
#: is of one time together, in groups of a million rows a read of some time would find no other.
_WRITTEN = WriterProperties(compression="ZSTD", compression_level=4, max_row_group_size=122_880)
#: Younger files may be on their way into the table, whoever says what is to be kept.
YOUNG = timedelta(hours=1)
#: For how long the table knows which runs committed: a run that is tried again is not older.
TRANSACTIONS_KEPT = "interval 90 days"


def care(
    table: DeltaTable,
    own: TableFiles,
    *,
    keep: timedelta,
    compact: int | None,
    held: Collection[str] = frozenset(),
) -> Cared:
    """Compact, checkpoint and vacuum a table, each where there is something to do.

    What readers may have open (files that left the table within ``keep``) stays, and what a run may
    be about to add (files as young as that), and so do those ``held``.
    """
    small = sum(size < SMALL_BYTES for size in _sizes(table))
    is_due = table.version() == compact and small >= MANY
    if is_due:
        table.optimize.compact(target_size=TARGET_BYTES, writer_properties=_WRITTEN)
        table.update_incremental()
    removed, freed = _vacuum(table, own, keep, held)
    if _is_after_checkpoint(table, own):
        table.create_checkpoint()
        table.cleanup_metadata()
    sizes = _sizes(table)
    return Cared(
        identity=identity_of(table),
        version=table.version(),
        files=len(sizes),
        size=sum(sizes),
        compacted=small if is_due else 0,
        removed=removed,
        freed=freed,
    )


def identity_of(table: DeltaTable) -> str:
    """Return what a table is called, wherever it lies."""
    return str(table.metadata().id)


def _sizes(table: DeltaTable) -> list[int]:
    found: list[int] = pa.table(table.get_add_actions(flatten=True))["size_bytes"].to_pylist()
    return found


def _vacuum(
    table: DeltaTable, own: TableFiles, keep: timedelta, held: Collection[str]
) -> tuple[int, int]:
    """Remove files that left the table long ago or never came to it; return how many, and bytes."""
    removed = freed = 0
    # A commit moves its files before the log has them: those are never taken for left behind.
    for is_full, kept in ((False, keep), (True, max(keep, YOUNG))):
        hours = int(kept.total_seconds() // 3600)
        # A vacuum that finds nothing would still leave two entries in the log.
        found = table.vacuum(hours, enforce_retention_duration=False, full=is_full)
        # The log still names those that an earlier vacuum removed.
        sizes = own.sizes(found) if found else {}
        there = {name: sizes[name] for name in found if name in sizes}
        going = [name for name in there if name_in_table(own.path(name)) not in held]
        if not going:
            continue
        removed, freed = removed + len(going), freed + sum(there[name] for name in going)
        if len(going) == len(there):  # else: its own removal knows of no files that are held
            table.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=is_full)
            table.update_incremental()
        own.remove(going)
    return removed, freed


def _is_after_checkpoint(table: DeltaTable, own: TableFiles) -> bool:
    name = f"_delta_log/{table.version():020d}.checkpoint.parquet"
    return table.version() > 0 and name not in own.sizes([name])
