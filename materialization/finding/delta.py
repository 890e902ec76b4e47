"""What may be read of a Delta table: the file list of one snapshot, out of its log.

Not for reading the files: the sandbox does. A table's folder is never listed, since it also holds
files that the table no longer has.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from lib.errors import said
from materialization.errors import (
    SourceFileMissing,
    SourceFileUnsupported,
    SourceFolderTooLarge,
    SourceOutsideRoots,
    SourceUnreadable,
)
from materialization.finding.delta_types import MAPPING, columns_of
from materialization.sources.files import refuse_escape, refuse_expanded, require_root
from materialization.sources.inputs import DeltaFile, DeltaFiles
from materialization.sources.row_marks import packed
from materialization.sources.walking import (
    MAX_ENTRIES,
    folder_unreadable,
    is_under,
    require_inside,
)
from materialization.stores.delta_files import unusable_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lib.errors import AssayError
    from materialization.sources.files import Whereabouts
    from materialization.sources.inputs import DeltaColumn
    from registry.spec.sources import DeltaSource

_LOG = "_delta_log"
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


class DeltaTableFinder:
    def find(self, source: DeltaSource, where: Whereabouts) -> DeltaFiles:
        """Return the files of the version that the source names.

        :raises SourceFileMissing: there is no table, no such version, or a file of it is gone.
        :raises SourceOutsideRoots: the table, or a file of it, lies outside of the root.
        :raises SourceFileUnsupported: the table asks of its readers what is not done here.
        :raises SourceUnreadable: its log cannot be read.
        """
        place = _place_of(source, where)
        table = _read_log(place, source)
        _refuse_features(table, place)
        columns = columns_of(table)
        files = tuple(sorted(_files(table, columns, place), key=lambda file: file.path))
        return DeltaFiles(files, columns, table.version())


class _Place(NamedTuple):
    """Where a table is: its real folder, the root it is under, and what nobody may read."""

    folder: Path
    root: Path
    closed: Sequence[Path]
    #: How messages call the table.
    said: str


def _place_of(source: DeltaSource, where: Whereabouts) -> _Place:
    refuse_escape(source.path)
    require_root(where.root, where.name)
    root, closed = Path(where.root).resolve(), [Path(each).resolve() for each in where.forbidden]
    named = root / source.path
    words = f"the Delta table {source.path!r} under the root {where.name}"
    try:
        folder, log = named.resolve(), (named / _LOG).resolve()
        is_there = log.is_dir()
    except (RuntimeError, OSError) as exc:
        if isinstance(exc, OSError):
            raise folder_unreadable(named, exc) from exc
        is_there = False  # a link round and round
    for path in (folder, log) if is_there else ():
        require_inside(named, path, root)
        if is_under(path, closed):
            raise SourceOutsideRoots(
                f"source path {source.path!r} leads to Assay's own stores; name a table that"
                " belongs to the project.",
                path=source.path,
            )
    if not is_there:
        raise SourceFileMissing(
            f"there is no Delta table at {source.path!r} under the root {where.name}: a table's"
            f" folder has a folder {_LOG}; check the path, or name the root it is in.",
            path=source.path,
            root=where.name,
        )
    if (unusable := unusable_in(str(folder))) is not None:
        raise SourceFileUnsupported(
            f"{words} cannot be read under a path with {unusable!r}; move it to one without.",
            path=source.path,
        )
    return _Place(folder, root, closed, words)


def _read_log(place: _Place, source: DeltaSource) -> DeltaTable:
    try:
        table = DeltaTable(str(place.folder))
        if source.as_of is not None:
            _require_past(source.as_of)
            _require_begun(table, source.as_of, place)
            table.load_as_version(source.as_of)
        elif source.table_version is not None:
            _load_version(table, source.table_version, place)
    except (DeltaError, OSError, ValueError) as exc:
        raise _unreadable(exc, place) from exc
    except BaseException as exc:
        if type(exc).__name__ != "PanicException":  # the library's, and no Exception
            raise
        raise _unreadable(exc, place) from exc
    return table


def _load_version(table: DeltaTable, version: int, place: _Place) -> None:
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


def _require_begun(table: DeltaTable, as_of: datetime, place: _Place) -> None:
    """Refuse what the library answers with the oldest version, or by a clock it does not read."""
    if table.metadata().configuration.get("delta.enableInCommitTimestamps") == "true":
        raise SourceFileUnsupported(
            f"{place.said} keeps the instants of its versions in its log, where they are not read;"
            " name a table_version instead of as_of."
        )
    oldest = min((place.folder / _LOG).glob("[0-9]*.json"), default=None)
    since = datetime.fromtimestamp(oldest.stat().st_mtime, UTC) if oldest else None
    if since is None or as_of < since:
        begins = f"; its oldest there is from {since:%Y-%m-%d %H:%M:%S} UTC" if since else ""
        raise SourceFileMissing(
            f"{place.said} has no version of {as_of:%Y-%m-%d %H:%M:%S} UTC{begins}."
        )


def _unreadable(error: BaseException, place: _Place) -> AssayError:
    if isinstance(error, TableNotFoundError):
        return SourceFileMissing(f"{place.said} has no version: its log is empty.")
    why = said(error).partition(" 0: <unknown>")[0].removeprefix("Kernel error: ")
    return SourceUnreadable(f"the log of {place.said} cannot be read: {why[:300].rstrip('. ')}.")


def _refuse_features(table: DeltaTable, place: _Place) -> None:
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


def _files(table: DeltaTable, columns: Sequence[DeltaColumn], place: _Place) -> Iterator[DeltaFile]:
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
    deleted = dict(_deleted(table)) if deletes else {}
    facts = [actions[name].to_pylist() for name in ("path", "size_bytes", "modification_time")]
    for number, (path, size, modified) in enumerate(zip(*facts, strict=True)):
        named = place.folder / _decoded(path, place)
        marks = deleted.pop(str(named), b"")
        mark = f"-{hashlib.sha256(marks).hexdigest()[:16]}" if marks else ""
        said = {name: values[number] for name, values in folders.items()}
        real = _real(named, table.version(), place)
        yield DeltaFile(str(real), f"{size}-{modified}{mark}", size, said, marks)
    if deleted:
        raise SourceUnreadable(
            f"{place.said} says which rows of {min(deleted)} are deleted, and has no such file."
        )


def _decoded(path: str, place: _Place) -> str:
    """Return a path of the log, where it is percent-encoded, as the file system has it."""
    parts = urlsplit(path)
    if parts.scheme not in ("", "file"):
        raise SourceOutsideRoots(
            f"{place.said} has files elsewhere, as {path[:200]}; copy the whole table."
        )
    return unquote(parts.path if parts.scheme else path)


def _real(named: Path, version: int, place: _Place) -> Path:
    """Return where a file really is.

    :raises SourceOutsideRoots: outside of the root, or among our own stores.
    :raises SourceFileMissing: it is gone.
    """
    try:
        real = named.resolve()
        is_there = real.is_file()
    except (RuntimeError, OSError) as exc:
        if isinstance(exc, OSError):
            raise folder_unreadable(named.parent, exc) from exc
        real, is_there = named, False
    if not real.is_relative_to(place.root) or is_under(real, place.closed):
        raise SourceOutsideRoots(
            f"{place.said} has a file outside of the root, {named}; copy the whole table into it."
        )
    if not is_there:
        raise SourceFileMissing(
            f"version {version} of {place.said} has the file {named}, which is not there: a vacuum"
            " took it, or the table was not copied whole. Read a newer version, or put it back."
        )
    refuse_expanded(real)
    return real


def _folders(actions: pa.Table, columns: Sequence[DeltaColumn]) -> Mapping[str, list[str | None]]:
    """Return the values of the folder columns as texts, file by file."""
    names = [column.name for column in columns if column.folder and not column.refused]
    if not names or "partition" not in actions.column_names:
        return {}
    said = actions["partition"].combine_chunks()
    return {name: said.field(name).cast(pa.string()).to_pylist() for name in names}


def _deleted(table: DeltaTable) -> Iterator[tuple[str, bytes]]:
    """Yield the files with rows that are deleted, and the marks of these."""
    for batch in pa.RecordBatchReader.from_stream(table.deletion_vectors()):
        kept = batch.column("selection_vector")
        for number, uri in enumerate(batch.column("filepath").to_pylist()):
            marks = ~kept[number].values.to_numpy(zero_copy_only=False)
            yield unquote(uri.removeprefix("file://")), packed(marks)
