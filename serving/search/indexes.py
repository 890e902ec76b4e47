"""The indexes this process searches: files mapped once, and again when a newer one is named.

Not for what is in them (``materialization.vectors``).
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from lib.errors import Unavailable
from materialization.edges.stores import push_log, vector_files
from materialization.stores.kept_files import KeptFileGone
from materialization.vector_indexes import give_up, index_of
from materialization.vectors.index_file import IndexFile

if TYPE_CHECKING:
    from datetime import datetime

    from materialization.models import VectorIndex

log = logging.getLogger(__name__)
#: What a file raises that is not there, or is not what was written.
UNREADABLE = (KeptFileGone, pa.ArrowException, ValueError)
#: Files that a process keeps mapped: they take address space, and memory only while it is free.
MOST_OPEN = 64


class NotIndexed(Unavailable):
    code = "not_indexed"


class OpenIndex(NamedTuple):
    """A table's index; ``is_behind``: rows were stored, or pushed, that are not in it."""

    file: IndexFile
    vectors: dict[str, int]
    built_at: datetime
    is_behind: bool


class OpenIndexes:
    """The least recently searched are closed where there are too many."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, tuple[VectorIndex, IndexFile]] = OrderedDict()
        self._lock = Lock()
        self._bringing: dict[str, Lock] = {}

    def open(self, uid: str, *, version: str, is_pushed: bool) -> OpenIndex:
        """Return the newest index of the table ``uid``, of which ``version`` is a version.

        While another thread brings a newer one here, the one before answers, and says that it lags.

        :raises NotIndexed: there is none, and why.
        :raises Unavailable: this process cannot read it now.
        """
        row = _row(uid, version)
        try:
            used, found = self._mapped(uid, row)
        except UNREADABLE as exc:  # a newer one may have taken its place meanwhile
            again = _row(uid, version)
            if again.file == row.file:
                log.warning("the index of %s is written anew: %s", version, exc)
                give_up(row)
                vector_files().remove(row.file)
                raise _not_yet(version) from exc
            used, found = self._mapped(uid, again)
            row = again
        is_behind = used.stored_version < row.table.stored_version
        if is_pushed and not is_behind:
            is_behind = push_log().lag(uid) > 0
        assert used.built_at is not None  # noqa: S101 - a file is named together with it
        return OpenIndex(found, used.vectors, used.built_at, is_behind)

    def forget(self) -> None:
        """Close all."""
        with self._lock:
            self._open.clear()

    def _mapped(self, uid: str, row: VectorIndex) -> tuple[VectorIndex, IndexFile]:
        """Return the file that a row names, or one before it; each is brought by one thread."""
        with self._lock:
            known = self._open.get(uid)
            bringing = self._bringing.setdefault(uid, Lock())
            if known is not None and known[0].file == row.file:
                self._open.move_to_end(uid)
                return known
        if not bringing.acquire(blocking=known is None):
            assert known is not None  # noqa: S101 - else it was waited for
            return known
        try:
            with self._lock:  # another may have brought it while this one waited
                known = self._open.get(uid)
            if known is not None and known[0].file == row.file:
                return known
            with vector_files().open(row.file) as opened:
                brought = row, IndexFile(opened)
        finally:
            bringing.release()
        with self._lock:
            self._open[uid] = brought
            self._open.move_to_end(uid)
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
        return brought


def _row(uid: str, version: str) -> VectorIndex:
    row = index_of(uid)
    if row is not None and row.file and row.stored_as == row.table.stored_as:
        return row
    if row is not None and row.error:
        raise NotIndexed(f"{version} cannot be searched: {row.error}", version=version)
    raise _not_yet(version)


def _not_yet(version: str) -> NotIndexed:
    return NotIndexed(
        f"{version} is not indexed yet: that follows its load, and the next sweep makes up for it."
        " Ask again in a minute.",
        version=version,
    )


#: The process's own.
INDEXES = OpenIndexes()
