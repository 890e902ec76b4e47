"""What is right in a folder of a bucket, a page of names at a time: one may have ten million.

The client that reads objects gives a folder whole, so pages are asked for by signed requests;
where a connection has no key of its own (its machine's is taken) the client gives what there is.
Not for which of the names are wanted (``bucket_listing``).
"""

from __future__ import annotations

import time
import urllib.error
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

from pyarrow.fs import FileInfo, FileSelector, FileType

from materialization.errors import SourceUnavailable
from materialization.finding.bucket_storage import told, told_as
from materialization.stores.s3 import SILENT, bucket_of, why_of_status
from materialization.stores.signing import ask, signed_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyarrow.fs import S3FileSystem

    from materialization.finding.links import Link

#: How often a page is asked for where nobody waits, and seconds before the second time.
_ATTEMPTS, _PAUSE = 4, 0.2
_SECONDS, _MOST_BYTES = 300, 16 << 20
#: How many names are asked for at a time; storage gives no more.
PAGE = 1000


def names_in(
    storage: S3FileSystem, link: Link, folder: str, *, watch: Callable[[], None]
) -> Iterator[FileInfo]:
    """Yield the objects and the folders right in a folder, by their paths; none: it is not there.

    ``watch`` is called before each further page: a page may have no name.

    :raises SourceUnavailable, SourceRefused: the storage does not answer, or refuses.
    """
    if not bucket_of(link).access_key_id:
        with told(link):
            yield from storage.get_file_info(FileSelector(folder, allow_not_found=True))
        return
    token = ""
    while True:
        page = _page(link, folder, token)
        yield from _infos(page, folder)
        token = _text(page, "NextContinuationToken")
        if not token:
            return
        watch()


def _page(link: Link, folder: str, token: str) -> ET.Element:
    query = {
        "list-type": "2", "delimiter": "/", "prefix": _prefix(folder), "max-keys": str(PAGE),
        "encoding-type": "url",  # a key may have characters that XML has not
    }  # fmt: skip
    if token:
        query["continuation-token"] = token
    attempts = 1 if link.timeout_s <= _SECONDS / 10 else _ATTEMPTS
    for attempt in range(1, attempts + 1):
        try:
            return _asked(link, query)
        except SourceUnavailable:
            if attempt == attempts:
                raise
            time.sleep(_PAUSE * 2**attempt)
    raise AssertionError("the last attempt raises")


def _asked(link: Link, query: dict[str, str]) -> ET.Element:
    to, now = bucket_of(link), datetime.now(UTC)
    url = signed_url(to, link.secret(), "", method="GET", at=now, seconds=_SECONDS, query=query)
    try:
        body = ask(url, method="GET", timeout=min(30.0, link.timeout_s / 2), most_bytes=_MOST_BYTES)
    except urllib.error.HTTPError as exc:
        said = exc.read(_MOST_BYTES >> 8).decode(errors="replace")
        raise told_as(link, why_of_status(exc.code, said)) from None
    except OSError:
        raise told_as(link, SILENT) from None
    try:
        return ET.fromstring(body)  # noqa: S314 - of the storage that the operator named
    except ET.ParseError:
        raise told_as(link, SILENT) from None


def _infos(page: ET.Element, folder: str) -> Iterator[FileInfo]:
    """Yield what has a name of its own in the folder; ``a//b`` has none."""
    bucket, prefix = folder.partition("/")[0], _prefix(folder)
    plain = unquote_plus if _text(page, "EncodingType") == "url" else str
    for each in page:
        kind = _tag(each)
        if kind == "CommonPrefixes":
            name = plain(_text(each, "Prefix")).removeprefix(prefix).removesuffix("/")
            if name and not name.endswith("/"):
                yield FileInfo(f"{folder}/{name}", FileType.Directory)
        elif kind == "Contents" and not (key := plain(_text(each, "Key"))).endswith("/"):
            changed = datetime.fromisoformat(_text(each, "LastModified"))
            size = int(_text(each, "Size"))
            yield FileInfo(f"{bucket}/{key}", FileType.File, mtime=changed, size=size)


def _prefix(folder: str) -> str:
    """Return what the keys of objects in a folder begin with."""
    key = folder.partition("/")[2]
    return f"{key}/" if key else ""


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: ET.Element, name: str) -> str:
    return next((each.text or "" for each in element if _tag(each) == name), "")
