"""Files in a bucket of S3-compatible storage: which there are, and copies of those a job reads.

Not for files on our own disk (``sources.files``), whose rules for names hold here too.
"""

from __future__ import annotations

import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from pyarrow.fs import FileInfo, FileType

from materialization.errors import (
    SourceFileEmpty,
    SourceFileGone,
    SourceFileMissing,
    SourceFileUnsupported,
    SourceTooLarge,
    SourceUnavailable,
)
from materialization.finding.bucket_listing import Listing, segments_of
from materialization.finding.bucket_storage import base_of, opened, require_bucket, told
from materialization.finding.fetching import Fetched
from materialization.sources.files import ending_of, partitions_of
from materialization.sources.inputs import LinkedRows, Part
from materialization.sources.walking import is_wild
from registry.spec.sources import ENDINGS, file_format

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyarrow import NativeFile

    from materialization.finding.fetching import Wanted
    from materialization.finding.links import Link
    from registry.spec.connections import S3Connection
    from registry.spec.sources import BucketSource, FormatName

_CHUNK = 4 << 20
#: What is copied for a plan, whole files: the rest is seen by the first run.
LOOK_BYTES = 256 << 20


class BucketFinder:
    """Each object is a part: its identity is its size and when it was written."""

    def try_link(self, link: Link) -> None:
        require_bucket(opened(link), link)

    def find(self, source: BucketSource, where: Link) -> LinkedRows:
        """Return the objects that ``source.path`` names.

        :raises SourceFileMissing: none; names what was left out because it is a hidden one.
        :raises SourceUnavailable, SourceRefused: the storage does not answer, or refuses.
        """
        with told(where):
            listing = Listing(where)
            found = sorted(listing.matches(source.path), key=lambda info: info.path)
            listing.refuse_tables(found)
        if not found:
            require_bucket(opened(where), where)
            left = listing.left[:1]
            hidden = "".join(f" Hidden names match no wildcard, as {name}." for name in left)
            raise SourceFileMissing(
                f"no object matches {source.path!r} by the connection {where.name}; check the path,"
                f" which begins where the connection leads.{hidden}",
                path=source.path,
            )
        for info in found:
            if not info.size:
                raise SourceFileEmpty(f"{listing.name(info)} has 0 bytes; write it again.")
        parts = tuple(_part(listing.name(info), info) for info in found)
        _format_of(parts)
        return LinkedRows(source, where.project, where.connection.identity, parts)

    def fetch(
        self, rows: LinkedRows, wanted: Wanted, folder: str, watch: Callable[[], None], link: Link
    ) -> Fetched:
        """Copy the objects into files of the folder; see ``fetching.Fetch``.

        :raises SourceFileGone, SourceUnavailable: one went, or changed, since it was found.
        :raises SourceTooLarge: they are more than one reading may take.
        """
        parts = rows.parts()
        chosen = _first_of(parts) if wanted.most_rows is not None else parts
        _require_room(chosen, link)
        copying = _Copying(link, watch)
        files, partitions = {}, {}
        for number, part in enumerate(chosen):
            path = str(Path(folder, f"{number:06}{ending_of(PurePosixPath(part.name))}"))
            copying.copy(part, path)
            files[part.name] = path
            source = cast("BucketSource", rows.source)
            if said := partitions_of(_matched_folders(source.path, part.name)):
                partitions[part.name] = said
        is_part = len(chosen) < len(parts)
        return Fetched(files, _format_of(parts), partitions=partitions, is_part=is_part)


def _first_of(parts: Sequence[Part]) -> Sequence[Part]:
    """Return the parts that a look copies: those that are not too large, or the least one."""
    chosen: list[Part] = []
    size = 0
    for part in parts:
        if size + part.size <= LOOK_BYTES:
            chosen.append(part)
            size += part.size
    return chosen or [min(parts, key=lambda part: part.size)]


def _require_room(parts: Sequence[Part], link: Link) -> None:
    if sum(part.size for part in parts) > link.most_bytes:
        raise SourceTooLarge(
            f"{len(parts):,} objects of the connection {link.name} have more than"
            f" {link.most_bytes >> 20:,} MB to read at once; read less of them, or raise"
            " SOURCE_STAGING_MB."
        )


def _part(name: str, info: FileInfo) -> Part:
    return Part(name, f"{info.size}-{info.mtime_ns}", info.mtime_ns / 1e9, info.size)


def _format_of(parts: Sequence[Part]) -> FormatName:
    """:raises SourceFileUnsupported: they have no format, or several."""
    formats = {file_format(part.name) for part in parts}
    if len(formats) != 1 or (found := formats.pop()) is None:
        names = ", ".join(sorted({ending_of(PurePosixPath(part.name)) for part in parts}))
        raise SourceFileUnsupported(
            f"one source reads files of one format, {ENDINGS}; these end in {names}.",
            endings=names,
        )
    return found


def _matched_folders(pattern: str, name: str) -> tuple[str, ...]:
    """Return the folders of a part that the pattern's wildcards matched, as local files have it."""
    segments = segments_of(pattern)
    fixed = next((n for n, each in enumerate(segments) if is_wild(each)), len(segments))
    _, *within = PurePosixPath(name).parts  # the connection comes first
    return tuple(within[fixed:-1])


class _Copying:
    """Objects on their way into files; what ``watch`` raises ends it."""

    def __init__(self, link: Link, watch: Callable[[], None]) -> None:
        self._link, self._watch = link, watch
        self._storage, self._until = opened(link), time.monotonic() + link.timeout_s
        self._base = base_of(cast("S3Connection", link.connection))

    def copy(self, part: Part, path: str) -> None:
        """:raises SourceFileGone, SourceUnavailable: it went, changed, or took too long."""
        key, size = f"{self._base}/{part.name.removeprefix(f'{self._link.name}/')}", 0
        with self._stream(part, key) as rows, Path(path).open("wb") as file:
            while size <= part.size and (chunk := self._read(rows)):
                file.write(chunk)
                size += len(chunk)
                self._watch()
                self._require_time(part)
        with told(self._link):
            info = self._storage.get_file_info(key)
        if info.type != FileType.File:
            raise SourceFileGone(part.name)
        if size != part.size or _part(part.name, info) != part:
            raise SourceUnavailable(
                f"{part.name} changed while it was read; nothing of it was taken, and a run is"
                " tried again.",
                connection=self._link.name,
            )

    def _stream(self, part: Part, key: str) -> NativeFile:
        try:
            with told(self._link):
                return self._storage.open_input_stream(key, compression=None)
        except SourceUnavailable:
            require_bucket(self._storage, self._link)
            with told(self._link):
                is_gone = self._storage.get_file_info(key).type == FileType.NotFound
            if is_gone:
                raise SourceFileGone(part.name) from None
            raise

    def _read(self, rows: NativeFile) -> bytes:
        with told(self._link):
            return cast("bytes", rows.read(_CHUNK))

    def _require_time(self, part: Part) -> None:
        if time.monotonic() > self._until:
            raise SourceUnavailable(
                f"{part.name} was not here within {self._link.timeout_s:g} s; read less, or raise"
                " SOURCE_TIME_LIMIT_SECONDS."
            )
