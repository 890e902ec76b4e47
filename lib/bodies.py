"""Request bodies: read to their end up to a limit, and a small JSON object where one is sent.

Not for what a body means: each door knows its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from lib.content_codings import gunzipped, is_coded
from lib.decoding import converter
from lib.errors import SHOWN_LENGTH, Invalid, TooLarge, did_you_mean
from lib.json_bodies import MAX_DEPTH, UNREADABLE, decode, is_too_deep, why_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from django.http import HttpRequest
    from rest_framework.request import Request

T = TypeVar("T", bound=msgspec.Struct)
#: Bytes of a body that holds a comment, a few names or instants.
SMALL_BODY = 100_000
#: Bytes asked of the server at a time: a body over its limit is not read much further.
_PIECE = 256 * 1024


class BadBody(Invalid):
    code = "invalid_body"


class BodyTooLarge(TooLarge):
    code = "body_too_large"


class LengthRequired(Invalid):
    """In chunks, a body whose sender broke off looks like one that ended there."""

    code = "length_required"


class Stream(Protocol):
    """What ``wsgi.input`` promises."""

    def read(self, size: int, /) -> bytes: ...


def read_body(
    request: HttpRequest | Request, *, limit: int, setting: str = "", advice: str = ""
) -> bytes:
    """Return the whole body, whether its length is announced or it comes in chunks.

    ``limit`` is in bytes, also of what a body of gzip holds; ``setting`` is what sets it, where
    something does.

    :raises BodyTooLarge: there is more: told by the announced length, else after ``limit`` bytes.
    :raises BadBody: it ended before its announced length.
    :raises BadCompression: it is not the gzip that its ``Content-Encoding`` says.
    """
    http: Any = getattr(request, "_request", request)  # DRF's request wraps Django's
    environ = http.META
    length = announced_length(environ)
    if length is not None and length > limit:
        raise _too_large(f"{length} bytes; at most {limit}", limit, setting, advice)
    if hasattr(http, "_body"):  # a form that was looked through for its CSRF token
        return bytes(http.body)
    if length is None and not is_chunked(environ):
        return b""
    raw = read_up_to(environ["wsgi.input"], limit + 1 if length is None else length)
    if len(raw) > limit:
        raise _too_large(f"more than {limit} bytes", limit, setting, advice)
    if length and not raw and is_coded(environ.get("HTTP_CONTENT_ENCODING", "")):
        raise BadBody(
            "a compressed body is read of callers with a live token or log-in alone: little of it"
            " may be much. Send this one uncompressed."
        )
    if length is not None and len(raw) < length:
        raise BadBody(f"the body ended after {len(raw)} of {length} bytes; send it whole.")
    if not raw or not is_coded(environ.get("HTTP_CONTENT_ENCODING", "")):
        return raw
    plain = gunzipped(raw, limit=limit)
    if len(plain) > limit:
        raise _too_large(f"more than {limit} bytes, once decompressed", limit, setting, advice)
    return plain


def read_up_to(stream: Stream, most: int) -> bytes:
    """Return the next ``most`` bytes, fewer where the body ends before."""
    pieces, wanted = [], most
    while wanted and (piece := stream.read(min(wanted, _PIECE))):
        pieces.append(piece)
        wanted -= len(piece)
    return b"".join(pieces)


def announced_length(environ: Mapping[str, Any]) -> int | None:
    """Return the length of the body in bytes, None where it is not announced.

    :raises BadBody: it is no length.
    """
    text = environ.get("CONTENT_LENGTH") or ""
    if text and not (text.isascii() and text.isdecimal()):
        raise BadBody(f"Content-Length {text[:SHOWN_LENGTH]!r} is not a number of bytes.")
    return int(text) if text else None


def is_chunked(environ: Mapping[str, Any]) -> bool:
    return bool(environ.get("HTTP_TRANSFER_ENCODING"))


def require_length(request: HttpRequest | Request, what: str) -> None:
    """Return if the body's length is announced, as is needed where ``what`` does not say its end.

    :raises LengthRequired: it comes in chunks.
    """
    if is_chunked(request.META):
        raise LengthRequired(
            f"{what} in chunks does not say where it ends: half of it would pass for the whole."
            " Send it with a Content-Length."
        )


def small_object(request: HttpRequest | Request, known: Iterable[str]) -> dict[str, Any]:
    """Return the small JSON object of a body, ``{}`` where there is no body.

    :raises BadBody: as ``json_object``, or it has a key that is not ``known``; names the nearest.
    :raises BodyTooLarge: it is no small one.
    """
    raw = read_body(request, limit=SMALL_BODY)
    body = json_object(raw) if raw.strip() else {}
    names = list(known)
    if unknown := sorted(body.keys() - set(names)):
        key = unknown[0][:SHOWN_LENGTH]
        hint = did_you_mean(key, names) or " This call takes none."
        raise BadBody(f"unknown key {key!r} in the body.{hint}", key=key)
    return body


def body_reader(kind: type[T], like: str) -> Callable[[Request], T]:
    """Return what reads a small JSON body as ``kind``; ``like`` is one in a refusal's words."""
    convert = converter(kind)

    def read(request: Request) -> T:
        try:
            return convert(small_object(request, kind.__struct_fields__))
        except msgspec.ValidationError as exc:
            raise BadBody(f"send {like}: {exc}.") from exc

    return read


def json_object(raw: bytes) -> dict[str, Any]:
    """Return the object a body holds.

    :raises BadBody: it is not JSON, no object, has a key twice, or is nested too deeply.
    """
    try:
        body = decode(raw)
    except UNREADABLE as exc:
        raise BadBody(f"the body is not valid JSON: {why_unreadable(exc)}.") from exc
    if not isinstance(body, dict):
        raise BadBody("the body is a JSON object.")
    if is_too_deep(body):
        raise BadBody(f"the body is nested deeper than {MAX_DEPTH} levels.")
    return body


def _too_large(fact: str, limit: int, setting: str, advice: str) -> BodyTooLarge:
    named = f" ({setting})" if setting else ""
    data = {"setting": setting} if setting else {}
    return BodyTooLarge(
        f"the body has {fact}{named}. {advice or 'Send it in parts.'}", limit=limit, **data
    )
