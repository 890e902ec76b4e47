"""Storage that sources lie in: as it is opened, and what its errors mean of a connection.

Not for what is looked for there (``bucket_listing``) or read (``bucket``).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pyarrow.fs import FileType

from materialization.errors import SourceRefused, SourceUnavailable
from materialization.stores.s3 import (
    NO_BUCKET,
    base_of,
    bucket_of,
    opened,
    table_options,
    why,
    why_of_table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyarrow.fs import S3FileSystem

    from lib.errors import AssayError
    from materialization.finding.links import Link
    from materialization.stores.s3 import Why

__all__ = ["base_of", "opened", "refusal_in", "require_bucket", "table_options", "told", "told_as"]


@contextmanager
def told(link: Link) -> Iterator[None]:
    """Let what the client raises out in our words: its own name the bucket and the request.

    Not for what is written here: that is no fault of the storage.
    """
    try:
        yield
    except OSError as exc:
        raise told_as(link, why(exc)) from None


def require_bucket(storage: S3FileSystem, link: Link) -> None:
    """:raises SourceRefused: a bucket that is not there has no objects either."""
    with told(link):
        is_there = storage.get_file_info(bucket_of(link).bucket).type != FileType.NotFound
    if not is_there:
        raise told_as(link, NO_BUCKET)


def refusal_in(words: str, link: Link) -> AssayError | None:
    """Return what the library for Delta tables means of the storage; None: it means the table."""
    found = why_of_table(words)
    return None if found is None else told_as(link, found)


def told_as(link: Link, why: Why) -> AssayError:
    """Return what a fault of the storage means of a connection."""
    said = f"connection {link.name}: {why.words}"
    if why.is_refusal:
        return SourceRefused(said, step=why.step, connection=link.name)
    return SourceUnavailable(said, step=why.step, connection=link.name)
