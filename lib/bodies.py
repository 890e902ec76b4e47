"""Request bodies: read up to a limit, and a small JSON object where one is sent.

Not for what a body means: each door knows its own.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import msgspec
from django.conf import settings
from rest_framework.parsers import BaseParser

from lib.errors import Invalid, TooLarge
from lib.json_bodies import MAX_DEPTH, UNREADABLE, is_too_deep, why_unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.http import HttpRequest
    from rest_framework.request import Request

#: Bytes of a body that holds a comment, a few names or instants.
SMALL_BODY = 100_000


class BadBody(Invalid):
    code = "invalid_body"


class BodyTooLarge(TooLarge):
    code = "body_too_large"


class LooseJsonParser(BaseParser):
    """A small JSON object or nothing at all, which counts as ``{}``."""

    media_type = "*/*"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        raw = read_limited(stream, SMALL_BODY)
        return json_object(raw) if raw.strip() else {}


def json_object(raw: bytes) -> dict[str, Any]:
    """Return the object a body holds.

    :raises BadBody: it is not JSON, no object, or nested too deeply.
    """
    try:
        body = msgspec.json.decode(raw)
    except UNREADABLE as exc:
        raise BadBody(f"the body is not valid JSON: {why_unreadable(exc)}.") from exc
    if not isinstance(body, dict):
        raise BadBody("the body is a JSON object.")
    if is_too_deep(body):
        raise BadBody(f"the body is nested deeper than {MAX_DEPTH} levels.")
    return body


def read_limited(stream: IO[bytes], limit: int) -> bytes:
    """Read a body of at most ``limit`` bytes.

    :raises BodyTooLarge: there is more; the rest is left unread.
    """
    raw = stream.read(limit + 1)
    if len(raw) > limit:
        raise BodyTooLarge(f"the body has more than {limit} bytes; send it in parts.", limit=limit)
    return raw


def check_length(request: HttpRequest | Request, setting: str, advice: str) -> None:
    """Refuse a body by its announced length, before any of it is read.

    ``setting`` names the limit in bytes. :raises BodyTooLarge: says both and ``advice``.
    """
    length, most = request.META.get("CONTENT_LENGTH") or "0", getattr(settings, setting)
    if length.isdecimal() and int(length) > most:
        raise BodyTooLarge(
            f"the body has {length} bytes; at most {most} ({setting}). {advice}",
            limit=most,
            setting=setting,
        )
