"""Which objects of a bucket a path names: patterns followed folder by folder, as on our disk.

Not for reading them (``bucket``).
"""

from __future__ import annotations

import fnmatch
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

from pyarrow.fs import FileInfo, FileType

from materialization.errors import SourceFileUnsupported, SourceFolderTooLarge
from materialization.finding.bucket_pages import names_in
from materialization.finding.bucket_storage import base_of, opened
from materialization.sources.files import TABLE_LOGS
from materialization.sources.walking import MAX_ENTRIES, is_hidden, is_wild

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from materialization.finding.links import Link
    from registry.spec.connections import S3Connection

#: Seconds that looking for files may take: somebody may wait for it.
_LISTING_SECONDS = 30.0
#: How many folders are asked for at a time.
_AT_ONCE = 8


def segments_of(pattern: str) -> list[str]:
    return [each for each in pattern.split("/") if each not in ("", ".")]


class Listing:
    """One pattern followed below where a connection leads, folder by folder."""

    def __init__(self, link: Link) -> None:
        to = cast("S3Connection", link.connection)
        self._fs, self._link = opened(link), link
        self._base = base_of(to)
        self._entries, self._until = MAX_ENTRIES, time.monotonic() + _LISTING_SECONDS
        self.left: list[str] = []
        #: The folders that were listed, each with the names of those in it.
        self._listed: dict[str, set[str]] = {}
        self._names: dict[str, list[str]] = {}

    def name(self, info: FileInfo) -> str:
        """Return what an object is called: after the connection, never by its bucket."""
        return self._words(info.path)

    def matches(self, pattern: str) -> Iterator[FileInfo]:
        segments = segments_of(pattern)
        if segments[-1] == "**":
            segments.append("*")
        yield from self._follow(self._base, segments)

    def _follow(self, folder: str, segments: list[str]) -> Iterator[FileInfo]:
        head, rest = segments[0], segments[1:]
        if head == "**":
            yield from self._follow(folder, rest)
            for info in self._named(folder, "*"):
                if info.type == FileType.Directory:
                    yield from self._follow(info.path, segments)
        elif is_wild(head):
            for info in self._named(folder, head):
                if rest and info.type == FileType.Directory:
                    yield from self._follow(info.path, rest)
                elif not rest and info.type == FileType.File:
                    yield info
        elif rest:
            yield from self._follow(f"{folder}/{head}", rest)
        else:
            info = self._fs.get_file_info(f"{folder}/{head}")
            yield from [info] if info.type == FileType.File else []

    def _named(self, folder: str, pattern: str) -> Iterator[FileInfo]:
        fits = re.compile(fnmatch.translate(pattern)).match
        inside = self._listed.setdefault(folder, set())
        for info in self._inside(folder):
            if info.type == FileType.Directory:
                inside.add(info.base_name)
            if not fits(info.base_name):
                continue
            if is_hidden(info.base_name) and not pattern.startswith(info.base_name[0]):
                self.left.append(self.name(info))
            else:
                yield info

    def _inside(self, folder: str) -> Iterator[FileInfo]:
        """Yield what is right in a folder, as it comes: the bound is seen before all is here."""
        for info in names_in(
            self._fs, self._link, folder, watch=lambda: self._count(folder, names=0)
        ):
            self._count(folder)
            yield info

    def _count(self, folder: str, *, names: int = 1) -> None:
        self._entries -= names
        place = folder.removeprefix(self._base) or "the beginning"
        fewer = "write a path with fewer folders under its * or **."
        if self._entries < 0:
            raise SourceFolderTooLarge(
                f"looking for the source's objects met too many names, and was at {place}; {fewer}"
            )
        if time.monotonic() > self._until:
            raise SourceFolderTooLarge(
                f"looking for the source's objects took too long, and was at {place}: the storage"
                f" answers slowly, or too much lies there; try again, or {fewer}"
            )

    def refuse_tables(self, found: Iterable[FileInfo]) -> None:
        """A table's folder also holds objects it no longer has: only its log tells them apart.

        :raises SourceFileUnsupported: an object lies in one, or below.
        """
        folders = sorted(self._folders_of(found))
        self._ask_for_logs([folder for folder in folders if folder not in self._listed])
        for folder in folders:
            for log, name in TABLE_LOGS.items():
                if self._has(folder, *log.split("/")):
                    raise SourceFileUnsupported(
                        f"{self._words(folder)} is {name} table, and its folder also holds objects"
                        " that the table no longer has; write its rows to objects of their own,"
                        " and name those.",
                        path=self._words(folder),
                    )

    def _ask_for_logs(self, folders: Sequence[str]) -> None:
        """Learn which of the folders that make a table are in folders that nobody listed."""
        inside = {log.partition("/")[0] for log in TABLE_LOGS}
        asked = [(folder, name) for folder in folders for name in sorted(inside)]
        pool = ThreadPoolExecutor(_AT_ONCE)
        try:
            infos = pool.map(lambda each: self._fs.get_file_info("/".join(each)), asked)
            for (folder, name), info in zip(asked, infos, strict=True):
                self._count(folder)
                self._listed.setdefault(folder, set())
                if info.type == FileType.Directory:
                    self._listed[folder].add(name)
        finally:
            pool.shutdown(cancel_futures=True)

    def _folders_of(self, found: Iterable[FileInfo]) -> set[str]:
        """Return the folders that objects lie in, and those above as far as the connection."""
        folders = set()
        for info in found:
            folder = info.path.rpartition("/")[0]
            while folder not in folders and len(folder) >= len(self._base):
                folders.add(folder)
                folder = folder.rpartition("/")[0]
        return folders

    def _has(self, folder: str, inside: str, name: str) -> bool:
        """Return whether a folder has another one, with a name of that pattern in it if given."""
        if inside not in self._listed[folder] or not name:
            return inside in self._listed[folder]
        path = f"{folder}/{inside}"
        if path not in self._names:
            self._names[path] = [info.base_name for info in self._inside(path)]
            self._count(folder)
        return bool(fnmatch.filter(self._names[path], name))

    def _words(self, path: str) -> str:
        return f"{self._link.name}/{path.removeprefix(self._base).lstrip('/')}".rstrip("/")
