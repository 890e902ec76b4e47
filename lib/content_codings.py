"""Bodies that were compressed on their way: which codings are read, and gzip undone within a limit.

[pure] Not for reading bodies (``bodies``) nor for text encodings, which are UTF-8.
"""

from __future__ import annotations

import zlib

from lib.errors import SHOWN_LENGTH, Invalid
from lib.media_types import ARROW, CSV, JSON, NDJSON

#: What ``Content-Encoding`` may say; ``x-gzip`` is gzip by RFC 9110.
GZIP = {"gzip", "x-gzip"}
#: The fastest: a level more takes half as long again, for a tenth less.
LEVEL = 1
#: What gets smaller by it; Parquet is compressed already.
COMPRESSED = {JSON, NDJSON, ARROW, CSV, "application/yaml", "application/vnd.oai.openapi"}
#: zlib's word for a gzip header, of any window.
_GZIP_WINDOW = 31


class BadCompression(Invalid):
    code = "invalid_compression"


def is_coded(coding: str) -> bool:
    """Tell whether a body of this ``Content-Encoding`` is another than its bytes."""
    return coding.strip().lower() not in {"", "identity"}


def refusal(coding: str) -> str:
    """Return why a body of that ``Content-Encoding`` is not read; empty where it is."""
    if not is_coded(coding) or coding.strip().lower() in GZIP:
        return ""
    return (
        f"Content-Encoding {coding[:SHOWN_LENGTH]!r} is not read here, nor are several codings."
        " Send the body as gzip or uncompressed."
    )


def gunzipped(raw: bytes, *, limit: int) -> bytes:
    """Return what was compressed, at most one byte more than ``limit``: the rest stays unmade.

    :raises BadCompression: it is no gzip, is damaged, ends before its end or goes on after it.
    """
    member = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = member.decompress(raw, limit + 1)
    except zlib.error as exc:
        raise BadCompression(
            f"Content-Encoding is gzip, and the body is not: {exc}. Send gzip, or leave the header"
            " out."
        ) from exc
    if len(plain) > limit:
        return plain
    if not member.eof:
        raise BadCompression(
            f"the gzip body stops after {len(raw)} bytes before its end. Send all."
        )
    if member.unused_data:  # each of many tiny members would cost a copy of all after it
        raise BadCompression(
            "the body goes on after the end of its gzip. Compress it in one piece."
        )
    return plain
