"""Files in a bucket of S3-compatible storage: which there are, and copies of those a job reads.

Not for files on our own disk (``sources.files``), whose rules for names hold here too.
"""

from __future__ import annotations

import fnmatch
import re
import time
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import urlsplit

from pyarrow.fs import AwsStandardS3RetryStrategy, FileInfo, FileSelector, FileType, S3FileSystem

from materialization.errors import (
    SourceFileEmpty,
    SourceFileGone,
    SourceFileMissing,
    SourceFileUnsupported,
    SourceFolderTooLarge,
    SourceRefused,
    SourceTooLarge,
    SourceUnavailable,
)
from materialization.finding.fetching import Fetched
from materialization.sources.files import ending_of, partitions_of
from materialization.sources.inputs import LinkedRows, Part
from materialization.sources.walking import MAX_ENTRIES, is_hidden, is_wild
from registry.spec.sources import ENDINGS, file_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lib.errors import AssayError
    from materialization.finding.fetching import Wanted
    from materialization.finding.links import Link
    from registry.spec.connections import S3Connection
    from registry.spec.sources import BucketSource, FormatName

#: Seconds until storage that does not answer, or stopped to, counts as gone; and how often it is
#: asked again, as storage that is asked too much wants to be.
_CONNECT_SECONDS, _SILENT_SECONDS, _ATTEMPTS = 10, 30, 4
#: Seconds that looking for files may take: somebody may wait for it.
_LISTING_SECONDS = 30.0
_CHUNK = 4 << 20
#: What is copied for a plan, whole files: the rest is seen by the first run.
LOOK_BYTES = 256 << 20


class BucketFinder:
    """Each object is a part: its identity is its size and when it was written."""

    def try_link(self, link: Link) -> None:
        with _told(link):
            _Listing(link).require_bucket()

    def find(self, source: BucketSource, where: Link) -> LinkedRows:
        """Return the objects that ``source.path`` names.

        :raises SourceFileMissing: none; names what was left out because it is a hidden one.
        :raises SourceUnavailable, SourceRefused: the storage does not answer, or refuses.
        """
        with _told(where):
            listing = _Listing(where)
            found = sorted(listing.matches(source.path), key=lambda info: info.path)
            if not found:
                listing.require_bucket()
        if not found:
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
        opened, until = _opened(link), time.monotonic() + link.timeout_s
        files, partitions = {}, {}
        for number, part in enumerate(chosen):
            path = str(Path(folder, f"{number:06}{ending_of(PurePosixPath(part.name))}"))
            with _told(link):
                _copy(opened, part, path, link, watch, until)
            files[part.name] = path
            source = cast("BucketSource", rows.source)
            if said := partitions_of(_matched_folders(source.path, part.name)):
                partitions[part.name] = said
        is_part = len(chosen) < len(parts)
        return Fetched(files, _format_of(parts), partitions=partitions, is_part=is_part)


def _first_of(parts: Sequence[Part]) -> Sequence[Part]:
    """Return the parts that a look copies: one at least."""
    chosen: list[Part] = []
    size = 0
    for part in parts:
        if chosen and size + part.size > LOOK_BYTES:
            break
        chosen.append(part)
        size += part.size
    return chosen


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
    segments = _segments(pattern)
    fixed = next((n for n, each in enumerate(segments) if is_wild(each)), len(segments))
    _, *within = PurePosixPath(name).parts  # the connection comes first
    return tuple(within[fixed:-1])


def _segments(pattern: str) -> list[str]:
    return [each for each in pattern.split("/") if each not in ("", ".")]


class _Listing:
    """One pattern followed below where a connection leads, folder by folder."""

    def __init__(self, link: Link) -> None:
        to = cast("S3Connection", link.connection)
        self._fs, self._link = _opened(link), link
        self._base = _base_of(to)
        self._entries, self._until = MAX_ENTRIES, time.monotonic() + _LISTING_SECONDS
        self.left: list[str] = []

    def name(self, info: FileInfo) -> str:
        """Return what an object is called: after the connection, never by its bucket."""
        return f"{self._link.name}/{info.path.removeprefix(self._base).lstrip('/')}"

    def require_bucket(self) -> None:
        """:raises SourceRefused: a bucket that is not there has no objects either."""
        bucket = cast("S3Connection", self._link.connection).bucket
        if self._fs.get_file_info(bucket).type == FileType.NotFound:
            raise _error(self._link, _WHYS["NO_SUCH_BUCKET"])

    def matches(self, pattern: str) -> Iterator[FileInfo]:
        segments = _segments(pattern)
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
        for info in self._fs.get_file_info(FileSelector(folder, allow_not_found=True)):
            self._count(folder)
            if not fits(info.base_name):
                continue
            if is_hidden(info.base_name) and not pattern.startswith(info.base_name[0]):
                self.left.append(self.name(info))
            else:
                yield info

    def _count(self, folder: str) -> None:
        self._entries -= 1
        if self._entries < 0 or time.monotonic() > self._until:
            raise SourceFolderTooLarge(
                "looking for the source's objects took too long, or met too many names, and was at"
                f" {folder.removeprefix(self._base) or 'the beginning'}; write a path with fewer"
                " folders under its * or **."
            )


def _base_of(to: S3Connection) -> str:
    return "/".join(filter(None, (to.bucket, to.prefix.strip("/"))))


def _opened(link: Link) -> S3FileSystem:
    to = cast("S3Connection", link.connection)
    address = urlsplit(to.endpoint)
    path_style = bool(to.endpoint) if to.path_style is None else to.path_style
    keys = {}
    if to.access_key_id:
        keys = {"access_key": to.access_key_id, "secret_key": link.secret()}
    return S3FileSystem(
        **keys,
        region=to.region,
        scheme=address.scheme or "https",
        endpoint_override=address.netloc or None,
        force_virtual_addressing=not path_style,
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_SILENT_SECONDS,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
    )


def _copy(
    opened: S3FileSystem,
    part: Part,
    path: str,
    link: Link,
    watch: Callable[[], None],
    until: float,
) -> None:
    within = part.name.removeprefix(f"{link.name}/")
    key, size = f"{_base_of(cast('S3Connection', link.connection))}/{within}", 0
    with opened.open_input_stream(key, compression=None) as rows, Path(path).open("wb") as file:
        while chunk := rows.read(_CHUNK):
            file.write(chunk)
            size += len(chunk)
            watch()
            if time.monotonic() > until:
                raise SourceUnavailable(
                    f"{part.name} was not here within {link.timeout_s:g} s; read less, or raise"
                    " SOURCE_TIME_LIMIT_SECONDS."
                )
    info = opened.get_file_info(key)
    if info.type != FileType.File:
        raise SourceFileGone(part.name)
    if size != part.size or _part(part.name, info) != part:
        raise SourceUnavailable(
            f"{part.name} changed while it was read; nothing of it was taken, and a run is tried"
            " again.",
            connection=link.name,
        )


class _Why(NamedTuple):
    """What the storage's word for an error means, and whether asking again may help."""

    words: str
    is_refusal: bool = True


#: In the order they are looked for in what the client says.
_WHYS = {
    "NO_SUCH_BUCKET": _Why("there is no such bucket"),
    "NO_SUCH_KEY": _Why("an object is gone", is_refusal=False),
    "INVALID_ACCESS_KEY_ID": _Why("the storage does not know its access key"),
    "SIGNATURE_DOES_NOT_MATCH": _Why("its secret key is not that of its access key"),
    "ACCESS_DENIED": _Why("its keys may not read that"),
    "HTTP status 403": _Why("its keys may not read that"),
    "HTTP status 301": _Why("the bucket is in another region; say which (`region`)"),
    "SLOW_DOWN": _Why("the storage is asked too much", is_refusal=False),
    "HTTP status 503": _Why("the storage is asked too much, or down", is_refusal=False),
}


@contextmanager
def _told(link: Link) -> Iterator[None]:
    """Let what the client raises out in our words: its own name the bucket and the request."""
    try:
        yield
    except FileNotFoundError as exc:
        said = str(exc)
        if "bucket" in said.lower():
            raise _error(link, _WHYS["NO_SUCH_BUCKET"]) from None
        raise _error(link, _WHYS["NO_SUCH_KEY"]) from None
    except OSError as exc:
        why = next((why for word, why in _WHYS.items() if word in str(exc)), None)
        raise _error(link, why or _Why("the storage does not answer", is_refusal=False)) from None


def _error(link: Link, why: _Why) -> AssayError:
    kind = SourceRefused if why.is_refusal else SourceUnavailable
    return kind(f"connection {link.name}: {why.words}.", connection=link.name)
