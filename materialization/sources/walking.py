"""From a pattern to the names it matches below one root, within bounds. No file is opened.

Not for judging what was matched (``files``). The standard library's ``glob`` takes a folder it may
not read for an empty one, follows links wherever they lead, and has no end.
"""

from __future__ import annotations

import fnmatch
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from materialization.errors import (
    SourceFileGone,
    SourceFileUnreadable,
    SourceFolderTooLarge,
    SourceFolderUnreadable,
    SourceOutsideRoots,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: What one walk may look at, and how long: somebody waits for it in a web thread.
MAX_ENTRIES = 100_000
MAX_SECONDS = 10.0
#: Tools name so what is not data, or not yet: Spark's and Hive's rule, and Excel's lock files.
_HIDDEN = (".", "_", "~$")


class Match(NamedTuple):
    """``path`` is as it was named; ``folders`` are those that the pattern's wildcards matched."""

    path: Path
    folders: tuple[str, ...]


class Walk:
    """One pattern followed below one root, a resolved folder.

    Links are followed while they stay inside the root, and never round and round. Names that begin
    with ``.``, ``_`` or ``~$`` match no wildcard; those left out so are in ``left_out``. Folders in
    ``closed`` are not entered; ``met_closed`` says whether one was in the way.
    """

    def __init__(
        self,
        root: Path,
        *,
        closed: Sequence[Path] = (),
        max_entries: int = MAX_ENTRIES,
        max_seconds: float = MAX_SECONDS,
    ) -> None:
        self._root, self._closed = root, closed
        self._left, self._until = max_entries, time.monotonic() + max_seconds
        self.left_out: list[str] = []
        self.met_closed = False

    def matches(self, pattern: str) -> Iterator[Match]:
        """Yield what is there, files and folders, in no order; a thing may come more than once.

        :raises SourceFolderUnreadable, SourceFolderTooLarge, SourceOutsideRoots: naming the folder.
        """
        segments = [part for part in Path(pattern).parts if part != "."]
        if segments and segments[-1] == "**":
            segments.append("*")
        yield from self._follow(self._root, segments, None)

    def _follow(
        self, folder: Path, segments: list[str], folders: tuple[str, ...] | None
    ) -> Iterator[Match]:
        """``folders`` is None up to the first wildcard: what stands before it is no partition."""
        head, rest = segments[0], segments[1:]
        if head == "**":
            for below, names in self._below(folder, folders or ()):
                yield from self._follow(below, rest, names)
            return
        wild = is_wild(head)
        for path in self._named(folder, head) if wild else [folder / head]:
            if not rest:
                yield from [Match(path, folders or ())] if _is_there(path) else []
            elif self._is_open_folder(path):
                inside = (*(folders or ()), path.name) if wild or folders is not None else None
                yield from self._follow(path, rest, inside)

    def _named(self, folder: Path, pattern: str) -> Iterator[Path]:
        fits = re.compile(fnmatch.translate(pattern)).match
        for name in self._scan(folder):
            if fits(name):
                if is_hidden(name) and not pattern.startswith(name[0]):
                    self.left_out.append(str(folder / name))
                else:
                    yield folder / name

    def _below(
        self, folder: Path, folders: tuple[str, ...]
    ) -> Iterator[tuple[Path, tuple[str, ...]]]:
        """Yield a folder and those inside it, each real one once."""
        seen, waiting = {folder.resolve()}, [(folder, folders)]
        while waiting:
            here, names = waiting.pop()
            yield here, names
            for name in self._scan(here):
                path = here / name
                if not self._is_open_folder(path):
                    continue
                if is_hidden(name):
                    self.left_out.append(str(path))
                elif (real := path.resolve()) not in seen:
                    seen.add(real)
                    waiting.append((path, (*names, name)))

    def _scan(self, folder: Path) -> list[str]:
        try:
            with os.scandir(folder) as entries:
                return [self._counted(entry.name, folder) for entry in entries]
        except OSError as exc:
            raise folder_unreadable(folder, exc) from exc

    def _counted(self, name: str, folder: Path) -> str:
        self._left -= 1
        if self._left < 0 or time.monotonic() > self._until:
            raise SourceFolderTooLarge(
                f"looking for the source's files took too long, or met too many names, and was at "
                f"{folder}; write a path with fewer folders under its * or **.",
                path=str(folder),
            )
        return name

    def _is_open_folder(self, path: Path) -> bool:
        """:raises SourceOutsideRoots: it is a link out of the root."""
        try:
            if not path.is_dir():
                return False
        except OSError as exc:  # a folder above it may not be entered
            raise folder_unreadable(path, exc) from exc
        real = path.resolve()
        require_inside(path, real, self._root)
        if is_under(real, self._closed):
            self.met_closed = True
            return False
        return True


def _is_there(path: Path) -> bool:
    """Say whether there is anything of that name, were it a link to nothing."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as exc:
        raise folder_unreadable(path.parent, exc) from exc
    return True


def folder_unreadable(folder: Path, error: OSError) -> SourceFolderUnreadable:
    return SourceFolderUnreadable(
        f"the folder {folder} cannot be read ({error.strerror}); let the server's user read it, or "
        "write a path that leaves it out.",
        path=str(folder),
    )


def require_readable(paths: Iterable[str]) -> None:
    """Asked before any reader, which would say it its own way, or take the file for a broken one.

    :raises SourceFileGone: one that is not there any more.
    :raises SourceFileUnreadable: a file that this process may not read; names it.
    """
    effective = os.access in os.supports_effective_ids
    for path in paths:
        if is_gone(path):
            raise SourceFileGone(path)
        if not os.access(path, os.R_OK, effective_ids=effective):
            raise SourceFileUnreadable(
                f"{path} cannot be read (Permission denied); let the server's user read it, or"
                " take it away.",
                path=path,
            )


def is_gone(path: str) -> bool:
    """Say whether there is nothing of that name; what cannot be looked at is there."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def require_inside(path: Path, real: Path, root: Path) -> None:
    if not real.is_relative_to(root):
        raise SourceOutsideRoots(
            f"{path} is a link that leaves {root}; copy the file there instead.", path=str(path)
        )


def is_under(path: Path, folders: Iterable[Path]) -> bool:
    return any(path.is_relative_to(folder) for folder in folders)


def is_wild(segment: str) -> bool:
    return any(character in segment for character in "*?[")


def is_hidden(name: str) -> bool:
    # A partition's key may begin with an underscore.
    return name.startswith(_HIDDEN) and not (name.startswith("_") and "=" in name)
