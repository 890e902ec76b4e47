"""Who read what, as a Delta table of the system's own: a partition for each project and day.

Not for how reads get here (``usage_stream``) or for what is asked of them (``serving.usage``).
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import DeltaError

from lib.errors import said
from materialization.stores.delta_care import TRANSACTIONS_KEPT
from materialization.stores.offline_protocol import OfflineStoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date, timedelta

    import pyarrow.dataset as ds

_PARTITIONS = ["project", "day"]
#: A day of so many files is made into few.
MANY = 16
#: Rows that are read at a time: each may name thousands of features.
_READ_AT_ONCE = 8_192
_WRITTEN = WriterProperties(compression="ZSTD", compression_level=4)


class UsageAt(NamedTuple):
    """Where the table lies, and what its library is told beside that."""

    address: str
    options: dict[str, str] | None = None

    @property
    def is_folder(self) -> bool:
        return self.options is None


class UsageTable:
    """The table at one place; every method raises ``OfflineStoreUnavailable`` where that fails."""

    def __init__(self, at: UsageAt, schema: pa.Schema) -> None:
        self._at, self._schema = at, schema

    def last(self, transaction: str) -> int | None:
        """Return the number of a transaction's last commit."""
        with self._told("read"):
            table = self._find()
            return table.transaction_version(transaction) if table is not None else None

    def append(self, rows: pa.Table, *, transaction: str, number: int, after: int | None) -> bool:
        """Add rows, unless another has committed since ``after``; return whether it was this call.

        Rows and number are one commit: what is stored and what is known to be are never apart.
        """
        with self._told("written to"):
            table = self._find() or self._create()
            if table.transaction_version(transaction) != after:
                return False
            told = Transaction(transaction, number, int(time.time() * 1000))
            try:
                write_deltalake(
                    table,
                    rows.select(self._schema.names).cast(self._schema),
                    mode="append",
                    schema_mode="merge",  # it may have been begun when less was noted
                    writer_properties=_WRITTEN,
                    commit_properties=CommitProperties(app_transactions=[told]),
                )
            except (DeltaError, OSError):
                # By another, or by this call, whose answer was lost: then it is stored.
                table.update_incremental()
                if table.transaction_version(transaction) == after:
                    raise
                return False
        return True

    def batches(self, columns: Sequence[str], where: ds.Expression) -> Iterator[pa.RecordBatch]:
        """Yield these columns of the rows that an expression keeps, some rows at a time."""
        with self._told("read"):
            table = self._find()
            if table is None:
                return
            found = table.to_pyarrow_dataset(schema=self._schema)
            scanner = found.scanner(
                columns=list(columns),
                filter=where,
                batch_size=_READ_AT_ONCE,
                batch_readahead=1,
                fragment_readahead=1,
            )
            yield from scanner.to_batches()

    def remove_before(self, day: date) -> int:
        """Remove the days before one; return how many files had them. ``care`` frees the room."""
        with self._told("cleared"):
            table = self._find()
            if table is None:
                return 0
            found = table.delete(f"day < DATE '{day.isoformat()}'")
            return int(found["num_removed_files"])

    def care(self, *, keep: timedelta) -> None:
        """Make few files of many, shorten the log, and remove files that left within ``keep``."""
        with self._told("cared for"):
            table = self._find()
            if table is None:
                return
            for project, day in _crowded(table):
                table.optimize.compact(
                    [("project", "=", project), ("day", "=", day)], writer_properties=_WRITTEN
                )
                table.update_incremental()
            hours = int(keep.total_seconds() // 3600)
            if table.vacuum(hours, enforce_retention_duration=False):
                table.vacuum(hours, dry_run=False, enforce_retention_duration=False)
                table.update_incremental()
            table.create_checkpoint()
            table.cleanup_metadata()

    def _find(self) -> DeltaTable | None:
        if self._at.is_folder and not Path(self._at.address, "_delta_log").exists():
            return None
        if not DeltaTable.is_deltatable(self._at.address, self._at.options):
            return None
        return DeltaTable(self._at.address, storage_options=self._at.options)

    def _create(self) -> DeltaTable:
        if self._at.is_folder:
            Path(self._at.address).mkdir(parents=True, exist_ok=True)
        try:
            return DeltaTable.create(
                self._at.address,
                self._schema,
                mode="ignore",
                partition_by=_PARTITIONS,
                configuration={"delta.setTransactionRetentionDuration": TRANSACTIONS_KEPT},
                storage_options=self._at.options,
                # With retries the loser of a race would write its table over the winner's.
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except DeltaError:
            if (table := self._find()) is not None:
                return table  # another created it in between
            raise

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except (DeltaError, OSError) as exc:
            where = self._at.address
            raise OfflineStoreUnavailable(f"{where} cannot be {what}: {said(exc)}") from exc


def _crowded(table: DeltaTable) -> list[tuple[str, str]]:
    """Return the partitions that have many files, as their project and day."""
    actions = pa.table(table.get_add_actions(flatten=True))
    names = [f"partition.{name}" for name in _PARTITIONS]
    counts = actions.group_by(names).aggregate([([], "count_all")]).to_pylist()
    return [(each[names[0]], str(each[names[1]])) for each in counts if each["count_all"] >= MANY]
