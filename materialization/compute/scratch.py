"""Where a process lets its engine work, and the removal of what killed processes left there.

Each process has one folder, locked as long as it lives: the kernel lets go of the lock however it
ends, whatever its number is given to next, and in whichever container it ran.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from materialization.errors import TEMP_PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)
#: Followed by characters of chance; no private directory is called so.
_PREFIX = f"{TEMP_PREFIX}of-"
#: A younger one may belong to a process that has not locked it yet.
_SETTLED_SECONDS = 60.0


class _Own(NamedTuple):
    process: int
    folder: Path
    #: Held open: closing it, or ending, gives up the lock.
    lock: int


_kept: list[_Own] = []


def own_folder() -> str:
    """Return this process's folder below the system's temporary one; made at the first call.

    A forked process has its own, and one that was removed by hand is made again.
    """
    if not _kept or _kept[-1].process != os.getpid() or not _kept[-1].folder.is_dir():
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        own = _Own(os.getpid(), folder, os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
        fcntl.flock(own.lock, fcntl.LOCK_SH)
        _kept.append(own)
        atexit.register(_leave, own)
    return str(_kept[-1].folder)


def _leave(own: _Own) -> None:
    """Remove the folder at a process's end; one that was forked leaves its parent's alone."""
    if own.process == os.getpid():
        shutil.rmtree(own.folder, ignore_errors=True)


def remove_left_behind() -> int:
    """Remove the folders of this user's processes that are dead; return the bytes they took."""
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with _held(folder) as is_left:
            if is_left:
                removed += _size(folder)
                shutil.rmtree(folder, ignore_errors=True)
    if removed:
        log.warning("removed %.1f MB that killed processes had left on the disk", removed / 1e6)
    return removed


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Lock a folder that is nobody's, so that one process removes it; give whether it is locked."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:  # removed meanwhile, or somebody else's
        yield False
        return
    try:
        found = os.fstat(lock)
        age = time.time() - found.st_mtime
        is_old = age > _SETTLED_SECONDS and found.st_uid == os.getuid()
        yield is_old and _lock(lock)
    finally:
        os.close(lock)


def _lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _size(folder: Path) -> int:
    """Return the bytes of the files below; what goes meanwhile counts nothing."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(where) / name).lstat().st_size
    return total
