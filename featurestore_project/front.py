"""The application that granian serves: it reads requests, then gives them to threads by their kind.

The loop answers ``/healthz`` itself and reads bodies, so that neither a silent sender nor slow work
takes a thread that others need. Not for what requests mean: the WSGI application behind it knows.
See docs/decisions/0011.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from featurestore_project.bodies import PATIENCE_SECONDS, SMALL, BodyTooSlow
from featurestore_project.problem import problem, respond
from lib.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from django.http import HttpResponse

    from featurestore_project.bodies import BodyReader
    from lib.pools import Pool

    Environ = dict[str, Any]
    Answer = tuple[int, list[tuple[str, str]], bytes]

logger = logging.getLogger(__name__)

#: Refusals since the process started, by pool: shown by ``/metrics``.
refused: Counter[str] = Counter()
_TOO_SLOW = (
    f"the body did not arrive: nothing in {PATIENCE_SECONDS:.0f} seconds, or too little for its"
    " time. Send it again, faster."
)
ALIVE = b'{"status": "ok"}'


class Busy(Unavailable):
    """All threads of the request's kind are taken, and enough others wait for them."""

    code = "busy"


class Lane:
    """Threads for one kind of requests and a bounded queue in front of them."""

    def __init__(self, pool: Pool, *, threads: int, waiting: int) -> None:
        self._pool, self._most, self._inside = pool, threads + waiting, 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"web-{pool}")

    def check(self) -> None:
        """:raises Busy: there is no place."""
        if self._inside >= self._most:
            refused[self._pool] += 1
            raise Busy(
                f"the server works at as many {self._pool} requests as it can, and {self._most}"
                " are the most that it takes; ask again in a moment.",
                pool=self._pool,
            )

    async def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do the work in a thread, after what came before it.

        :raises Busy: there is no place.
        """
        self.check()
        self._inside += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, work, *arguments)
        finally:
            self._inside -= 1


class Front:
    """An RSGI application (granian's interface) in front of a WSGI one.

    ``pool_of`` (method, path) says whose threads answer; ``is_known`` (headers) whether somebody we
    know asks, of whom alone large bodies are read.
    """

    def __init__(
        self,
        application: Callable[[Environ, Any], Iterable[bytes]],
        *,
        lanes: Mapping[Pool, Lane],
        pool_of: Callable[[str, str], Pool],
        is_known: Callable[[Mapping[str, str]], bool],
        bodies: BodyReader,
    ) -> None:
        self._application, self._lanes, self._pool_of = application, lanes, pool_of
        self._is_known, self._bodies = is_known, bodies

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        if scope.path == "/healthz" and scope.method in {"GET", "HEAD"}:
            protocol.response_bytes(200, [("Content-Type", "application/json")], ALIVE)
            return
        try:
            await self._answer(scope, protocol)
            return
        except BodyTooSlow:
            status, headers, body = _plain(problem(408, "body_too_slow", _TOO_SLOW))
        except Exception as error:  # noqa: BLE001 - the last place that can answer at all
            status, headers, body = _plain(respond(error))
        protocol.response_bytes(status, headers, body)

    async def _answer(self, scope: Any, protocol: Any) -> None:
        lane = self._lanes[self._pool_of(scope.method, scope.path)]
        environ = _environ(scope)
        lane.check()  # before a body is read in vain; while it is read no place is taken
        environ["wsgi.input"] = io.BytesIO(await self._body(environ, lane, protocol))
        await lane.run(_call, self._application, environ, protocol)

    async def _body(self, environ: Environ, lane: Lane, protocol: Any) -> bytes:
        """Return the body; nothing of a large one that nobody we know sends, or over the limit.

        Whoever sends that is refused by what the headers say, before anything is read.
        """
        length = environ.get("CONTENT_LENGTH", "")
        is_chunked = "HTTP_TRANSFER_ENCODING" in environ
        if not is_chunked and (not length.isdecimal() or int(length) == 0):
            return b""
        if is_chunked or int(length) > SMALL:
            may_send = not int(length or 0) > self._bodies.limit and await lane.run(
                self._is_known, environ
            )
            if not may_send:
                return b""
        return await self._bodies.read(aiter(protocol), length=None if is_chunked else int(length))


def _environ(scope: Any) -> Environ:
    """Return a WSGI environment (PEP 3333) of an RSGI scope, without the body."""
    host, _, port = scope.server.rpartition(":")
    client, _, _ = scope.client.rpartition(":")
    environ: Environ = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": host.strip("[]"),
        "SERVER_PORT": port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": client.strip("[]"),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for name, value in scope.headers.items():
        if "_" in name:  # would pass for the header with a hyphen, which a proxy may vouch for
            continue
        key = name.upper().replace("-", "_")
        key = key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}"
        separator = "; " if key == "HTTP_COOKIE" else ","
        environ[key] = f"{environ[key]}{separator}{value}" if key in environ else value
    if "HTTP_HOST" not in environ and scope.authority:
        environ["HTTP_HOST"] = scope.authority
    return environ


def _call(
    application: Callable[[Environ, Any], Iterable[bytes]], environ: Environ, protocol: Any
) -> None:
    """Call a WSGI application in this thread and answer from it: the way by the loop is longer."""
    said: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        said[:] = [int(status.partition(" ")[0]), headers]

    parts = application(environ, start_response)
    try:
        body = b"".join(parts)
    finally:
        if close := getattr(parts, "close", None):
            close()
    protocol.response_bytes(said[0], said[1], body)


def _plain(response: HttpResponse) -> Answer:
    return response.status_code, list(response.items()), response.content
