"""Storage that is S3-compatible as it is opened, and what its errors mean in our words.

Not for what is looked for there (``bucket_listing``) or read (``bucket``).
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, cast
from urllib.parse import urlsplit

from pyarrow.fs import AwsStandardS3RetryStrategy, FileType, S3FileSystem

from materialization.errors import SourceRefused, SourceUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.errors import AssayError
    from materialization.finding.links import Link
    from registry.spec.connections import S3Connection

#: Seconds until storage that does not answer, or stopped to, counts as gone; and how often it is
#: asked again, as storage that is asked too much wants to be.
_CONNECT_SECONDS, _SILENT_SECONDS, _ATTEMPTS = 10, 30, 4


def opened(link: Link) -> S3FileSystem:
    """Return the storage, which is asked once where somebody waits and again otherwise."""
    to = cast("S3Connection", link.connection)
    address = urlsplit(to.endpoint)
    path_style = bool(to.endpoint) if to.path_style is None else to.path_style
    is_hurried = link.timeout_s <= _SILENT_SECONDS
    keys = {}
    if to.access_key_id:
        keys = {"access_key": to.access_key_id, "secret_key": link.secret()}
    return S3FileSystem(
        **keys,
        region=to.region,
        scheme=address.scheme or "https",
        endpoint_override=address.netloc or None,
        force_virtual_addressing=not path_style,
        connect_timeout=min(_CONNECT_SECONDS, link.timeout_s / 2),
        request_timeout=min(_SILENT_SECONDS, link.timeout_s / 2),
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=1 if is_hurried else _ATTEMPTS),
    )


def base_of(to: S3Connection) -> str:
    return "/".join(filter(None, (to.bucket, to.prefix.strip("/"))))


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


#: How the client says an error, after what was asked: the names of keys are no part of it.
_SAID = re.compile(r"bucket '[^']*': AWS Error (\w+)(?: \((HTTP status \d+)\))?")


@contextmanager
def told(link: Link) -> Iterator[None]:
    """Let what the client raises out in our words: its own name the bucket and the request.

    Not for what is written here: that is no fault of the storage.
    """
    try:
        yield
    except FileNotFoundError:
        raise _error(link, _WHYS["NO_SUCH_KEY"]) from None
    except OSError as exc:
        said = _SAID.search(str(exc))
        words = [] if said is None else [word for word in said.groups() if word]
        why = next((why for word, why in _WHYS.items() if word in words), None)
        raise _error(link, why or _Why("the storage does not answer", is_refusal=False)) from None


def require_bucket(storage: S3FileSystem, link: Link) -> None:
    """:raises SourceRefused: a bucket that is not there has no objects either."""
    bucket = cast("S3Connection", link.connection).bucket
    with told(link):
        is_there = storage.get_file_info(bucket).type != FileType.NotFound
    if not is_there:
        raise _error(link, _WHYS["NO_SUCH_BUCKET"])


def _error(link: Link, why: _Why) -> AssayError:
    kind = SourceRefused if why.is_refusal else SourceUnavailable
    return kind(f"connection {link.name}: {why.words}.", connection=link.name)
