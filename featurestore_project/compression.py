"""Answers of the API compressed with gzip, where the caller takes it and it is worth its time.

Not for requests (``lib.bodies``), nor for files: those are sent from the disk as they are, and who
makes one for an answer compresses it there (``serving.historical``). Pages are left alone: they
show secrets of a form beside what somebody else may have put there.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from lib.accepting import takes
from lib.content_codings import COMPRESSED, LEVEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Environ = dict[str, Any]
    StartResponse = Callable[..., Any]
    Application = Callable[[Environ, StartResponse], Iterable[bytes]]

_GZIP_WINDOW = 31


class Compressed:
    """A WSGI application around another; answers of less than ``least`` bytes stay as they are.

    With a ``least`` of 0 all do. What is made while it is sent is compressed whatever its length.
    """

    def __init__(self, application: Application, *, least: int) -> None:
        self._application, self._least = application, least

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        wanted = environ.get("HTTP_ACCEPT_ENCODING", "")
        is_ours = self._least and environ.get("PATH_INFO", "").startswith("/api/")
        if not wanted or not is_ours or not takes(wanted, "gzip"):
            return self._application(environ, start_response)
        said: list[Any] = []

        def start(*arguments: Any) -> None:
            said[:] = arguments

        parts = self._application(environ, start)
        status, headers, *rest = said
        named = {name.lower(): value for name, value in headers}
        if _is_made_on_the_way(parts, named):
            start_response(status, _coded(headers), *rest)
            return _OnTheWay(parts)
        if not _is_compressible(parts, named, least=self._least):
            start_response(status, headers, *rest)
            return parts
        body = _gzipped(parts)
        start_response(status, [*_coded(headers), ("Content-Length", str(len(body)))], *rest)
        return [body]


class _OnTheWay:
    """An answer that is made while it is sent, compressed as it comes."""

    def __init__(self, parts: Any) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[bytes]:
        return _pressed(self._parts)

    def close(self) -> None:
        self._parts.close()


def _is_made_on_the_way(parts: Any, named: dict[str, str]) -> bool:
    """Tell whether an answer, of a kind that gets smaller, is made while it is sent."""
    is_made = getattr(parts, "streaming", False) and "content-length" not in named
    return is_made and _kind(named) in COMPRESSED and "content-encoding" not in named


def _is_compressible(parts: Any, named: dict[str, str], *, least: int) -> bool:
    """Tell whether an answer is whole in memory, of a kind that gets smaller, and large."""
    if not (isinstance(parts, list) or getattr(parts, "streaming", True) is False):
        return False
    length = named.get("content-length", "")
    is_large = length.isdecimal() and int(length) >= least
    return is_large and _kind(named) in COMPRESSED and "content-encoding" not in named


def _kind(named: dict[str, str]) -> str:
    return named.get("content-type", "").partition(";")[0]


def _gzipped(parts: Iterable[bytes]) -> bytes:
    """Return the parts as one gzip, and end what gave them."""
    try:
        return b"".join(_pressed(parts))
    finally:
        if close := getattr(parts, "close", None):
            close()


def _pressed(parts: Iterable[bytes]) -> Iterator[bytes]:
    press = zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP_WINDOW)
    yield from filter(None, map(press.compress, parts))
    yield press.flush()


def _coded(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the headers of the compressed answer: no length, and no longer the same bytes."""
    kept = [(name, value) for name, value in headers if name.lower() != "content-length"]
    kept = [(n, f"W/{v}" if n.lower() == "etag" and v[:2] != "W/" else v) for n, v in kept]
    return [*kept, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")]
