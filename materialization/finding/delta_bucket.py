"""A Delta table in a bucket of S3-compatible storage: its log read there, its files copied.

Not for what a log says (``delta_log``) or for objects that are no table's (``bucket``).
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast
from urllib.parse import quote, unquote, urlsplit

from pyarrow.fs import FileInfo, FileSelector, FileType

from materialization.errors import (
    SourceFileMissing,
    SourceFileUnsupported,
    SourceOutsideRoots,
    SourceRefused,
    SourceUnreadable,
)
from materialization.finding.bucket_listing import segments_of
from materialization.finding.bucket_storage import (
    base_of,
    opened,
    refusal_in,
    require_bucket,
    table_options,
    told,
)
from materialization.finding.delta_log import LOG, reading
from materialization.stores.delta_files import unusable_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from materialization.finding.links import Link
    from materialization.sources.inputs import Part
    from registry.spec.connections import S3Connection
    from registry.spec.sources.delta import DeltaSource

#: What the library would send with the key of a connection, though it belongs to another.
_OTHERS = "AWS_SESSION_TOKEN"


class BucketPlace:
    """What each method promises stands in ``delta_log.Place``; a file is read by its name.

    :raises SourceFileMissing: there is no table.
    :raises SourceRefused, SourceUnavailable: the storage refuses, or does not answer.
    """

    def __init__(self, source: DeltaSource, link: Link) -> None:
        to = cast("S3Connection", link.connection)
        self.said = f"the Delta table {source.path!r} of the connection {link.name}"
        self._link, self._to, self._base = link, to, base_of(to)
        self._table = "/".join((self._base, *segments_of(source.path)))
        if (unusable := unusable_in(self._table)) is not None:
            raise SourceFileUnsupported(
                f"{self.said} cannot be read under a path with {unusable!r}; write it to one"
                " without."
            )
        if to.access_key_id and _OTHERS in os.environ:
            raise SourceRefused(
                f"connection {link.name}: the server's environment has {_OTHERS}, which does not"
                " belong to the connection's key; whoever runs the server takes it out, or leaves"
                " the key to the environment.",
                connection=link.name,
            )
        self.address = f"s3://{quote(self._table)}"
        self.options: dict[str, str] | None = table_options(link)
        self._require_log(source)

    def _require_log(self, source: DeltaSource) -> None:
        storage = opened(self._link)
        require_bucket(storage, self._link)
        with told(self._link):
            log = storage.get_file_info(f"{self._table}/{LOG}")
        if log.type != FileType.Directory:
            raise SourceFileMissing(
                f"there is no Delta table at {source.path!r} by the connection {self._link.name}: a"
                f" table's folder has a folder {LOG}; check the path, which begins where the"
                " connection leads.",
                path=source.path,
            )

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Say nothing of what the library says of the storage: it quotes addresses."""
        try:
            with reading(self.said):
                yield
        except SourceUnreadable as exc:
            if (error := refusal_in(str(exc.__cause__), self._link)) is not None:
                raise error from None
            if "%25" in exc.message:  # its path was encoded twice
                raise SourceFileUnsupported(
                    f"{self.said} has deletion vectors in files of their own, which are not found"
                    " under a path with spaces or signs; write it to one of letters and digits, or"
                    " purge the deleted rows (REORG TABLE … APPLY (PURGE))."
                ) from None
            if self._to.bucket in exc.message:
                raise SourceUnreadable(
                    f"the log of {self.said} cannot be read; have the table repaired, or name a"
                    " `table_version` whose log is whole."
                ) from None
            raise

    def begins(self) -> datetime | None:
        with told(self._link):
            inside = opened(self._link).get_file_info(FileSelector(f"{self._table}/{LOG}"))
        entries = [each for each in inside if _is_entry(each)]
        oldest = min(entries, key=lambda each: each.base_name, default=None)
        return oldest and datetime.fromtimestamp(oldest.mtime_ns / 1e9, UTC)

    def file_named(self, uri: str) -> str:
        return self._name(unquote(uri.removeprefix("s3://")))

    def file(self, path: str, version: int) -> tuple[str, str]:
        """Whether it is there is found when it is copied; see ``delta_log.Place``."""
        parts = urlsplit(path)
        key = unquote(path if not parts.scheme else f"{parts.netloc}{parts.path}")
        key = key if parts.scheme else f"{self._table}/{key}"
        is_here = parts.scheme in ("", "s3", "s3a") and key.startswith(f"{self._base}/")
        if not is_here or not {"", ".", ".."}.isdisjoint(key.split("/")):
            raise SourceOutsideRoots(
                f"{self.said} has files elsewhere, as {path[:200]}; copy the whole table."
            )
        return self._name(key), self._name(key)

    def _name(self, key: str) -> str:
        """Return what an object is called: after the connection, never by its bucket."""
        return f"{self._link.name}/{key.removeprefix(f'{self._base}/')}"


def _is_entry(info: FileInfo) -> bool:
    stem, _, ending = info.base_name.partition(".")
    return bool(stem.isdigit() and ending == "json")


def is_as_logged(part: Part, info: FileInfo) -> bool:
    """Return whether an object is what the log says of it; nobody writes to one of a table."""
    return bool(info.size == part.size)
