"""Files in a bucket of S3-compatible storage: which there are, and copies of those a job reads.

Not for files on our own disk (``sources.files``), whose rules for names hold here too.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, cast

from pyarrow.fs import FileInfo

from materialization.errors import (
    SourceFileEmpty,
    SourceFileMissing,
    SourceFileUnsupported,
)
from materialization.finding.bucket_listing import Listing, segments_of
from materialization.finding.bucket_storage import opened, require_bucket, told
from materialization.finding.copying import copied
from materialization.finding.fetching import Fetched
from materialization.sources.files import ending_of, partitions_of
from materialization.sources.inputs import LinkedRows, Part
from materialization.sources.walking import is_wild
from registry.spec.sources.files import ENDINGS, file_format

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from materialization.finding.fetching import Wanted
    from materialization.finding.links import Link
    from registry.spec.sources.files import BucketSource, FormatName


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
        form = _format_of(parts)
        here = copied(parts, wanted, folder, watch, link, is_same=_is_same, form=form)
        source = cast("BucketSource", rows.source)
        found = {name: partitions_of(_matched_folders(source.path, name)) for name in here.files}
        partitions = {name: said for name, said in found.items() if said}
        return Fetched(here.files, form, partitions=partitions, is_part=here.is_part)


def _is_same(part: Part, info: FileInfo) -> bool:
    return _part(part.name, info) == part


def _part(name: str, info: FileInfo) -> Part:
    """Return an object as a part. Its time is in seconds: of less some storage tells lists only."""
    seconds = info.mtime_ns // 10**9
    return Part(name, f"{info.size}-{seconds}", float(seconds), info.size)


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
