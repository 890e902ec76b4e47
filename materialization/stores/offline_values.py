"""What an offline store is asked with and what it answers: a table, its files, a commit. [pure]

Not for what it does with them (``offline_protocol``) or for the columns of rows (``columns``).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from materialization.stores.columns import PART

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.spec.version_spec import VersionSpec


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


class StoredFile(msgspec.Struct, frozen=True):
    """One Parquet file of a table; ``uri`` is what a reader opens.

    No row's event time lies before ``first_event`` or after ``last_event``, though the nearest may
    be a millisecond away: statistics are that coarse. None: the table has none of this file.
    """

    uri: str
    rows: int
    size: int
    first_event: datetime | None
    last_event: datetime | None

    def may_hold(self, start: datetime | None, end: datetime | None) -> bool:
        """Return whether a row's event time may be in ``[start, end]``; None is no bound."""
        if start is not None and self.last_event is not None and self.last_event < start:
            return False
        return end is None or self.first_event is None or self.first_event <= end


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
    #: What the table knows of each file, those of events too.
    known: tuple[StoredFile, ...] = ()

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


class Addresses(NamedTuple):
    """Where others than this server open files; until ``expires_at``, None: for ever."""

    uris: tuple[str, ...]
    expires_at: datetime | None = None


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
