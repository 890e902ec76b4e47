"""What may be read of a Delta table: the file list of one snapshot, out of its log.

Not for where tables lie (``delta_folder``, ``delta_bucket``) or for reading the files: the sandbox
does. A table's folder is never listed, since it also holds files that the table no longer has.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from lib.errors import said
from materialization.errors import (
    SourceFileMissing,
    SourceFileUnsupported,
    SourceFolderTooLarge,
    SourceUnreadable,
)
from materialization.finding.delta_types import MAPPING, columns_of
from materialization.sources.inputs import DeltaFile, DeltaFiles
from materialization.sources.row_marks import packed
from materialization.sources.walking import MAX_ENTRIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from lib.errors import AssayError
    from materialization.sources.inputs import DeltaColumn
    from registry.spec.sources.delta import DeltaSource

#: The folder of a table that has its log.
LOG = "_delta_log"
#: What a table may ask of its readers that is done here, or in the library.
_KNOWN_FEATURES = frozenset(
    (
        "columnMapping", "deletionVectors", "timestampNtz", "typeWidening", "typeWidening-preview",
        "v2Checkpoint", "vacuumProtocolCheck",
        # Columns of it are refused when they are read.
        "variantType", "variantType-preview",
    )
)  # fmt: skip
_DELETES = "deletionVectors"


class Place(Protocol):
    """Where a table lies, and what leads there."""

    #: How messages call the table.
    said: str
    #: What the library opens, and with what.
    address: str
    options: dict[str, str] | None

    def reading(self) -> AbstractContextManager[None]:
        """Let what the library raises out as what it means there."""

    def file(self, path: str, version: int) -> tuple[str, str]:
        """Return what the library calls a file of the log, and the path it is read by.

        :raises SourceOutsideRoots: it lies where this table may have none.
        :raises SourceFileMissing: it is gone.
        """

    def file_named(self, uri: str) -> str:
        """Return what ``file`` says the library calls it, of the address it gives for a file."""

    def begins(self) -> datetime | None:
        """Return the instant of the oldest version that the log still has by itself."""


def read_snapshot(place: Place, source: DeltaSource) -> DeltaFiles:
    """Return the files of the version that the source names.

    :raises SourceFileMissing: there is no such version, or a file of it is gone.
    :raises SourceOutsideRoots: a file of it lies where this table may have none.
    :raises SourceFileUnsupported: the table asks of its readers what is not done here.
    :raises SourceUnreadable: its log cannot be read.
    """
    table = _read_log(place, source)
    _refuse_features(table, place)
    columns = columns_of(table)
    with place.reading():
        files = tuple(sorted(_files(table, columns, place), key=lambda file: file.path))
    return DeltaFiles(files, columns, table.version())


def _read_log(place: Place, source: DeltaSource) -> DeltaTable:
    with place.reading():
        table = DeltaTable(place.address, storage_options=place.options)
        if source.as_of is not None:
            _require_past(source.as_of)
            _require_begun(table, source.as_of, place)
            table.load_as_version(source.as_of)
        elif source.table_version is not None:
            _load_version(table, source.table_version, place)
    return table


def _load_version(table: DeltaTable, version: int, place: Place) -> None:
    newest = table.version()
    if version > newest:  # the library would count up to it
        raise SourceFileMissing(f"{place.said} has no version {version}; its newest is {newest}.")
    try:
        table.load_as_version(version)
    except TableNotFoundError as exc:
        raise SourceFileMissing(
            f"{place.said} has no version {version} any more: its log was cleaned up. Name a newer"
            f" one, up to {newest}."
        ) from exc


def _require_past(as_of: datetime) -> None:
    if as_of > datetime.now(UTC):
        raise SourceFileMissing(
            f"as_of: {as_of:%Y-%m-%d %H:%M:%S} UTC is not over, so that the table may still have"
            " other rows then; name an instant that is.",
        )


def _require_begun(table: DeltaTable, as_of: datetime, place: Place) -> None:
    """Refuse what the library answers with the oldest version, or by a clock it does not read."""
    if table.metadata().configuration.get("delta.enableInCommitTimestamps") == "true":
        raise SourceFileUnsupported(
            f"{place.said} keeps the instants of its versions in its log, where they are not read;"
            " name a table_version instead of as_of."
        )
    since = place.begins()
    if since is None or as_of < since:
        begins = f"; its oldest there is from {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""
        raise SourceFileMissing(
            f"{place.said} has no version of {as_of:%Y-%m-%d %H:%M:%S} UTC{begins}."
            " Name a later `as_of`, or none for the newest."
        )


@contextmanager
def reading(table: str) -> Iterator[None]:
    """Let what the library raises of a table's log out as what it means."""
    try:
        yield
    except (DeltaError, OSError, ValueError) as exc:
        raise _unreadable(exc, table) from exc
    except BaseException as exc:
        if type(exc).__name__ != "PanicException":  # the library's, and no Exception
            raise
        raise _unreadable(exc, table) from exc


def _unreadable(error: BaseException, table: str) -> AssayError:
    if isinstance(error, TableNotFoundError):
        return SourceFileMissing(f"{table} has no version: its log is empty.")
    why = said(error).partition(" 0: <unknown>")[0].removeprefix("Kernel error: ")
    return SourceUnreadable(f"the log of {table} cannot be read: {why[:300].rstrip('. ')}.")


def _refuse_features(table: DeltaTable, place: Place) -> None:
    unknown = sorted(set(table.protocol().reader_features or ()) - _KNOWN_FEATURES)
    if unknown:
        raise SourceFileUnsupported(
            f"{place.said} can only be read with {', '.join(unknown)}, which is not done here;"
            " write its rows to a table without."
        )
    mapping = table.metadata().configuration.get(MAPPING, "none")
    if mapping not in ("none", "name"):
        raise SourceFileUnsupported(
            f"{place.said} names its columns by {mapping} (`{MAPPING}`), which is not read here;"
            " write its rows to a table that names them by name."
        )


def _files(table: DeltaTable, columns: Sequence[DeltaColumn], place: Place) -> Iterator[DeltaFile]:
    """Yield the snapshot's files.

    :raises SourceFolderTooLarge: there are more than a look may go over.
    """
    actions = pa.table(table.get_add_actions())
    if actions.num_rows > MAX_ENTRIES:
        raise SourceFolderTooLarge(
            f"{place.said} has {actions.num_rows:,} files, and at most {MAX_ENTRIES:,} are read;"
            " make them fewer (OPTIMIZE)."
        )
    folders = _folders(actions, columns)
    deletes = _DELETES in (table.protocol().reader_features or ())
    deleted = dict(_deleted(table, place)) if deletes else {}
    facts = [actions[name].to_pylist() for name in ("path", "size_bytes", "modification_time")]
    for number, (path, size, modified) in enumerate(zip(*facts, strict=True)):
        named, real = place.file(path, table.version())
        marks = deleted.pop(named, b"")
        mark = f"-{hashlib.sha256(marks).hexdigest()[:16]}" if marks else ""
        said = {name: values[number] for name, values in folders.items()}
        yield DeltaFile(real, f"{size}-{modified}{mark}", size, said, marks)
    if deleted:
        raise SourceUnreadable(
            f"{place.said} says which rows of {min(deleted)} are deleted, and has no such file;"
            " have the table repaired."
        )


def _folders(actions: pa.Table, columns: Sequence[DeltaColumn]) -> Mapping[str, list[str | None]]:
    """Return the values of the folder columns as texts, file by file."""
    names = [column.name for column in columns if column.folder and not column.refused]
    if not names or "partition" not in actions.column_names:
        return {}
    said = actions["partition"].combine_chunks()
    return {name: said.field(name).cast(pa.string()).to_pylist() for name in names}


def _deleted(table: DeltaTable, place: Place) -> Iterator[tuple[str, bytes]]:
    """Yield the files with rows that are deleted, and the marks of these."""
    for batch in pa.RecordBatchReader.from_stream(table.deletion_vectors()):
        kept = batch.column("selection_vector")
        for number, uri in enumerate(batch.column("filepath").to_pylist()):
            marks = ~kept[number].values.to_numpy(zero_copy_only=False)
            yield place.file_named(uri), packed(marks)
