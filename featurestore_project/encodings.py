"""The form of a request's text: UTF-8 as it is, or a refusal before anything reads it.

Not for media types: each door knows its own. Django would read query and forms in whatever codec
of Python a request names, ``rot13`` included, and compressed bodies as if they were not; the API's
own doors read gzip (``lib.bodies``).
"""

from __future__ import annotations

import codecs
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.utils.http import parse_header_parameters

from featurestore_project.problem import problem
from lib.content_codings import is_coded, refusal
from lib.errors import SHOWN_LENGTH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Environ = dict[str, Any]
    StartResponse = Callable[..., Any]
    Application = Callable[[Environ, StartResponse], Iterable[bytes]]

#: Codecs as Python names them; ASCII is a part of UTF-8.
_PLAIN = {"utf-8", "ascii"}


class PlainUtf8:
    """A WSGI application in front of another: 415 for other encodings, of text and of bodies."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        why = _coding_refusal(environ) if "HTTP_CONTENT_ENCODING" in environ else ""
        why = why or _charset_refusal(environ.get("CONTENT_TYPE", ""))
        if not why:
            return self._application(environ, start_response)
        answer = problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", why)
        start_response(f"{answer.status_code} {answer.reason_phrase}", list(answer.items()))
        return [answer.content]


def _coding_refusal(environ: Environ) -> str:
    """Return why a compressed body is not read; empty where it is, or is as it was.

    Forms of pages are Django's to read, which takes them as they come.
    """
    coding = environ.get("HTTP_CONTENT_ENCODING", "")
    if is_coded(coding) and not environ.get("PATH_INFO", "").startswith("/api/"):
        shown = coding[:SHOWN_LENGTH]
        return f"Content-Encoding {shown!r}: forms are read as they are; send it uncompressed."
    return refusal(coding)


def _charset_refusal(content_type: str) -> str:
    """Return why text of that ``Content-Type`` is not read; empty where it is."""
    if "charset" not in content_type.lower():
        return ""
    charset = _charset(content_type)
    if charset == "" or _codec(charset) in _PLAIN:
        return ""
    shown = (charset or content_type)[:SHOWN_LENGTH]
    return f"charset {shown!r}: text is read as UTF-8; send it so, and say charset=utf-8 or none."


def _charset(content_type: str) -> str | None:
    """Return the charset as Django finds it; None in what it cannot read."""
    try:
        _, parameters = parse_header_parameters(content_type)
    except ValueError:
        return None
    return str(parameters.get("charset", ""))


def _codec(charset: str | None) -> str:
    """Return the name of Python's codec; empty where there is none."""
    try:
        return codecs.lookup(charset or "").name
    except (LookupError, ValueError):
        return ""
