"""What we keep is closed to other users of the machine: the database, Redis, the stores, logs.

A start closes what an earlier version, or somebody's hand, left open; ``FILE_UMASK`` closes what is
written from then on. Not for who may ask the server: rights say that.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)
#: What SQLite keeps beside its file.
BESIDE_SQLITE = ("", "-wal", "-shm", "-journal")


def close_our_files() -> None:
    """Take from what we keep the permissions that ``FILE_UMASK`` names, and say so in the log.

    :raises ImproperlyConfigured: it is open and not ours to close, or is everybody's folder.
    """
    for path in ours():
        # Another process, that starts beside this one, may remove what it made.
        try:
            found = path.stat()
        except FileNotFoundError:
            continue
        mode = stat.S_IMODE(found.st_mode)
        if not mode & settings.FILE_UMASK:
            continue
        if mode & stat.S_ISVTX or path == Path("/"):
            raise ImproperlyConfigured(
                f"{path} is a folder that all users of the machine share (mode {mode:04o}); name"
                " one of our own in STATE_DIR, OFFLINE_STORE or METRICS_DIR."
            )
        _close(path, mode)


def ours() -> Iterator[Path]:
    """Yield the folders that hold all else, and files that others' folders may hold."""
    yield from {
        settings.STATE_DIR: None,
        settings.STATE_DIR / "redis": None,
        settings.STATE_DIR / "logs": None,
        settings.OFFLINE_STORE: None,
        settings.METRICS_DIR: None,
    }
    if connection.vendor == "sqlite":
        for end in BESIDE_SQLITE:
            yield Path(f"{settings.DATABASES['default']['NAME']}{end}")


def _close(path: Path, mode: int) -> None:
    closed = mode & ~settings.FILE_UMASK
    try:
        path.chmod(closed)
    except PermissionError as error:
        raise ImproperlyConfigured(
            f"{path} is open to other users of the machine (mode {mode:04o}) and belongs to"
            f" another one than ours (uid {os.geteuid()}), so it cannot be closed here. Run"
            f" chmod {closed:04o} {path} as its owner, or set FILE_UMASK=022 where nobody else is"
            " on the machine."
        ) from error
    logger.warning(
        "%s was open to other users of the machine (mode %04o); it is closed now (mode %04o)",
        path, mode, closed,
    )  # fmt: skip
