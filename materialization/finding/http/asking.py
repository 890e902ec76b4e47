"""Requests to the one address of a connection, one after the other, and answers into files.

Not for what an answer says (``answers``) or which is asked for next (``pages``). No redirect is
followed, no proxy of our environment is used, and no message has a secret, a parameter's value or
what a server wrote.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

from urllib3.exceptions import HTTPError, NewConnectionError, SSLError

from materialization.errors import TRY_AGAIN, SourceRefused, SourceTooLarge, SourceUnavailable
from materialization.finding.http.bodies import PIECE_BYTES, BadBody, decoded
from materialization.finding.http.line import let_go, line_to, login_of, unlogged, with_login
from materialization.finding.http.waiting import Again, Turns, wait_asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from urllib3.response import BaseHTTPResponse

    from materialization.finding.links import Link
    from registry.spec.connections import HttpConnection

_T = TypeVar("_T")
#: How often one page is asked for, all in all, and the longest a server may have us wait.
TRIES, LONGEST_WAIT_S = 6, 60.0
_TRIED_AGAIN = frozenset({429, 502, 503, 504})
_OURS = "whoever runs Assay"
_SEE_PATH = "compare `path` and `params` with what its documentation says"
#: Status → what it means, and what to do.
_REFUSED = {
    401: (
        "the server takes no log-in with the connection's token",
        f"{_OURS} gives the connection another secret",
    ),
    403: ("the server does not let the connection read that", "ask whoever runs it for the right"),
    404: ("the server has nothing there", _SEE_PATH),
    410: ("the server has nothing there any more", _SEE_PATH),
}
_NOT_TAKEN = ("the server does not take what it is asked", _SEE_PATH)


class Saved(NamedTuple):
    """An answer that is in a file: its headers, and whether there was more than was wanted."""

    headers: Mapping[str, str]
    is_cut: bool


class Answered(NamedTuple):
    """An answer whatever it is; of a longer body the beginning."""

    status: int
    body: bytes


class Asking:
    """An open line to a connection's server; another thread may ``stop`` it at any time."""

    def __init__(
        self, link: Link, words: str, *, tries: int = TRIES, patience_s: float | None = None
    ) -> None:
        self._link, self._words, self._tries = link, words, tries
        self._to = cast("HttpConnection", link.connection)
        self._stopped = threading.Event()
        self._sockets: list[socket.socket] = []
        self._pool = line_to(link, self._sockets, patience_s)
        self._headers, self._login = login_of(link)

    def stop(self) -> None:
        """End what is on its way; it fails in the thread that waits for it."""
        self._stopped.set()
        for each in tuple(self._sockets):
            with suppress(OSError):  # it has just ended
                each.shutdown(socket.SHUT_RDWR)

    def require_going(self) -> None:
        """:raises SourceUnavailable: somebody stopped it."""
        self._rest(0)

    def close(self) -> None:
        self._pool.close()
        let_go(self._sockets)

    def status(self, target: str) -> int:
        """Return what it answers, whatever that is."""
        return self._tried(lambda: self._status(target))

    def answer(self, target: str, *, most_bytes: int) -> Answered:
        """Return what it answers, whatever that is, and of its body so much."""
        return self._tried(lambda: self._answered(target, most_bytes))

    def look(self, target: str) -> Mapping[str, str]:
        """Ask, and read the headers of the answer alone."""
        return self._tried(lambda: self._look(target))

    def save(self, target: str, path: str, *, most_bytes: int, may_cut: bool = False) -> Saved:
        """Write an answer into a file, as JSON that nothing compresses.

        :raises SourceRefused, SourceUnavailable, SourceTooLarge: there is none; says why.
        """
        return self._tried(lambda: self._save(target, path, most_bytes, may_cut))

    def _status(self, target: str) -> int:
        with self._opened(target) as answer:
            return int(answer.status)

    def _answered(self, target: str, most_bytes: int) -> Answered:
        body = b""
        with self._opened(target) as answer:
            encoding = answer.headers.get("Content-Encoding", "")
            try:
                for piece in decoded(self._pieces(answer), encoding):
                    body += piece
                    if len(body) >= most_bytes:
                        break
            except BadBody as exc:
                raise Again(self._unavailable(f"an answer {exc}")) from None
            return Answered(int(answer.status), body[:most_bytes])

    def _look(self, target: str) -> Mapping[str, str]:
        with self._answer(target) as answer:
            return answer.headers

    def _save(self, target: str, path: str, most_bytes: int, may_cut: bool) -> Saved:
        size = 0
        with self._answer(target) as answer, Path(path).open("wb") as file:
            encoding = answer.headers.get("Content-Encoding", "")
            try:
                for piece in decoded(self._pieces(answer), encoding):
                    size += len(piece)
                    if size > most_bytes and may_cut:
                        file.write(piece[: most_bytes - size])
                        return Saved(answer.headers, is_cut=True)
                    if size > most_bytes:
                        raise too_large(self._words, self._link)
                    file.write(piece)
            except BadBody as exc:
                raise Again(self._unavailable(f"an answer {exc}")) from None
            return Saved(answer.headers, is_cut=False)

    def _pieces(self, answer: BaseHTTPResponse) -> Iterator[bytes]:
        """Yield what arrives as it arrives: a server that drips is looked at for each drop."""
        while piece := answer.read1(PIECE_BYTES, decode_content=False):
            yield piece

    def _tried(self, once: Callable[[], _T]) -> _T:
        for tried in itertools.count(1):
            try:
                return once()
            except Again as again:
                wait = again.wait_s(tried)
                if tried >= self._tries or wait > LONGEST_WAIT_S:
                    raise again.error from None
                self._rest(wait)
        raise AssertionError

    def _rest(self, seconds: float) -> None:
        if self._stopped.is_set() or (seconds and self._stopped.wait(seconds)):
            raise self._unavailable("it was stopped")

    @contextmanager
    def _answer(self, target: str) -> Iterator[BaseHTTPResponse]:
        """Give an answer that has JSON.

        :raises Again, SourceRefused: there is none; says why.
        """
        with self._opened(target) as answer:
            self._require_success(answer)
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            if kind and not (kind in ("application/json", "text/json") or kind.endswith("+json")):
                why = f"it answers with {kind[:80]!r}, which is no JSON"
                raise self._refused(why, step=_SEE_PATH)
            yield answer

    @contextmanager
    def _opened(self, target: str) -> Iterator[BaseHTTPResponse]:
        self._rest(Turns.of(self._to.identity).take(self._to.requests_per_second))
        try:
            with unlogged():
                answer = self._pool.request(
                    "GET",
                    with_login(target, self._login),
                    headers=self._headers,
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    decode_content=False,
                )
            try:
                yield answer
            finally:
                answer.close()
                answer.release_conn()
        except SSLError:
            raise self._unavailable(
                "its certificate is not one that the connection trusts, or it speaks no TLS",
                step=f"{_OURS} corrects `url`, or names in `ca_file` who signed the certificate",
            ) from None
        except NewConnectionError:
            raise Again(self._unavailable("the server does not answer")) from None
        except (HTTPError, OSError):
            why = "the server does not answer, or stopped in the middle"
            raise Again(self._unavailable(why)) from None

    def _require_success(self, answer: BaseHTTPResponse) -> None:
        status = int(answer.status)
        if status == 200:
            return
        if status in _TRIED_AGAIN:
            asked = wait_asked(answer.headers, now=time.time())
            longer = asked is not None and asked > LONGEST_WAIT_S
            why = f" and asks to wait {asked:,.0f} s" if longer else ""
            raise Again(self._unavailable(f"the server answers {status}{why}"), asked)
        if status < 300:
            why = f"the server answers {status}, and rows come with a 200"
            raise self._refused(why, step=_SEE_PATH)
        if status < 400:
            raise self._refused(
                f"the server sends elsewhere ({status}){_elsewhere(answer)}",
                step="redirects are not followed: let whoever runs the server point the connection"
                " there, or correct the path",
            )
        if status >= 500:
            raise self._unavailable(f"the server answers {status}")
        why, step = _REFUSED.get(status, _NOT_TAKEN)
        raise self._refused(f"{why} ({status})", step=step)

    def _refused(self, why: str, *, step: str) -> SourceRefused:
        return SourceRefused(f"{self._words}: {why}", step=step)

    def _unavailable(self, why: str, *, step: str = TRY_AGAIN) -> SourceUnavailable:
        return SourceUnavailable(f"{self._words}: {why}", step=step, connection=self._link.name)


def _elsewhere(answer: BaseHTTPResponse) -> str:
    """Say to which server, if that can be read; an address may have a secret in the rest."""
    try:
        host = urlsplit(answer.headers.get("Location", "")).hostname or ""
    except ValueError:
        return ""
    return f", to {host[:100]}" if host.isprintable() and host else ""


def too_large(words: str, link: Link) -> SourceTooLarge:
    return SourceTooLarge(
        f"{words} has more than {link.most_bytes >> 20:,} MB to read at once; read less of it, or"
        " raise SOURCE_STAGING_MB."
    )
