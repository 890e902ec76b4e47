"""What is sent to the sandbox of a source: a tagged union, one struct a way of reading.

Not for finding it (each kind does) or for reading it (``reading``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeAlias

import msgspec

from registry.spec.sources.files import FormatName  # noqa: TC001 - msgspec reads them
from registry.spec.sources.kinds import Source  # noqa: TC001 - msgspec reads them

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Part(NamedTuple):
    """What of a source is read, or left alone, as a whole: a file is.

    ``identity`` is equal as long as the data are; ``changed_at`` is when they last changed, in
    seconds since 1970; ``size`` is in bytes. Of one that ``grows`` an equal identity does not say
    that it has no other rows: they come and change, and nothing tells.
    """

    name: str
    identity: str
    changed_at: float
    size: int = 0
    grows: bool = False


class SourceFiles(msgspec.Struct, frozen=True, tag="files"):
    """The real paths of one source, sorted, all of one format; each may be compressed its own way.

    What the sandbox may open, and nothing else. ``partitions`` has what ``key=value`` folders say
    of each path, in the same order (None: the writers' word for NULL); empty where none says
    anything. ``left_out`` are names that the pattern would match if they were not hidden ones.
    """

    paths: tuple[str, ...]
    format: FormatName
    partitions: tuple[tuple[tuple[str, str | None], ...], ...] = ()
    left_out: tuple[str, ...] = ()

    def parts(self) -> tuple[Part, ...]:
        """Return the files as they are now.

        The inode tells a file that was put in another's place, the change time one that was
        written in place, even where size and modification time were kept. Nobody sets it.
        :raises OSError: one is gone, or cannot be looked at.
        """
        return tuple(_part(path) for path in self.paths)

    def only(self, names: Collection[str]) -> SourceFiles:
        """Return the same source with no other parts than these."""
        kept = [place for place, path in enumerate(self.paths) if path in names]
        return msgspec.structs.replace(
            self,
            paths=tuple(self.paths[place] for place in kept),
            partitions=tuple(self.partitions[place] for place in kept) if self.partitions else (),
        )


def _part(path: str) -> Part:
    stat = Path(path).stat()
    identity = f"{stat.st_size}-{stat.st_mtime_ns}-{stat.st_ctime_ns}-{stat.st_ino}"
    return Part(path, identity, stat.st_ctime, stat.st_size)


class DeltaColumn(msgspec.Struct, frozen=True):
    """A column as a Delta table's log has it: its type in the engine's words.

    ``stored_as`` is what files call it. A ``folder`` column stands in the log alone. ``refused``
    says why it cannot be read; empty: it can.
    """

    name: str
    type: str
    stored_as: str
    folder: bool = False
    refused: str = ""


class DeltaFile(msgspec.Struct, frozen=True):
    """A file of a snapshot: its identity is its log's.

    ``folders`` has the values of the folder columns as text; ``deleted`` which of its rows are no
    rows of the table any more, see ``row_marks``.
    """

    path: str
    identity: str
    size: int
    folders: dict[str, str | None] = {}
    deleted: bytes = b""


class DeltaFiles(msgspec.Struct, frozen=True, tag="delta"):
    """The files of one snapshot of a Delta table, by path, and what its log says of them."""

    files: tuple[DeltaFile, ...]
    columns: tuple[DeltaColumn, ...]
    #: Which snapshot it is, for messages.
    version: int
    format: ClassVar[FormatName] = "parquet"

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(file.path for file in self.files)

    def parts(self) -> tuple[Part, ...]:
        """Return the files as the log has them: whole since they are in it, and never written to.

        :raises OSError: never; that one is gone is found out by whoever opens it.
        """
        return tuple(Part(file.path, file.identity, 0.0, file.size) for file in self.files)

    def only(self, names: Collection[str]) -> DeltaFiles:
        """Return the same snapshot with no other parts than these."""
        kept = tuple(file for file in self.files if file.path in names)
        return msgspec.structs.replace(self, files=kept)

    def moved(self, paths: Mapping[str, str]) -> DeltaFiles:
        """Return those files of the same snapshot that are elsewhere now, by the paths there."""
        moved = (
            msgspec.structs.replace(file, path=paths[file.path])
            for file in self.files
            if file.path in paths
        )
        return msgspec.structs.replace(self, files=tuple(moved))


class LinkedRows(msgspec.Struct, frozen=True, tag="linked"):
    """Rows of another system, which a connection leads to; none of them is here yet.

    The parent writes what a job reads into files (``compute.staging``), in whose place the sandbox
    gets ``SourceFiles``, or ``DeltaFiles`` where the rows are those of a ``table`` with a log.
    ``place`` is the identity of where the connection leads; no secret is in here.
    """

    source: Source
    project: str
    place: str
    found: tuple[Part, ...]
    table: DeltaFiles | None = None

    #: What the sandbox may open of it.
    paths: ClassVar[tuple[str, ...]] = ()
    format: ClassVar[FormatName] = "parquet"

    def parts(self) -> tuple[Part, ...]:
        return self.found

    def only(self, names: Collection[str]) -> LinkedRows:
        """Return the same source with no other parts than these."""
        kept = tuple(part for part in self.found if part.name in names)
        return msgspec.structs.replace(self, found=kept)


class StoredRows(msgspec.Struct, frozen=True, tag="stored"):
    """Rows of a source that arrives, as a table of ours has them: the files of one snapshot.

    ``columns``: by the source's columns, what the table calls those that it stores as they came.
    """

    paths: tuple[str, ...]
    columns: dict[str, str]
    format: ClassVar[FormatName] = "parquet"

    def parts(self) -> tuple[Part, ...]:
        """Return the files, which are written once."""
        return tuple(Part(path, path, 0.0) for path in self.paths)

    def only(self, names: Collection[str]) -> StoredRows:
        """Return the same with no other files than these."""
        kept = tuple(path for path in self.paths if path in names)
        return msgspec.structs.replace(self, paths=kept)


#: What a source of any kind gives the sandbox; further ways are added with ``|``.
OneSource: TypeAlias = SourceFiles | DeltaFiles | LinkedRows | StoredRows


class JoinedRows(msgspec.Struct, frozen=True, tag="joined"):
    """A view's own source and those it joins, in their order: each of these is read as a whole.

    Parts, and what is left of them, are those of its own.
    """

    own: OneSource
    beside: tuple[OneSource, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        return self.own.paths

    @property
    def format(self) -> FormatName:
        return self.own.format

    def parts(self) -> tuple[Part, ...]:
        return self.own.parts()

    def only(self, names: Collection[str]) -> JoinedRows:
        """Return the same with no other parts of its own source than these."""
        return msgspec.structs.replace(self, own=self.own.only(names))


#: What all that a view reads gives the sandbox.
SourceInput: TypeAlias = OneSource | JoinedRows


def own_of(found: SourceInput) -> OneSource:
    return found.own if isinstance(found, JoinedRows) else found


def beside_of(found: SourceInput) -> tuple[OneSource, ...]:
    """Return the sources that are joined."""
    return found.beside if isinstance(found, JoinedRows) else ()


def readable(found: SourceInput) -> list[str]:
    """Return all that the sandbox may open."""
    return [path for each in (own_of(found), *beside_of(found)) for path in each.paths]
