"""The files of one table beside its log: where readers open them, which there are, what goes.

Not for what the log says of them (``offline``). Names are those that the log has.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class TableFiles(Protocol):
    def path(self, name: str) -> str:
        """Return where readers open a file, there or not."""

    def add(self, staged: str, name: str) -> None:
        """Give a staged file its place.

        :raises OSError, OfflineStoreUnavailable: it could not be done; it has none then.
        """

    def remove(self, names: Iterable[str]) -> None:
        """Remove files; gone already is fine."""

    def take_back(self, names: Iterable[str]) -> None:
        """Remove what was added for a commit that failed, where it cannot be made any more."""

    def sizes(self, names: Iterable[str]) -> Mapping[str, int]:
        """Return the bytes of those that are there; others may be among them."""

    def state(self, name: str) -> tuple[int, str]:
        """Return a file's bytes and their hash, as they are where they are kept.

        :raises FileNotFoundError: it is not there.
        """

    def drop_untrue(self, hashes: Mapping[str, str]) -> None:
        """Drop what is here of files that have these hashes, where it is a copy of other content.

        :raises OSError: a copy cannot be read.
        """


class FolderFiles:
    """Files in the table's folder; see ``TableFiles`` for what each method promises."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, name: str) -> str:
        return str(self._root / name)

    def add(self, staged: str, name: str) -> None:
        Path(staged).rename(self._root / name)

    def remove(self, names: Iterable[str]) -> None:
        for name in names:
            (self._root / name).unlink(missing_ok=True)

    def take_back(self, names: Iterable[str]) -> None:
        """Remove them: a commit that failed is not there."""
        self.remove(names)

    def sizes(self, names: Iterable[str]) -> dict[str, int]:
        files = ((name, self._root / name) for name in names)
        return {name: file.stat().st_size for name, file in files if file.exists()}

    def state(self, name: str) -> tuple[int, str]:
        with (self._root / name).open("rb") as opened:
            mark = hashlib.file_digest(opened, "sha256").hexdigest()
            return opened.tell(), mark

    def drop_untrue(self, hashes: Mapping[str, str]) -> None:
        """Do nothing: these are no copies, and what a file is now is told by ``state``."""
