"""Errors of databases, disks and libraries that pass by themselves, as ``Unavailable``. [pure]

The one table of them, for the web, the runs and the sandbox: it knows drivers by what they say of
an error, so that nothing of them has to be imported. Whatever is not listed stays what it is.
"""

from __future__ import annotations

import errno
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lib.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator


class DatabaseBusy(Unavailable):
    """Others hold what was asked for, longer than we wait."""

    code = "database_busy"


class DatabaseUnavailable(Unavailable):
    code = "database_unavailable"


class DiskUnavailable(Unavailable):
    """Nothing can be written: no room, a quota, a read-only or broken disk."""

    code = "disk_unavailable"


class MemoryUnavailable(Unavailable):
    """The process got no memory: others have it now, or it may have too little."""

    code = "memory_unavailable"


OUTAGES: tuple[type[Unavailable], ...] = (
    DatabaseBusy,
    DatabaseUnavailable,
    DiskUnavailable,
    MemoryUnavailable,
)

_BUSY = "The database is busy ({}). Nothing was changed; send it again."
_AWAY = "The database does not answer ({}). It is asked anew each time; see DATABASE_URL."
_MEMORY = "This process could not get the memory it needs. Give it more, or let it do less at once."
_DISK = (
    "The server cannot write to its disk: {}. Make room, or see to the disk; then it goes on by"
    " itself."
)
_DATABASE_DISK = _DISK.replace("its disk", "its database")

#: SQLite's primary result codes: BUSY, LOCKED; IOERR, FULL; READONLY, CANTOPEN.
_SQLITE = {
    **dict.fromkeys((5, 6), (DatabaseBusy, _BUSY)),
    **dict.fromkeys((8, 10, 13), (DiskUnavailable, _DATABASE_DISK)),
    14: (DatabaseUnavailable, _AWAY),
}
#: PostgreSQL's SQLSTATEs, the longest beginning that fits; no state at all: no connection.
_POSTGRES = {
    "": (DatabaseUnavailable, _AWAY),
    "08": (DatabaseUnavailable, _AWAY),
    "57P": (DatabaseUnavailable, _AWAY),
    "53": (DatabaseUnavailable, _AWAY),
    "53100": (DiskUnavailable, _DATABASE_DISK),
    "58030": (DiskUnavailable, _DATABASE_DISK),
    "25006": (DatabaseUnavailable, _AWAY),  # a standby that was promoted elsewhere
    "40001": (DatabaseBusy, _BUSY),
    "40P01": (DatabaseBusy, _BUSY),
    "55P03": (DatabaseBusy, _BUSY),
    "57014": (DatabaseBusy, _BUSY),
}
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}
#: What libraries that have no ``errno`` write of the same.
_DISK_WORDS = ("No space left on device", "Disk quota exceeded", "Read-only file system")
#: Modules of DuckDB's, delta-rs's and Arrow's errors, as their types name them: a stream of rows
#: brings DuckDB's as Arrow's.
_LIBRARIES = {"_duckdb", "duckdb", "_internal", "deltalake", "pyarrow"}


def outage(error: BaseException) -> Unavailable | None:
    """Return what is unavailable by an error, or by the error that Django made it of; else None."""
    for each in (error, error.__cause__):
        if each is None:
            continue
        if isinstance(each, Unavailable):
            return each
        if isinstance(each, MemoryError):
            return MemoryUnavailable(_MEMORY)
        if (found := _of_database(each) or _of_disk(each)) is not None:
            return found
    return None


@contextmanager
def translated() -> Iterator[None]:
    """Raise what is an outage as such.

    :raises Unavailable: instead of the error of a database or a disk.
    """
    try:
        yield
    except Exception as error:
        if (found := outage(error)) is None or found is error:
            raise
        raise found from error


def _of_database(error: BaseException) -> Unavailable | None:
    said = " ".join(str(error).split())[:200]
    if isinstance(error, sqlite3.Error):
        kind, words = _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, (None, ""))
        return kind(words.format(said)) if kind else None
    if type(error).__module__.partition(".")[0] != "psycopg":
        return None
    state = getattr(error, "sqlstate", None) or ""
    if not state and not _is_operational(error):
        return None
    fits = [begin for begin in _POSTGRES if state.startswith(begin) and bool(begin) == bool(state)]
    if not fits:
        return None
    kind, words = _POSTGRES[max(fits, key=len)]
    return kind(words.format(said))


def _is_operational(error: BaseException) -> bool:
    """Tell whether psycopg blames the connection: a wrong parameter has no SQLSTATE either."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"OperationalError", "InterfaceError"})


def _of_disk(error: BaseException) -> DiskUnavailable | None:
    said = str(error)
    if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        return DiskUnavailable(_DISK.format(error.strerror or said[:200]))
    if type(error).__module__.partition(".")[0] not in _LIBRARIES:
        return None
    word = next((word for word in _DISK_WORDS if word in said), None)
    return DiskUnavailable(_DISK.format(word)) if word else None
