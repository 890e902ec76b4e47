"""What an offline store does: what it takes and gives, what is atomic. [pure]

Not for any one of them: ``offline`` keeps rows in Delta tables, and ``materialization.edges`` has a
table of each. Runs and reads know stores by their protocols only.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from lib.errors import Invalid, Unavailable
from materialization.stores.columns import PART

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from contextlib import AbstractContextManager

    import pyarrow as pa

    from registry.spec.model import VersionSpec


class TableOutsideStore(Invalid):
    code = "table_outside_store"


class OfflineStoreUnavailable(Unavailable):
    """The table could not be written or read now; nothing of the attempt is visible."""

    code = "offline_store_unavailable"


class OfflineStoreBehind(OfflineStoreUnavailable):
    """The store has not what this database has recorded of it: rows would be missing in silence."""

    code = "offline_store_behind"

    def __init__(self, at: TableAt, found: str) -> None:
        super().__init__(
            f"the offline store is not the one this database belongs to: {at.uri} {found}, and"
            f" version {at.version} of table {at.identity} was stored there. Mount or restore that"
            " store (OFFLINE_STORE), or have the data computed again with manage.py"
            " forget_stored_data.",
            table=at.uri,
        )


class BadStagedFile(Invalid):
    code = "bad_staged_file"


class TableAt(NamedTuple):
    """Where a table is, and what is known of it: a store that has less is refused."""

    uri: str
    #: What the store itself calls the table; empty: nothing was ever stored.
    identity: str = ""
    #: The version that the last known commit made.
    version: int = -1


class Beside(NamedTuple):
    """Staged files that become part of a table's other part, of ``schema``; ``rows`` in all."""

    files: tuple[str, ...]
    schema: pa.Schema
    rows: int


class CommitResult(msgspec.Struct, frozen=True):
    """``files`` hold the commit's rows; ``already``: an earlier attempt had committed the same."""

    identity: str
    version: int
    rows: int
    files: tuple[str, ...]
    already: bool


class Snapshot(msgspec.Struct, frozen=True):
    """One version of a table; a whole question reads these Parquet files and lists no folder.

    Version -1 is a table without its first commit. ``events`` are the files of what was committed
    beside the rows.
    """

    identity: str
    version: int
    files: tuple[str, ...]
    rows: int
    events: tuple[str, ...] = ()
    #: How many of the files are small, so that there should be fewer.
    small: int = 0

    @property
    def is_empty(self) -> bool:
        return not self.files

    @property
    def names(self) -> tuple[str, ...]:
        """What the files are called in their table, in the same order."""
        return tuple(map(name_in_table, self.files))

    def read_by(self, spec: VersionSpec) -> tuple[str, ...]:
        """Return the files that a training set of the version is made of."""
        return self.events if spec.keeps_events else self.files


def name_in_table(file: str) -> str:
    """Return what a file is called in its table, where care may have made folders of the parts."""
    folder, _, name = file.rpartition("/")
    parent = folder.rpartition("/")[2]
    return f"{parent}/{name}" if parent.startswith(f"{PART}=") else name


class StoredFile(msgspec.Struct, frozen=True):
    """One Parquet file of a table; ``uri`` is what a reader opens.

    No row's event time lies before ``first_event`` or after ``last_event``, though the nearest may
    be a millisecond away: statistics are that coarse. None: the table has none of this file.
    """

    uri: str
    rows: int
    first_event: datetime | None
    last_event: datetime | None

    def may_hold(self, start: datetime | None, end: datetime | None) -> bool:
        """Return whether a row's event time may be in ``[start, end]``; None is no bound."""
        if start is not None and self.last_event is not None and self.last_event < start:
            return False
        return end is None or self.first_event is None or self.first_event <= end


class Aside(NamedTuple):
    """Parquet files that were set aside, in an order that stays, and the bytes they take.

    ``events`` are those that lie in the folder of that name.
    """

    files: tuple[str, ...]
    size: int
    events: tuple[str, ...] = ()


class FileList(NamedTuple):
    """The files of one version of a table, earliest events first; those without statistics last."""

    version: int
    files: tuple[StoredFile, ...]


class FileState(NamedTuple):
    """One file as it is now: where a reader opens it, its bytes and their hash."""

    uri: str
    name: str
    size: int
    sha256: str


class Cared(NamedTuple):
    """A table after it was seen to: its version, its files and their bytes.

    ``compacted`` small files became fewer; ``removed`` belonged to no version that readers may
    have, and took ``freed`` bytes.
    """

    identity: str
    version: int
    files: int
    size: int
    compacted: int
    removed: int
    freed: int


class OfflineStore(Protocol):
    """Every row there ever was, in tables that only grow; ``at`` names one.

    Every method raises TableOutsideStore for a name that is no table of this store, and, except
    ``delete_table``, OfflineStoreBehind where the table is another, older than ``at`` says, or not
    there.
    """

    def staging(self, at: TableAt, name: str) -> AbstractContextManager[str]:
        """Give an empty folder for files that ``commit`` may make part of the table.

        Nobody reads it. It is removed at the end of the block, with what is left in it.

        :raises OfflineStoreUnavailable: there is no room for it.
        """
        ...

    def clear_staging(self, at: TableAt, *, keep: str = "") -> None:
        """Remove what blocks of processes that died have left; for the table's one writer.

        What stays under the name ``keep`` is not removed.
        """
        ...

    def list_staged(self, at: TableAt) -> list[str]:
        """Return the names of all that lies staged, kept or not, for ``drop_staged``."""
        ...

    def keep_staged(self, at: TableAt, folder: str, name: str) -> str:
        """Have a staging folder outlive its block until staging is cleared; return where it is.

        :raises OfflineStoreUnavailable: it is not there any more, or cannot be moved.
        """
        ...

    def staged(self, at: TableAt, name: str) -> str | None:
        """Return the folder that was kept under the name; None where there is none."""
        ...

    def drop_staged(self, at: TableAt, name: str) -> None:
        """Remove the staging folder of that name, kept or not, if there is one."""
        ...

    def set_aside(self, at: TableAt, folder: str) -> str:
        """Move a staging folder, whole, to where it is kept without being read; return its name.

        :raises OfflineStoreUnavailable: it is not there any more, or cannot be moved.
        """
        ...

    def aside(self, at: TableAt, name: str) -> Aside:
        """Return what was set aside under this name; no files where there is nothing."""
        ...

    def keep_aside(self, at: TableAt, names: Collection[str]) -> None:
        """Remove what was set aside under any other name; for the table's one writer."""
        ...

    def remove_aside(self, at: TableAt, name: str) -> None:
        """Remove what was set aside under this name; gone already is fine.

        :raises OfflineStoreUnavailable: it cannot be removed.
        """
        ...

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
        """Make staged files part of the table, all or none, once however often it is asked.

        They are moved and not copied. ``schema`` is ``columns.stored_schema``, and every row
        carries ``sequence``; there are ``rows`` of them. The commit is ``number`` of what
        ``transaction`` names, and made only where the table has come to ``after`` of it (None: to
        none); else nothing is looked at. The first commit makes the table.

        A table whose commits have ``events`` has them in each, if only of no files; they carry the
        sequence too, no other method counts or gives them, and a snapshot has them apart.

        :raises BadStagedFile: a file has other columns, or rows of another sequence, or they have
            not so many rows.
        :raises OfflineStoreUnavailable: the table could not be written.
        """
        ...

    def committed(self, at: TableAt, transactions: Iterable[str]) -> dict[str, int]:
        """Return those of the ``transactions`` that the table has, and to which number, as it is.

        :raises OfflineStoreUnavailable: the table cannot be read.
        """
        ...

    def snapshot(self, at: TableAt, *, sequence: int | None = None) -> Snapshot:
        """Return the table as it is now; no files before its first rows.

        With ``sequence`` only the files that hold rows of it, which may hold others' rows too;
        ``rows`` counts its own alone, and ``events`` are all.

        :raises OfflineStoreUnavailable: the table cannot be read.
        """
        ...

    def list_files(self, at: TableAt) -> FileList:
        """Return the table's files as they are now, each with what the table knows of it.

        :raises OfflineStoreUnavailable: the table cannot be read, or is not there.
        """
        ...

    def find_files(self, at: TableAt, names: Sequence[str]) -> tuple[str, ...]:
        """Return where readers open files that are or were the table's, in the same order.

        :raises OfflineStoreBehind: one is not there any more; names it.
        """
        ...

    def file_states(self, at: TableAt, names: Sequence[str]) -> tuple[FileState, ...]:
        """Say of files that are or were the table's what each is now, in the same order.

        Its log is not asked: it forgets versions that files may be needed of. All bytes are read.

        :raises OfflineStoreBehind: one is not there any more; names it.
        :raises OfflineStoreUnavailable: one cannot be read.
        """
        ...

    def care(
        self,
        at: TableAt,
        *,
        keep: timedelta,
        compact: int | None = None,
        held: Collection[str] = (),
    ) -> Cared | None:
        """Make many small files into few, shorten the log and remove files that nobody can need.

        Files are compacted where ``compact`` is the table's version: it gives rows other places,
        so whoever asks has to know that in this version those decide nothing.

        The rows stay as they are, and so do every snapshot younger than ``keep`` and the files of
        the names ``held``. None where there is no table yet.

        :raises OfflineStoreUnavailable: it could not be done; what was done stands.
        """
        ...

    def delete_table(self, at: TableAt) -> None:
        """Remove the table and its history; gone already is fine."""
        ...
