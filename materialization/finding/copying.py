"""Objects of a bucket on their way into files, whole or their beginnings.

Not for which they are (``bucket``, ``delta_bucket``) or for what a beginning is (``pieces``).
"""

from __future__ import annotations

import time
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from pyarrow.fs import FileInfo, FileType

from materialization.errors import SourceFileGone, SourceTooLarge, SourceUnavailable
from materialization.finding.bucket_storage import base_of, opened, require_bucket, told
from materialization.finding.pieces import head_of_parquet, head_of_text
from materialization.sources.files import ending_of
from registry.spec.sources.files import COMPRESSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyarrow import NativeFile

    from materialization.finding.fetching import Wanted
    from materialization.finding.links import Link
    from materialization.sources.inputs import Part
    from registry.spec.connections import S3Connection
    from registry.spec.sources.files import FormatName

_CHUNK = 4 << 20
#: What is copied for a plan, whole files: the rest is seen by the first run.
LOOK_BYTES = 256 << 20
#: And of one that is larger, where there is no smaller one.
HEAD_BYTES = 64 << 20
#: What reads compressed text, by the end of a name.
_COMPRESSED = {".gz": "gzip", ".zst": "zstd"}


class Copied:
    """The files of parts by the parts' names, and whether there is more than they have."""

    def __init__(self, files: dict[str, str], *, is_part: bool) -> None:
        self.files, self.is_part = files, is_part


def copied(
    parts: Sequence[Part],
    wanted: Wanted,
    folder: str,
    watch: Callable[[], None],
    link: Link,
    *,
    is_same: Callable[[Part, FileInfo], bool],
    form: FormatName,
) -> Copied:
    """Copy what is wanted of objects into files of a folder; all are of one format.

    ``is_same`` says whether an object, after it was read, is the one that was found.

    :raises SourceFileGone, SourceUnavailable: one went, or changed, since it was found.
    :raises SourceTooLarge: they are more than one reading may take.
    """
    copying = _Copying(link, watch, is_same)
    is_look = wanted.most_rows is not None
    if is_look and parts and all(part.size > LOOK_BYTES for part in parts):
        least = min(parts, key=lambda part: part.size)
        if form != "json":  # of which the beginning is no document
            path = str(Path(folder, f"{0:06}{_plain_ending(least.name)}"))
            copying.copy_head(least, path, form)
            return Copied({least.name: path}, is_part=True)
    chosen = _first_of(parts) if is_look else parts
    _require_room(chosen, link)
    files = {}
    for number, part in enumerate(chosen):
        path = str(Path(folder, f"{number:06}{ending_of(PurePosixPath(part.name))}"))
        copying.copy(part, path)
        files[part.name] = path
    return Copied(files, is_part=len(chosen) < len(parts))


def _first_of(parts: Sequence[Part]) -> Sequence[Part]:
    """Return the parts that a look copies: those that are not too large, or the least one."""
    chosen: list[Part] = []
    size = 0
    for part in parts:
        if size + part.size <= LOOK_BYTES:
            chosen.append(part)
            size += part.size
    return chosen or [min(parts, key=lambda part: part.size)] if parts else []


def _plain_ending(name: str) -> str:
    """Return how a file ends whose text is compressed no more."""
    ending = ending_of(PurePosixPath(name))
    return next((ending.removesuffix(c) for c in COMPRESSIONS if ending.endswith(c)), ending)


def _require_room(parts: Sequence[Part], link: Link) -> None:
    if sum(part.size for part in parts) > link.most_bytes:
        raise SourceTooLarge(
            f"{len(parts):,} objects of the connection {link.name} have more than"
            f" {link.most_bytes >> 20:,} MB to read at once; read less of them, or raise"
            " SOURCE_STAGING_MB."
        )


class _Copying:
    """Objects on their way into files; what ``watch`` raises ends it."""

    def __init__(
        self, link: Link, watch: Callable[[], None], is_same: Callable[[Part, FileInfo], bool]
    ) -> None:
        self._link, self._watch, self._is_same = link, watch, is_same
        self._storage, self._until = opened(link), time.monotonic() + link.timeout_s
        self._base = base_of(cast("S3Connection", link.connection))

    def copy(self, part: Part, path: str) -> None:
        """:raises SourceFileGone, SourceUnavailable: it went, changed, or took too long."""
        size = 0
        with self._stream(part) as rows, Path(path).open("wb") as file:
            while size <= part.size and (chunk := self._read(rows, _CHUNK, part)):
                file.write(chunk)
                size += len(chunk)
        self._require_same(part, size)

    def copy_head(self, part: Part, path: str, form: FormatName) -> None:
        """Copy the beginning of one; raises as ``copy``.

        :raises SourceUnreadable: nothing of it can be read by itself.
        """
        if form == "parquet":
            self._copy_groups(part, path)
        else:
            self._copy_lines(part, path, quotes=form == "csv")
        self._require_same(part, part.size)

    def _copy_groups(self, part: Part, path: str) -> None:
        with told(self._link):
            file = self._storage.open_input_file(self._key(part))

        def read_at(begin: int, size: int) -> bytes:
            with told(self._link):
                file.seek(begin)
            return self._read(file, size, part)

        with file:
            head_of_parquet(read_at, part.size, path, part.name, most_bytes=HEAD_BYTES)

    def _copy_lines(self, part: Part, path: str, *, quotes: bool) -> None:
        ending = next((c for c in _COMPRESSED if part.name.lower().endswith(c)), "")
        with self._stream(part, _COMPRESSED.get(ending)) as rows:
            head_of_text(
                lambda size: self._read(rows, size, part),
                path,
                part.name,
                most_bytes=HEAD_BYTES,
                quotes=quotes,
            )

    def _key(self, part: Part) -> str:
        return f"{self._base}/{part.name.removeprefix(f'{self._link.name}/')}"

    def _require_same(self, part: Part, size: int) -> None:
        with told(self._link):
            info = self._storage.get_file_info(self._key(part))
        if info.type != FileType.File:
            raise SourceFileGone(part.name)
        if size != part.size or not self._is_same(part, info):
            raise SourceUnavailable(
                f"{part.name} changed while it was read",
                step="nothing of it was taken: a run is tried again by itself, and a plan may be",
                connection=self._link.name,
            )

    def _stream(self, part: Part, compression: str | None = None) -> NativeFile:
        key = self._key(part)
        try:
            with told(self._link):
                return self._storage.open_input_stream(key, compression=compression)
        except SourceUnavailable:
            require_bucket(self._storage, self._link)
            with told(self._link):
                is_gone = self._storage.get_file_info(key).type == FileType.NotFound
            if is_gone:
                raise SourceFileGone(part.name) from None
            raise

    def _read(self, rows: NativeFile, size: int, part: Part) -> bytes:
        """Read so many bytes; what is left of them at the end."""
        with told(self._link):
            chunk = cast("bytes", rows.read(size))
        self._watch()
        if time.monotonic() > self._until:
            raise self._link.took_too_long(part.name)
        return chunk
