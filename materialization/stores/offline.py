"""The offline store in Delta tables: idempotent commits, snapshots, deletion.

Not for computing or joining: the engine gives Arrow, readers give a snapshot's files to DuckDB.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError, TableNotFoundError

from materialization.stores.columns import CREATED, EVENT, SEQUENCE
from materialization.stores.protocols import (
    CommitResult,
    FileList,
    OfflineStoreUnavailable,
    Snapshot,
    StoredFile,
    TableOutsideStore,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: Statistics are kept for these only: they find a sequence's files; features need none.
_CONFIGURATION = {"delta.dataSkippingStatsColumns": f"{EVENT},{CREATED},{SEQUENCE}"}
#: Delta cuts the microseconds off an instant of its statistics: the greatest was up to this later.
_CUT_OFF = timedelta(microseconds=999)
_LATEST = datetime.max.replace(tzinfo=UTC)


class DeltaOfflineStore:
    """The Delta tables under ``root``; a ``table_uri`` is the directory of one of them.

    What each method promises stands in ``protocols.OfflineStore``.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root).resolve()

    def commit(
        self,
        table_uri: str,
        batches: Iterable[pa.RecordBatch],
        *,
        schema: pa.Schema,
        sequence: int,
        transaction: str,
    ) -> CommitResult:
        table = self._open_or_create(table_uri, schema)
        if table.transaction_version(transaction) is not None:
            return _result(table, sequence, before=(), already=True)
        before = [file["uri"] for file in _of_sequence(table, sequence)]
        feed = _Feed(batches, schema, sequence)
        properties = CommitProperties(
            custom_metadata={"assay.sequence": str(sequence)},
            app_transactions=[Transaction(transaction, 1)],
        )
        try:
            write_deltalake(table, feed.reader, mode="append", commit_properties=properties)
        except Exception as exc:
            if feed.error is not None:
                raise feed.error from exc
            table.update_incremental()
            if table.transaction_version(transaction) is None:
                if isinstance(exc, (DeltaError, OSError)):
                    raise OfflineStoreUnavailable(f"{table_uri} cannot be written: {exc}") from exc
                raise
            return _result(table, sequence, before=(), already=True)
        table.update_incremental()
        return _result(table, sequence, before=before, already=False)

    def committed(self, table_uri: str, transactions: Iterable[str]) -> set[str]:
        if not self.exists(table_uri):
            return set()
        table = self._open(table_uri)
        return {name for name in transactions if table.transaction_version(name) is not None}

    def exists(self, table_uri: str) -> bool:
        try:
            return DeltaTable.is_deltatable(str(self._inside(table_uri)))
        except (DeltaError, OSError) as exc:
            raise OfflineStoreUnavailable(f"{table_uri} cannot be read: {exc}") from exc

    def snapshot(self, table_uri: str, *, sequence: int | None = None) -> Snapshot:
        if not self.exists(table_uri):
            return Snapshot(version=-1, files=(), rows=0)
        table = self._open(table_uri)
        files = _added_files(table) if sequence is None else _of_sequence(table, sequence)
        return Snapshot(
            version=table.version(),
            files=tuple(file["uri"] for file in files),
            rows=sum(file["num_records"] for file in files),
        )

    def list_files(self, table_uri: str) -> FileList:
        table = self._open(table_uri)
        files = sorted(map(_stored_file, _added_files(table)), key=_by_first_event)
        return FileList(table.version(), tuple(files))

    def delete_table(self, table_uri: str) -> None:
        shutil.rmtree(self._inside(table_uri), ignore_errors=True)

    def _inside(self, table_uri: str) -> Path:
        path = Path(table_uri).resolve()
        if path == self.root or not path.is_relative_to(self.root):
            raise TableOutsideStore(f"{table_uri} is no table of the store {self.root}.")
        return path

    def _open(self, table_uri: str) -> DeltaTable:
        try:
            return DeltaTable(str(self._inside(table_uri)))
        except (DeltaError, OSError) as exc:
            raise OfflineStoreUnavailable(f"{table_uri} cannot be read: {exc}") from exc

    def _open_or_create(self, table_uri: str, schema: pa.Schema) -> DeltaTable:
        path = self._inside(table_uri)
        path.mkdir(parents=True, exist_ok=True)
        try:
            return DeltaTable(str(path))
        except TableNotFoundError:
            pass
        # With retries the loser of a race would write its table over the winner's, as version 1.
        once = CommitProperties(max_commit_retries=0)
        try:
            return DeltaTable.create(
                str(path),
                schema,
                mode="ignore",
                configuration=_CONFIGURATION,
                commit_properties=once,
            )
        except DeltaError:
            return self._open(table_uri)  # another run created it in between


class _Feed:
    """A reader with ``__sequence`` added, that keeps the error delta-rs would replace by a text."""

    def __init__(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema, sequence: int) -> None:
        self.error: Exception | None = None
        self._source, self._schema, self._sequence = batches, schema, sequence
        self.reader = pa.RecordBatchReader.from_batches(schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._source:
                sequence = pa.repeat(pa.scalar(self._sequence, pa.int64()), batch.num_rows)
                columns = [
                    sequence if field.name == SEQUENCE else batch.column(field.name)
                    for field in self._schema
                ]
                yield pa.RecordBatch.from_arrays(columns, schema=self._schema)
        except Exception as exc:
            self.error = exc
            raise


def _added_files(table: DeltaTable) -> list[dict[str, Any]]:
    actions = pa.table(table.get_add_actions(flatten=True)).to_pylist()
    root = Path(table.table_uri.removeprefix("file://"))
    return [{**action, "uri": str(root / action["path"])} for action in actions]


def _stored_file(action: dict[str, Any]) -> StoredFile:
    first, last = action.get(f"min.{EVENT}"), action.get(f"max.{EVENT}")
    return StoredFile(
        uri=action["uri"],
        rows=action["num_records"],
        first_event=first and first.astimezone(UTC),
        last_event=last and last.astimezone(UTC) + _CUT_OFF,
    )


def _by_first_event(file: StoredFile) -> tuple[datetime, str]:
    return file.first_event or _LATEST, file.uri


def _of_sequence(table: DeltaTable, sequence: int) -> list[dict[str, Any]]:
    low, high = f"min.{SEQUENCE}", f"max.{SEQUENCE}"
    return [file for file in _added_files(table) if file[low] <= sequence <= file[high]]


def _result(
    table: DeltaTable, sequence: int, *, before: Sequence[str], already: bool
) -> CommitResult:
    files = [file for file in _of_sequence(table, sequence) if file["uri"] not in before]
    return CommitResult(
        version=table.version(),
        rows=sum(file["num_records"] for file in files),
        files=tuple(file["uri"] for file in files),
        already=already,
    )
