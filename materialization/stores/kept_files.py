"""Single files that are kept as they were written: each whole or not at all, and never changed.

Not for tables (``offline``): nothing is ever added to a file of these.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from lib.errors import Unavailable
from materialization.stores.own_folders import unwritable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime
    from io import BufferedReader


class KeptFileUnavailable(Unavailable):
    """A file that was kept is not there, or cannot be read now."""

    code = "kept_file_unavailable"


class KeptFileGone(KeptFileUnavailable):
    """It is not there, whoever looks."""


class Kept(NamedTuple):
    """What a file is: its bytes, and their hash."""

    size: int
    sha256: str


class FileKeeper(Protocol):
    """Files by names such as ``ab12/rows.parquet``."""

    def writing(self, name: str) -> AbstractContextManager[str]:
        """Give a path to write to; at the end of the block the file is there under ``name``.

        Where the block raises nothing is. One of that name is replaced.

        :raises OfflineStoreUnavailable: there is no room for it, or no right.
        """
        ...

    def state(self, name: str) -> Kept:
        """Say what a file is now; all of its bytes are read.

        :raises KeptFileUnavailable: it is not there, or cannot be read.
        """
        ...

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading; it can be sought in.

        :raises KeptFileUnavailable: it is not there, or cannot be read.
        """
        ...

    def remove(self, name: str) -> None:
        """Remove a file; gone already is fine."""
        ...

    def unchanged_since(self, instant: datetime) -> list[str]:
        """Return the names of all files that nobody wrote to since, drafts among them.

        :raises KeptFileUnavailable: they cannot be looked at.
        """
        ...


class LocalFileKeeper:
    """Files in folders under ``root``; see ``FileKeeper`` for what each method promises."""

    def __init__(self, root: str | Path) -> None:
        self._root = Path(root)

    @contextmanager
    def writing(self, name: str) -> Iterator[str]:
        place = self._root / name
        draft = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            yield str(draft)
            with draft.open("rb") as written:
                os.fsync(written.fileno())
            draft.rename(place)
        except OSError as exc:
            raise unwritable(place, exc) from exc
        finally:
            draft.unlink(missing_ok=True)

    def state(self, name: str) -> Kept:
        with self.open(name) as opened:
            mark = hashlib.file_digest(opened, "sha256").hexdigest()
            return Kept(opened.tell(), mark)

    def open(self, name: str) -> BufferedReader:
        try:
            return (self._root / name).open("rb")
        except OSError as exc:
            kind = KeptFileGone if isinstance(exc, FileNotFoundError) else KeptFileUnavailable
            raise kind(
                f"{self._root / name} cannot be read: {exc.strerror}. Restore it from a backup of"
                " the offline store."
            ) from exc

    def remove(self, name: str) -> None:
        place = self._root / name
        place.unlink(missing_ok=True)
        with suppress(OSError):  # others of its folder are there
            place.parent.rmdir()

    def unchanged_since(self, instant: datetime) -> list[str]:
        if not self._root.exists():
            return []
        try:
            return [
                f"{folder.name}/{file.name}"
                for folder in os.scandir(self._root)
                if folder.is_dir(follow_symlinks=False)
                for file in os.scandir(folder)
                if file.stat(follow_symlinks=False).st_mtime < instant.timestamp()
            ]
        except OSError as exc:
            raise KeptFileUnavailable(
                f"{self._root} cannot be read: {exc.strerror}. Let the server's user read it."
            ) from exc
