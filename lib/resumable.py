"""Files as answers that can be gone on with: who has a part of one asks for the rest (RFC 9110).

Not for which file it is, or who may have it: a view says that before. Not for files that are made
for one answer (``sent_files``).
"""

from __future__ import annotations

import hashlib
import io
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from django.http import FileResponse, HttpResponse
from django.utils.http import content_disposition_header

from lib.errors import Invalid
from lib.sent_files import PartOfFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http.response import HttpResponseBase

#: One range of bytes; several at once, and other units, are answered with the whole file.
_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.IGNORECASE)
_TAGS = re.compile(r'(?:W/)?("[^"]*")')


class RangeNotSatisfiable(Invalid):
    """A part was asked for that begins behind the end; ``size`` is where that is."""

    code = "range_not_satisfiable"


class Part(NamedTuple):
    """Bytes of a file from ``start`` to before ``end``."""

    start: int
    end: int


def resumable(
    headers: Mapping[str, str], file: BinaryIO, *, mark: str, name: str, content_type: str
) -> HttpResponseBase:
    """Answer a request with its ``headers`` by ``file``, or by the part of it that is asked for.

    ``mark`` names these bytes and no others, ``name`` is what whoever saves it calls it. The answer
    closes the file.

    :raises RangeNotSatisfiable: there is no such part.
    """
    try:
        return _answer(headers, file, _tag(mark), name, content_type)
    except BaseException:
        file.close()
        raise


def head_of(
    headers: Mapping[str, str], *, size: int, mark: str, name: str, content_type: str
) -> HttpResponse:
    """Answer HEAD as ``resumable`` answers GET, by what is known of the file: none is opened.

    A part is asked for by GET alone (RFC 9110), so this is always of the whole file.
    """
    tag = _tag(mark)
    if _has_it(headers, tag):
        return _not_modified(tag)
    said = {
        "Content-Length": str(size),
        "Content-Disposition": content_disposition_header(True, name) or "",
        "Accept-Ranges": "bytes",
        "ETag": tag,
    }
    return HttpResponse(content_type=content_type, headers=said)


def _answer(
    headers: Mapping[str, str], file: BinaryIO, tag: str, name: str, content_type: str
) -> HttpResponseBase:
    if _has_it(headers, tag):
        file.close()
        return _not_modified(tag)
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    part = asked_part(headers, tag, size)
    body = PartOfFile(file, part.start, part.end) if part else file
    response = FileResponse(body, as_attachment=True, filename=name, content_type=content_type)
    if part is not None:
        response.status_code = HTTPStatus.PARTIAL_CONTENT
        response["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{size}"
        response["Content-Length"] = str(part.end - part.start)
    response["Accept-Ranges"] = "bytes"
    response["ETag"] = tag
    return response


def _not_modified(tag: str) -> HttpResponse:
    return HttpResponse(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag})


def begins_at(response: HttpResponseBase) -> int | None:
    """Return at which byte of its file an answer of ``resumable`` begins; None: it has none."""
    if response.status_code == HTTPStatus.NOT_MODIFIED:
        return None
    said = response.headers.get("Content-Range", "bytes 0-")
    return int(said.removeprefix("bytes ").partition("-")[0])


def asked_part(headers: Mapping[str, str], tag: str, size: int) -> Part | None:
    """Return the part that a request asks for; None: all of it.

    With ``If-Range`` a part is only given of the file that the other parts were of.

    :raises RangeNotSatisfiable: it begins behind the end.
    """
    found = _RANGE.fullmatch(headers.get("Range", ""))
    if found is None or not any(found.groups()):
        return None
    if headers.get("If-Range", tag).strip() != tag:
        return None
    first, last = found.groups()
    if not first:  # the last so many bytes
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None  # as RFC 9110 has it: what is no range is not there
    if start >= size or start >= end:
        raise RangeNotSatisfiable(
            f"Range: the file has {size} bytes, and none from {start} on; leave Range out.",
            size=size,
        )
    return Part(start, end)


def _has_it(headers: Mapping[str, str], tag: str) -> bool:
    said = headers.get("If-None-Match", "")
    return said.strip() == "*" or tag in _TAGS.findall(said)


def _tag(mark: str) -> str:
    """Return the strong ETag of bytes: nothing of what names them can be read in it."""
    return f'"{hashlib.sha256(mark.encode()).hexdigest()[:32]}"'
