"""What an offline store does: what it takes and gives, what is atomic. [pure]

Not for any one of them: ``offline`` keeps rows in Delta tables, and ``edges.stores`` has a table of
each. Runs and reads know stores by their protocols only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from lib.errors import Invalid, Unavailable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta

    import pyarrow as pa

    from materialization.stores.offline_values import (
        Addresses,
        Aside,
        Beside,
        Cared,
        CommitResult,
        FileList,
        FileState,
        Snapshot,
        StoredFile,
        TableAt,
    )


#: What to do about a store that may come back.
SEE_TO_STORE = (
    "what waits for it is tried again by itself; if it stays so, see to the storage behind"
    " OFFLINE_STORE"
)


class TableOutsideStore(Invalid):
    code = "table_outside_store"


class OfflineStoreUnavailable(Unavailable):
    """The table could not be written or read now; nothing of the attempt is visible.

    ``step`` says what to do where waiting is not it.
    """

    code = "offline_store_unavailable"

    def __init__(self, message: str, *, step: str = SEE_TO_STORE, **data: Any) -> None:
        super().__init__(f"{message.rstrip('.')}; {step}.", **data)


class OfflineStoreBehind(OfflineStoreUnavailable):
    """The store has not what this database has recorded of it: rows would be missing in silence."""

    code = "offline_store_behind"

    def __init__(self, at: TableAt, found: str) -> None:
        super().__init__(
            f"the offline store is not the one this database belongs to: {at.uri} {found}, and"
            f" version {at.version} of table {at.identity} was stored there",
            step="mount or restore that store (OFFLINE_STORE), or have the data computed again with"
            " manage.py forget_stored_data",
            table=at.uri,
        )


class BadStagedFile(Invalid):
    code = "bad_staged_file"


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
        first: int | None = None,
        marks: Mapping[str, int] | None = None,
    ) -> CommitResult:
        """Make staged files part of the table, all or none, once however often it is asked.

        They are moved and not copied. ``schema`` is ``columns.stored_schema``, and every row
        carries ``sequence``; there are ``rows`` of them. The commit is ``number`` of what
        ``transaction`` names, and made only where the table has come to ``after`` of it (None: to
        none); else nothing is looked at. The first commit makes the table.

        With ``first`` rows carry sequences from that one to ``sequence``. ``marks`` are noted with
        it as ``number`` is, by names of their own, and are asked for by ``committed``.

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

    def bring(self, files: Iterable[str], *, bounded: bool = False) -> None:
        """Have files of snapshots where readers on this machine open them; others are left alone.

        Whoever reads files of this store asks for it first: they may be elsewhere until then.
        ``bounded`` where somebody asks who can ask for less: then no more than a machine may copy.

        :raises OfflineStoreUnavailable: one is gone, or cannot be had.
        :raises EngineLimitExceeded: they are bounded, and too many.
        """
        ...

    def addresses(self, files: Sequence[StoredFile], *, at: datetime) -> Addresses:
        """Return where readers elsewhere open files of ``list_files``, in the same order."""
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

    def drop_untrue_copies(self, at: TableAt, hashes: Mapping[str, str]) -> None:
        """Have copies on this machine of files with these hashes go where they are not that.

        The files are copied again when they are brought. Nothing is read but copies here.

        :raises OfflineStoreUnavailable: a copy cannot be read.
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
