"""The offline store in Delta tables: idempotent commits, snapshots, deletion.

Not for computing or joining: the engine gives Arrow, readers give a snapshot's files to DuckDB.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import time
import uuid
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import DeltaError

from lib.errors import said
from materialization.stores.columns import CREATED, EVENT, EVENTS, PART, SEQUENCE
from materialization.stores.delta_care import SMALL_BYTES, TRANSACTIONS_KEPT, care, identity_of
from materialization.stores.delta_files import (
    ROWS,
    StagedFile,
    add_action,
    by_first_event,
    of_sequence,
    part_of,
    read_all_staged,
    rows_of,
    stored_file,
    table_schema,
    unusable_in,
)
from materialization.stores.offline_protocol import (
    Beside,
    Cared,
    CommitResult,
    FileList,
    FileState,
    OfflineStoreBehind,
    OfflineStoreUnavailable,
    Snapshot,
    TableAt,
)
from materialization.stores.own_folders import OwnFolders, unwritable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from deltalake.transaction import AddAction

#: Statistics are kept for these only: they find a sequence's files; features need none.
_CONFIGURATION = {
    "delta.dataSkippingStatsColumns": f"{EVENT},{CREATED},{SEQUENCE}",
    "delta.setTransactionRetentionDuration": TRANSACTIONS_KEPT,
}


class DeltaOfflineStore(OwnFolders):
    """The Delta tables under ``root``; ``TableAt.uri`` is the directory of one of them.

    What each method promises stands in ``offline_protocol.OfflineStore``.
    """

    def __init__(self, root: str | Path) -> None:
        """:raises OfflineStoreUnavailable: under such a path the tables' library finds no file."""
        super().__init__(root)
        if (unusable := unusable_in(str(self.root))) is not None:
            raise OfflineStoreUnavailable(
                f"the offline store cannot lie at {str(self.root)!r}: Delta Lake finds no file "
                f"under a path with {unusable!r}. Set OFFLINE_STORE to one without it."
            )

    def commit(
        self,
        at: TableAt,
        files: Sequence[str],
        *,
        schema: pa.Schema,
        sequence: int,
        transaction: str,
        rows: int,
        number: int = 1,
        after: int | None = None,
        events: Beside | None = None,
    ) -> CommitResult:
        whole = table_schema(schema, events.schema) if events is not None else schema
        table = self._find(at) or self._create(at, whole, apart=events is not None)
        if table.transaction_version(transaction) != after:
            return _known(table, sequence)
        root = Path(_root_of(table))
        part = None if events is None else ROWS
        staged = read_all_staged(files, schema, sequence, rows=rows, part=part)
        if events is not None:
            staged += read_all_staged(
                events.files, events.schema, sequence, rows=events.rows, part=EVENTS
            )
        try:
            moved = [_moved(each, root, sequence) for each in staged]
        except OSError as exc:
            raise unwritable(root, exc) from exc
        told = Transaction(transaction, number, int(time.time() * 1000))
        try:
            _append(table, [add_action(each) for each in moved], whole, sequence, told)
        except Exception as exc:
            table.update_incremental()
            if table.transaction_version(transaction) == after:
                _remove(root / each.path for each in moved)
                if isinstance(exc, (DeltaError, OSError)):
                    raise unwritable(at.uri, exc) from exc
                raise
            # By another attempt, or by this one, whose answer was lost.
            stored = {file["path"] for file in _all_files(table)}
            _remove(root / each.path for each in moved if each.path not in stored)
            return _known(table, sequence)
        table.update_incremental()
        return CommitResult(
            identity=identity_of(table),
            version=table.version(),
            rows=rows,
            files=tuple(str(root / each.path) for each in moved if each.part != EVENTS),
            already=False,
        )

    def committed(self, at: TableAt, transactions: Iterable[str]) -> dict[str, int]:
        table = self._find(at)
        if table is None:
            return {}
        found = ((name, table.transaction_version(name)) for name in transactions)
        return {name: number for name, number in found if number is not None}

    def snapshot(self, at: TableAt, *, sequence: int | None = None) -> Snapshot:
        table = self._find(at)
        if table is None:
            return Snapshot(identity="", version=-1, files=(), rows=0)
        files = _added_files(table)
        if sequence is not None:
            files = of_sequence(files, sequence)
        events = [file for file in _all_files(table) if part_of(file) == EVENTS]
        _require_files(table, [*files, *events])
        return Snapshot(
            identity=identity_of(table),
            version=table.version(),
            files=tuple(file["uri"] for file in files),
            rows=sum(rows_of(file, sequence) for file in files),
            events=tuple(file["uri"] for file in events),
            small=sum(file["size_bytes"] < SMALL_BYTES for file in [*files, *events]),
        )

    def list_files(self, at: TableAt) -> FileList:
        table = self._find(at)
        if table is None:
            raise OfflineStoreUnavailable(f"{at.uri} has no table: nothing was stored yet.")
        added = _added_files(table)
        _require_files(table, added)
        files = sorted(map(stored_file, added), key=by_first_event)
        return FileList(table.version(), tuple(files))

    def find_files(self, at: TableAt, names: Sequence[str]) -> tuple[str, ...]:
        files = [self.inside(at.uri) / name for name in names]
        if lost := next((file.name for file in files if not file.exists()), None):
            raise OfflineStoreBehind(at, f"lacks its file {lost}")
        return tuple(map(str, files))

    def file_states(self, at: TableAt, names: Sequence[str]) -> tuple[FileState, ...]:
        root = self.inside(at.uri)
        return tuple(_file_state(at, root, name) for name in names)

    def care(
        self,
        at: TableAt,
        *,
        keep: timedelta,
        compact: int | None = None,
        held: Collection[str] = (),
    ) -> Cared | None:
        table = self._find(at)
        if table is None:
            return None
        try:
            return care(table, Path(_root_of(table)), keep=keep, compact=compact, held=set(held))
        except (DeltaError, OSError) as exc:
            raise OfflineStoreUnavailable(f"{at.uri} cannot be cared for: {said(exc)}") from exc

    def delete_table(self, at: TableAt) -> None:
        shutil.rmtree(self.inside(at.uri), ignore_errors=True)

    def _find(self, at: TableAt) -> DeltaTable | None:
        """Return the table as it is now, None before its first commit.

        :raises OfflineStoreBehind: it is not the table that ``at`` knows, or not as new.
        """
        table = self._open(at.uri)
        if not at.identity:
            return table
        if table is None:
            raise OfflineStoreBehind(at, "has no table")
        if identity_of(table) != at.identity:
            raise OfflineStoreBehind(at, f"has the other table {identity_of(table)}")
        if table.version() < at.version:
            raise OfflineStoreBehind(at, f"has version {table.version()}")
        return table

    def _open(self, table_uri: str) -> DeltaTable | None:
        path = str(self.inside(table_uri))
        try:
            if DeltaTable.is_deltatable(path):
                return DeltaTable(path)
            # It takes a folder that may not be entered for one that is not there.
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                Path(path, "_delta_log").stat()
            return None
        except (DeltaError, OSError) as exc:
            raise OfflineStoreUnavailable(f"{table_uri} cannot be read: {said(exc)}") from exc

    def _create(self, at: TableAt, schema: pa.Schema, *, apart: bool) -> DeltaTable:
        path = self.inside(at.uri)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise unwritable(path, exc, "made") from exc
        # With retries the loser of a race would write its table over the winner's, as version 1.
        once = CommitProperties(max_commit_retries=0)
        try:
            return DeltaTable.create(
                str(path),
                schema,
                mode="ignore",
                partition_by=[PART] if apart else None,
                configuration=_CONFIGURATION,
                commit_properties=once,
            )
        except DeltaError as exc:
            if (table := self._open(at.uri)) is not None:
                return table  # another run created it in between
            raise unwritable(at.uri, exc) from exc


def _append(
    table: DeltaTable,
    actions: list[AddAction],
    schema: pa.Schema,
    sequence: int,
    transaction: Transaction,
) -> None:
    properties = CommitProperties(
        custom_metadata={"assay.sequence": str(sequence)},
        app_transactions=[transaction],
    )
    table.create_write_transaction(
        list(actions),
        mode="append",
        schema=schema,
        partition_by=table.metadata().partition_columns,
        commit_properties=properties,
    )


def _moved(staged: StagedFile, root: Path, sequence: int) -> StagedFile:
    """Give the file its place in the table, under a name that no other attempt takes."""
    name = f"{sequence:010d}-{uuid.uuid4().hex}.parquet"
    Path(staged.path).rename(root / name)
    return staged._replace(path=name)


def _file_state(at: TableAt, root: Path, name: str) -> FileState:
    file = root / name
    try:
        with file.open("rb") as opened:
            mark = hashlib.file_digest(opened, "sha256").hexdigest()
        return FileState(str(file), name, file.stat().st_size, mark)
    except FileNotFoundError as exc:
        raise OfflineStoreBehind(at, f"lacks its file {name}") from exc
    except OSError as exc:
        raise OfflineStoreUnavailable(f"{file} cannot be read: {exc.strerror}") from exc


def _remove(files: Iterable[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)


def _require_files(table: DeltaTable, files: Sequence[dict[str, Any]]) -> None:
    """:raises OfflineStoreBehind: the log names a file that is not there, as after half a copy."""
    lost = next((file["uri"] for file in files if not Path(file["uri"]).exists()), None)
    if lost is not None:
        here = TableAt(_root_of(table), identity_of(table), table.version())
        raise OfflineStoreBehind(here, f"lacks its file {Path(lost).name}")


def _root_of(table: DeltaTable) -> str:
    """Return the table's directory: its address is percent-encoded, and no directory is."""
    return unquote(table.table_uri.removeprefix("file://"))


def _added_files(table: DeltaTable) -> list[dict[str, Any]]:
    """Return the files that hold rows; what is stored beside them is not among them."""
    return [file for file in _all_files(table) if part_of(file) != EVENTS]


def _all_files(table: DeltaTable) -> list[dict[str, Any]]:
    actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    root = Path(_root_of(table))
    return [{**action, "uri": str(root / action["path"])} for action in actions]


def _known(table: DeltaTable, sequence: int) -> CommitResult:
    """Return the result of a commit that was made before."""
    files = of_sequence(_added_files(table), sequence)
    return CommitResult(
        identity=identity_of(table),
        version=table.version(),
        rows=sum(rows_of(file, sequence) for file in files),
        files=tuple(file["uri"] for file in files),
        already=True,
    )
