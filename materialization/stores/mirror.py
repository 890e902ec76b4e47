"""What a machine has of an offline store that lies in a bucket: copies of files, by their names.

Files of a table never change, so that a copy is as good as the file as long as somebody needs it.
Not for which files are a table's (``offline_bucket``): a copy here is no sign that they are.
"""

from __future__ import annotations

import hashlib
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from materialization.errors import EngineLimitExceeded
from materialization.stores.objects import AT_ONCE, ObjectGone
from materialization.stores.offline_protocol import OfflineStoreUnavailable
from materialization.stores.own_folders import STAGING, unwritable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from materialization.stores.objects import Objects

#: A copy that was asked for within so many seconds may be being read: it stays. Nothing may read
#: for longer, where nobody says for how long something may.
IN_USE_SECONDS = 2 * 3600.0
#: One that was not for so long goes, however much room there is: what it was of may be dropped.
UNUSED_SECONDS = 7 * 24 * 3600.0
#: Seconds after which one process of a machine looks again for such, and what says when one did.
_EVERY, _LOOKED = 3600.0, ".looked"
#: How much more than is wanted is given back at a time, of all there may be.
_SHARE = 10


class Mirror:
    """Copies under ``root``, of about ``most_bytes``; those not used for longest make room.

    What people ask brings no more than that at a time; runs bring what their tables have, as they
    cannot ask for less. What others brought within ``in_use_s`` stays all the same: they may be
    reading it.
    """

    def __init__(
        self, objects: Objects, root: Path, most_bytes: int, *, in_use_s: float = IN_USE_SECONDS
    ) -> None:
        self._objects, self._root, self._most = objects, root, most_bytes
        self._in_use_s = in_use_s

    def path(self, name: str) -> Path:
        """Return where the copy of an object is, or would be."""
        return self._root / name

    def forget(self, names: Iterable[str]) -> None:
        """Remove copies: what they were made of is another, or gone."""
        for name in names:
            self.path(name).unlink(missing_ok=True)

    def forget_unlike(self, sizes: Mapping[str, int]) -> None:
        """Remove copies that have other bytes than their objects: a cut of power left them so."""
        for name, size in sizes.items():
            with suppress(FileNotFoundError, NotADirectoryError):
                if self.path(name).stat().st_size != size:
                    self.forget([name])

    def forget_unless(self, name: str, sha256: str) -> None:
        """Remove a copy that has not the content of its object."""
        with suppress(FileNotFoundError, NotADirectoryError), self.path(name).open("rb") as copy:
            if hashlib.file_digest(copy, "sha256").hexdigest() != sha256:
                self.forget([name])

    def bring(self, files: Iterable[str], *, bounded: bool = False) -> None:
        """Have files of the store here, by the paths that it gives for them; others are left.

        ``bounded`` where somebody asks who can ask for less.

        :raises OfflineStoreUnavailable: one is gone, or cannot be copied.
        :raises EngineLimitExceeded: they are bounded, and more than a machine may have.
        """
        asked = list(dict.fromkeys(map(Path, files)))
        lacking = [path for path in asked if self._is_lacking(path)]
        if not lacking:
            return
        coming = self._bytes_of(lacking)
        here = sum(stat.st_size for path, stat in _there(asked) if self._is_own(path))
        if bounded and coming + here > self._most:
            raise EngineLimitExceeded(
                f"what is asked reads {(coming + here) / 1e6:,.1f} MB of the offline store's files,"
                f" and a machine may have copies of {self._most / 1e6:,.1f} MB"
                " (OFFLINE_CACHE_MB). Ask for less at a time, or have whoever runs the server raise"
                " it."
            )
        self._make_room(coming)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(self._get, lacking))

    def tidy(self) -> None:
        """Remove copies of what is gone or was not used for a week, once an hour on a machine.

        So goes what processes that died were copying.

        :raises OfflineStoreUnavailable: the bucket does not say what is gone.
        """
        if not self._root.is_dir():
            return
        looked = self._root / _LOOKED
        with suppress(FileNotFoundError):
            if 0 <= time.time() - looked.stat().st_mtime < _EVERY:
                return
        looked.touch()
        self._make_room()
        self._drop_gone()

    def _drop_gone(self) -> None:
        """Remove copies whose objects are gone: they were erased, ended or left their table."""
        copies: dict[Path, list[str]] = {}
        # All of them before the bucket is asked: a copy comes after its object.
        for path in self._copies():
            if not path.name.startswith("."):
                copies.setdefault(path.parent.relative_to(self._root), []).append(path.name)
        for folder, names in copies.items():
            there = self._objects.sizes(folder.as_posix())
            self.forget((folder / name).as_posix() for name in names if name not in there)

    def _bytes_of(self, paths: Iterable[Path]) -> int:
        """Return how many bytes the bucket has of them; copying says which are not there."""
        names: dict[str, set[str]] = {}
        for path in paths:
            folder = path.parent.relative_to(self._root).as_posix()
            names.setdefault(folder, set()).add(path.name)
        return sum(
            size
            for folder, inside in names.items()
            for name, size in self._objects.sizes(folder).items()
            if name in inside
        )

    def _is_own(self, path: Path) -> bool:
        return path.is_relative_to(self._root) and STAGING not in path.parts

    def _is_lacking(self, path: Path) -> bool:
        try:
            os.utime(path)
        except FileNotFoundError:
            return self._is_own(path)
        except OSError:  # whoever reads it says what is wrong
            return False
        return False

    def _get(self, path: Path) -> None:
        name = path.relative_to(self._root).as_posix()
        try:
            self._objects.get(name, path)
        except ObjectGone as exc:
            raise OfflineStoreUnavailable(
                f"{name} is not in the offline store {self._objects.address} any more",
                step="ask again, of what there is now",
            ) from exc
        except OSError as exc:
            raise unwritable(path, exc) from exc

    def _make_room(self, coming: int = 0) -> None:
        """Remove copies that were not used for a week; where they are too many, the oldest."""
        used = sorted((stat.st_mtime, stat.st_size, path) for path, stat in _there(self._copies()))
        now, total = time.time(), coming + sum(size for _, size, _ in used)
        wanted = total if total <= self._most else self._most - self._most // _SHARE
        for changed, size, path in used:
            unused = now - changed
            if unused < self._in_use_s or (total <= wanted and unused < UNUSED_SECONDS):
                break
            path.unlink(missing_ok=True)
            total -= size

    def _copies(self) -> Iterator[Path]:
        for folder, inside, names in os.walk(self._root):
            inside[:] = [name for name in inside if name != STAGING]
            for name in names:
                if name.endswith((".parquet", ".arrow")) or (
                    name.startswith(".") and name != _LOOKED
                ):
                    yield Path(folder, name)


def _there(paths: Iterable[Path]) -> list[tuple[Path, os.stat_result]]:
    found = []
    for path in paths:
        try:
            found.append((path, path.stat()))
        except FileNotFoundError:
            continue
    return found
