"""The offline store in Delta tables: idempotent commits, snapshots, deletion.

Not for computing or joining: the engine gives Arrow, readers give a snapshot's files to DuckDB.
"""

from __future__ import annotations

import shutil
import time
import uuid
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction
from deltalake.exceptions import DeltaError

from materialization.stores.columns import EVENTS
from materialization.stores.delta_care import SMALL_BYTES, care, identity_of
from materialization.stores.delta_files import (
    ROWS,
    StagedFile,
    add_action,
    by_first_event,
    is_looked_into,
    of_sequence,
    part_of,
    read_all_staged,
    rows_of,
    stored_file,
    table_schema,
)
from materialization.stores.delta_tables import DeltaTables
from materialization.stores.offline_protocol import OfflineStoreBehind, OfflineStoreUnavailable
from materialization.stores.offline_values import (
    Addresses,
    Beside,
    Cared,
    CommitResult,
    FileList,
    FileState,
    Snapshot,
    TableAt,
)
from materialization.stores.own_folders import unwritable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from deltalake.transaction import AddAction

    from materialization.stores.offline_values import StoredFile
    from materialization.stores.table_files import TableFiles


class DeltaOfflineStore(DeltaTables):
    """The Delta tables under ``root``; ``TableAt.uri`` is the directory of one of them.

    What each method promises stands in ``offline_protocol.OfflineStore``.
    """

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
        first: int | None = None,
        marks: Mapping[str, int] | None = None,
    ) -> CommitResult:
        self._before_commit()
        whole = table_schema(schema, events.schema) if events is not None else schema
        table = self._find(at) or self._create(at, whole, apart=events is not None)
        if table.transaction_version(transaction) != after:
            return self._known(at, table, sequence)
        own = self._files(at)
        numbers = range(sequence if first is None else first, sequence + 1)
        staged = _staged(files, schema, numbers, rows, events)
        try:
            moved = [_moved(each, own, sequence) for each in staged]
        except OSError as exc:
            raise unwritable(at.uri, exc) from exc
        told = _transactions({**(marks or {}), transaction: number})
        try:
            _append(table, [add_action(each) for each in moved], whole, sequence, told)
        except Exception as exc:
            self._look_again(at, table)
            if table.transaction_version(transaction) == after:
                own.take_back(each.path for each in moved)
                if isinstance(exc, (DeltaError, OSError)):
                    raise self._unwritable(at.uri, exc) from exc
                raise
            # By another attempt, or by this one, whose answer was lost.
            stored = {file["path"] for file in self._all_files(at, table)}
            own.remove(each.path for each in moved if each.path not in stored)
            return self._known(at, table, sequence)
        self._look_again(at, table)
        return CommitResult(
            identity=identity_of(table),
            version=table.version(),
            rows=rows,
            files=tuple(own.path(each.path) for each in moved if each.part != EVENTS),
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
        everything = self._all_files(at, table)
        files = [file for file in everything if part_of(file) != EVENTS]
        if sequence is not None:
            files = of_sequence(files, sequence)
        events = [file for file in everything if part_of(file) == EVENTS]
        self._require_files(at, table, [*files, *events])
        return Snapshot(
            identity=identity_of(table),
            version=table.version(),
            files=tuple(file["uri"] for file in files),
            rows=self._rows(files, sequence),
            events=tuple(file["uri"] for file in events),
            small=sum(file["size_bytes"] < SMALL_BYTES for file in [*files, *events]),
            known=tuple(map(stored_file, [*files, *events])),
        )

    def list_files(self, at: TableAt) -> FileList:
        table = self._find(at)
        if table is None:
            where = self._told(at).uri
            step = "nothing was stored yet: start a run"
            raise OfflineStoreUnavailable(f"{where} has no table", step=step)
        added = self._added_files(at, table)
        self._require_files(at, table, added)
        files = sorted(map(stored_file, added), key=by_first_event)
        return FileList(table.version(), tuple(files))

    def find_files(self, at: TableAt, names: Sequence[str]) -> tuple[str, ...]:
        own = self._files(at)
        there = own.sizes(names)
        if lost := next((name for name in names if name not in there), None):
            raise OfflineStoreBehind(self._told(at), f"lacks its file {lost}")
        return tuple(map(own.path, names))

    def file_states(self, at: TableAt, names: Sequence[str]) -> tuple[FileState, ...]:
        own = self._files(at)
        return tuple(_file_state(self._told(at), own, name) for name in names)

    def drop_untrue_copies(self, at: TableAt, hashes: Mapping[str, str]) -> None:
        try:
            self._files(at).drop_untrue(hashes)
        except OSError as exc:
            raise OfflineStoreUnavailable(
                f"{exc.filename} cannot be read: {exc.strerror}", step="remove it, it is a copy"
            ) from exc

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
            return care(table, self._files(at), keep=keep, compact=compact, held=set(held))
        except (DeltaError, OSError) as exc:
            raise self._unavailable(at.uri, exc, "cared for") from exc

    def delete_table(self, at: TableAt) -> None:
        shutil.rmtree(self.inside(at.uri), ignore_errors=True)

    def bring(self, files: Iterable[str], *, bounded: bool = False) -> None:
        """Do nothing: readers open the files where they are."""

    def addresses(self, files: Sequence[StoredFile], *, at: datetime) -> Addresses:
        return Addresses(tuple(file.uri for file in files))

    def _before_commit(self) -> None:
        """:raises OfflineStoreUnavailable: nothing may be committed."""

    def _require_files(
        self, at: TableAt, table: DeltaTable, files: Sequence[dict[str, Any]]
    ) -> None:
        """:raises OfflineStoreBehind: the log names a file that is not there."""
        names = [file["path"] for file in files]
        there = self._files(at).sizes(names) if names else {}
        if (lost := next((name for name in names if name not in there), None)) is not None:
            here = TableAt(at.uri, identity_of(table), table.version())
            raise OfflineStoreBehind(self._told(here), f"lacks its file {Path(lost).name}")

    def _all_files(self, at: TableAt, table: DeltaTable) -> list[dict[str, Any]]:
        actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
        own = self._files(at)
        return [{**action, "uri": own.path(action["path"])} for action in actions]

    def _added_files(self, at: TableAt, table: DeltaTable) -> list[dict[str, Any]]:
        """Return the files that hold rows; what is stored beside them is not among them."""
        return [file for file in self._all_files(at, table) if part_of(file) != EVENTS]

    def _rows(self, files: Sequence[dict[str, Any]], sequence: int | None) -> int:
        self.bring(file["uri"] for file in files if is_looked_into(file, sequence))
        return sum(rows_of(file, sequence) for file in files)

    def _known(self, at: TableAt, table: DeltaTable, sequence: int) -> CommitResult:
        """Return the result of a commit that was made before."""
        files = of_sequence(self._added_files(at, table), sequence)
        return CommitResult(
            identity=identity_of(table),
            version=table.version(),
            rows=self._rows(files, sequence),
            files=tuple(file["uri"] for file in files),
            already=True,
        )


def _staged(
    files: Sequence[str], schema: pa.Schema, numbers: range, rows: int, events: Beside | None
) -> list[StagedFile]:
    """Read what the footers say of all that a commit is to add, and refuse what does not fit."""
    part = None if events is None else ROWS
    staged = read_all_staged(files, schema, numbers, rows=rows, part=part)
    if events is not None:
        staged += read_all_staged(
            events.files, events.schema, numbers, rows=events.rows, part=EVENTS
        )
    return staged


def _append(
    table: DeltaTable,
    actions: list[AddAction],
    schema: pa.Schema,
    sequence: int,
    transactions: list[Transaction],
) -> None:
    properties = CommitProperties(
        custom_metadata={"assay.sequence": str(sequence)},
        app_transactions=transactions,
    )
    table.create_write_transaction(
        list(actions),
        mode="append",
        schema=schema,
        partition_by=table.metadata().partition_columns,
        commit_properties=properties,
    )


def _transactions(numbers: Mapping[str, int]) -> list[Transaction]:
    now = int(time.time() * 1000)
    return [Transaction(name, number, now) for name, number in numbers.items()]


def _moved(staged: StagedFile, own: TableFiles, sequence: int) -> StagedFile:
    """Give the file its place in the table, under a name that no other attempt takes."""
    name = f"{sequence:010d}-{uuid.uuid4().hex}.parquet"
    own.add(staged.path, name)
    return staged._replace(path=name)


def _file_state(at: TableAt, own: TableFiles, name: str) -> FileState:
    try:
        return FileState(own.path(name), name, *own.state(name))
    except FileNotFoundError as exc:
        raise OfflineStoreBehind(at, f"lacks its file {name}") from exc
    except OSError as exc:
        raise OfflineStoreUnavailable(f"{own.path(name)} cannot be read: {exc.strerror}") from exc
