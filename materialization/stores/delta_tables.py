"""The Delta tables under a folder: found, opened, made, and what is told where that fails.

Not for what they hold: ``offline`` commits rows and reads them.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import DeltaError

from lib.errors import said
from materialization.stores.columns import CREATED, EVENT, PART, SEQUENCE
from materialization.stores.delta_care import TRANSACTIONS_KEPT, identity_of
from materialization.stores.delta_files import unusable_in
from materialization.stores.offline_protocol import OfflineStoreBehind, OfflineStoreUnavailable
from materialization.stores.own_folders import OwnFolders, unwritable
from materialization.stores.table_files import FolderFiles

if TYPE_CHECKING:
    import pyarrow as pa

    from lib.errors import Unavailable
    from materialization.stores.offline_values import TableAt
    from materialization.stores.table_files import TableFiles

#: Statistics are kept for these only: they find a sequence's files; features need none.
_CONFIGURATION = {
    "delta.dataSkippingStatsColumns": f"{EVENT},{CREATED},{SEQUENCE}",
    "delta.setTransactionRetentionDuration": TRANSACTIONS_KEPT,
}


class DeltaTables(OwnFolders):
    """The tables under ``root``; a store of another place overrides how one is reached."""

    #: What the tables' library is told beside an address.
    _options: dict[str, str] | None = None

    def __init__(self, root: str | Path) -> None:
        """:raises OfflineStoreUnavailable: under such a path the tables' library finds no file."""
        super().__init__(root)
        if (unusable := unusable_in(str(self.root))) is not None:
            raise OfflineStoreUnavailable(
                f"the offline store cannot lie at {str(self.root)!r}: Delta Lake finds no file "
                f"under a path with {unusable!r}",
                step="set OFFLINE_STORE to one without it",
            )

    def _find(self, at: TableAt) -> DeltaTable | None:
        """Return the table as it is now, None before its first commit.

        :raises OfflineStoreBehind: it is not the table that ``at`` knows, or not as new.
        """
        table = self._open(at.uri)
        if not at.identity:
            return table
        if table is None:
            raise OfflineStoreBehind(self._told(at), "has no table")
        if identity_of(table) != at.identity:
            raise OfflineStoreBehind(self._told(at), f"has the other table {identity_of(table)}")
        if table.version() < at.version:
            raise OfflineStoreBehind(self._told(at), f"has version {table.version()}")
        return table

    def _open(self, table_uri: str) -> DeltaTable | None:
        path = self.inside(table_uri)
        try:
            return self._opened(path)
        except (DeltaError, OSError) as exc:
            raise self._unavailable(table_uri, exc, "read") from exc

    def _create(self, at: TableAt, schema: pa.Schema, *, apart: bool) -> DeltaTable:
        path = self.inside(at.uri)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise unwritable(path, exc, "made") from exc
        try:
            return self._created(path, schema, [PART] if apart else None)
        except DeltaError as exc:
            if (table := self._open(at.uri)) is not None:
                return table  # another run created it in between
            raise self._unwritable(at.uri, exc) from exc

    def _look_again(self, at: TableAt, table: DeltaTable) -> None:
        """Have the table as new as it is.

        :raises OfflineStoreUnavailable: nobody can say now whether a commit was made.
        """
        try:
            table.update_incremental()
        except (DeltaError, OSError) as exc:
            raise self._unavailable(at.uri, exc, "read") from exc

    def _files(self, at: TableAt) -> TableFiles:
        """Return what there is of a table beside its log."""
        return FolderFiles(self.inside(at.uri))

    def _opened(self, path: Path) -> DeltaTable | None:
        """Return the table of a folder, as its library opens it; None where it has none."""
        if DeltaTable.is_deltatable(str(path)):
            return DeltaTable(str(path))
        # It takes a folder that may not be entered for one that is not there.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            (path / "_delta_log").stat()
        return None

    def _created(self, path: Path, schema: pa.Schema, partition_by: list[str] | None) -> DeltaTable:
        # With retries the loser of a race would write its table over the winner's, as version 1.
        once = CommitProperties(max_commit_retries=0)
        return DeltaTable.create(
            self._address(path),
            schema,
            mode="ignore",
            partition_by=partition_by,
            configuration=_CONFIGURATION,
            storage_options=self._options,
            commit_properties=once,
        )

    def _told(self, at: TableAt) -> TableAt:
        """Return a table as messages say where it is."""
        return at

    def _address(self, path: Path) -> str:
        return str(path)

    def _unwritable(self, uri: str, error: DeltaError | OSError) -> Unavailable:
        return unwritable(uri, error)

    def _unavailable(
        self, uri: str, error: DeltaError | OSError, what: str
    ) -> OfflineStoreUnavailable:
        return OfflineStoreUnavailable(f"{uri} cannot be {what}: {said(error)}")
