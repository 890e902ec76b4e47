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
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from featurestore_project.bodies import PATIENCE_SECONDS, SMALL, BodyTooSlow
from featurestore_project.cross_origin import allowed
from featurestore_project.desk import as_sent, id_of
from featurestore_project.files import send_bytes, send_file
from featurestore_project.problem import problem, respond
from featurestore_project.request_ids import HEADER, KEY
from lib.content_codings import is_coded
from lib.errors import Unavailable
from lib.metrics import Counter, unharmed
from lib.pools import Pool
from lib.readers_gone import READER, Reader
from lib.sent_files import FileWrapper, PartOfFile, SentOnce, named, whole_file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager
    from uuid import UUID

    from django.http import HttpResponse

    from featurestore_project.bodies import BodyReader
    from featurestore_project.desk import Desk

    Environ = dict[str, Any]
    Answer = tuple[int, list[tuple[str, str]], bytes]

logger = logging.getLogger(__name__)

REFUSED = Counter("assay_requests_refused", "Requests refused as busy.", ("pool",))
_TOO_SLOW = (
    f"the body did not arrive: nothing in {PATIENCE_SECONDS:.0f} seconds, or too little for its"
    " time. Send it again, faster."
)
ALIVE = b'{"status": "ok"}'
#: How often what is done for somebody who went away is stopped, in seconds.
_SAID_AGAIN_S = 0.5
#: What is said to nobody: servers that log it call it "client closed request".
_NOBODY = 499


class Busy(Unavailable):
    """All threads of the request's kind are taken, and enough others wait for them."""

    code = "busy"


class Lane:
    """Threads for one kind of requests and a bounded queue in front of them.

    One that ``is_shared`` is for slow work: each caller gets one thread at a time and half of the
    places, so that nobody's many requests keep others waiting or out.
    """

    def __init__(self, pool: Pool, *, threads: int, waiting: int, is_shared: bool = False) -> None:
        self._pool, self._most, self._inside = pool, threads + waiting, 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"web-{pool}")
        self.is_shared = is_shared
        #: Whose requests are inside: how many, and whose turn it is.
        self._callers: dict[str, _Caller] = {}

    def check(self) -> None:
        """:raises Busy: there is no place."""
        if self._inside >= self._most:
            raise self._busy(f"{self._most} are the most that it takes")

    def _busy(self, fact: str) -> Busy:
        with unharmed():
            REFUSED.labels(self._pool).inc()
        return Busy(
            f"the server works at as many {self._pool} requests as it can, and {fact}; ask again in"
            " a moment.",
            pool=self._pool,
        )

    async def run_for(self, caller: str, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do the work in a thread, after what came before it and the caller's own.

        :raises Busy: there is no place, or none that the caller may take from others.
        """
        mine = self._callers.setdefault(caller, _Caller())
        most = max(self._most // 2, 1)
        if mine.inside >= most:
            raise self._busy(f"{most} of one caller are the most that it takes")
        mine.inside += 1
        try:
            return await self._run(mine.turn, work, *arguments)
        finally:
            mine.inside -= 1
            if not mine.inside:
                del self._callers[caller]

    async def run(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Do the work in a thread, after what came before it.

        :raises Busy: there is no place.
        """
        return await self._run(nullcontext(), work, *arguments)

    async def _run(
        self, turn: AbstractAsyncContextManager[Any], work: Callable[..., Any], *arguments: Any
    ) -> Any:
        self.check()
        self._inside += 1
        try:
            async with turn:
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, work, *arguments)
        finally:
            self._inside -= 1


class _Caller:
    """What one caller has in a lane."""

    def __init__(self) -> None:
        self.inside, self.turn = 0, asyncio.Lock()


class Front:
    """An RSGI application (granian's interface) in front of a WSGI one.

    ``pool_of`` (method, path) says whose threads answer; ``known_as`` (headers) who asks: large
    bodies are read of those we know alone, and they share the threads for slow work. With a
    ``desk`` requests of kinds without a lane here are handed on to it; ``is_desk``: to this one.
    Pages of ``origins`` may see what is refused here, as what is answered.
    """

    def __init__(
        self,
        application: Callable[[Environ, Any], Iterable[bytes]],
        *,
        lanes: Mapping[Pool, Lane],
        pool_of: Callable[[str, str], Pool],
        known_as: Callable[[Mapping[str, str]], str | None],
        bodies: BodyReader,
        desk: Desk | None = None,
        is_desk: bool = False,
        origins: Collection[str] = (),
    ) -> None:
        self._application, self._lanes, self._pool_of = application, lanes, pool_of
        self._known_as, self._bodies = known_as, bodies
        self._desk, self._is_desk, self._origins = desk, is_desk, frozenset(origins)

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        request_id = id_of(scope) if self._is_desk else uuid4()
        said = (HEADER, str(request_id))
        if scope.path == "/healthz" and scope.method in {"GET", "HEAD"}:
            protocol.response_bytes(200, [("Content-Type", "application/json"), said], ALIVE)
            return
        try:
            await self._answer(scope, protocol, request_id)
            return
        except BodyTooSlow:
            status, headers, body = _plain(problem(408, "body_too_slow", _TOO_SLOW))
        except Exception as error:  # noqa: BLE001 - the last place that can answer at all
            status, headers, body = _plain(respond(error))
        more = allowed(_environ(scope), self._origins) if self._origins else []
        protocol.response_bytes(status, [*headers, *more, said], body)

    async def _answer(self, scope: Any, protocol: Any, request_id: UUID) -> None:
        environ = _environ(scope) | {KEY: request_id}
        lane = self._lanes.get(self._pool_of(scope.method, scope.path))
        if lane is None:
            await self._hand_on(scope, protocol, environ)
            return
        if self._is_desk:
            environ = as_sent(environ)
        lane.check()  # before a body is read in vain; while it is read no place is taken
        who = await self._who(environ, lane)
        body = await self._body(environ, protocol, who=who)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["wsgi.file_wrapper"] = FileWrapper
        reader = Reader() if lane.is_shared else None
        call = _call, self._application, environ, protocol, asyncio.get_running_loop(), reader
        if reader is None:
            await lane.run(*call)
            return
        watching = asyncio.create_task(_see_off(protocol, reader))
        try:
            await lane.run_for(who or "", *call)
        finally:
            watching.cancel()

    async def _hand_on(self, scope: Any, protocol: Any, environ: Environ) -> None:
        """Give a request to the desk, a small body when it is here: who is silent holds nothing."""
        is_streamed = _is_large(environ)
        body = aiter(protocol) if is_streamed else await self._body(environ, protocol, who=None)
        if self._desk is None:
            raise LookupError("a front has lanes for all kinds of requests, or a desk")
        await self._desk.answer(scope, protocol, body=body, request_id=environ[KEY])

    async def _who(self, environ: Environ, lane: Lane) -> str | None:
        """Return who asks, where that matters: in a shared lane, or with a large body."""
        if lane.is_shared:  # whose own threads may all be taken for long
            return await self._lanes[Pool.DESK].run(self._known_as, environ)  # type: ignore[no-any-return]
        if _is_large(environ):
            return await lane.run(self._known_as, environ)  # type: ignore[no-any-return]
        return None

    async def _body(self, environ: Environ, protocol: Any, *, who: str | None) -> bytes:
        """Return the body; nothing of a large one that nobody we know sends, or over the limit.

        Whoever sends that is refused by what the headers say, before anything is read.
        """
        length = int(environ.get("CONTENT_LENGTH") or 0)
        is_chunked = "HTTP_TRANSFER_ENCODING" in environ
        if length == 0 and not is_chunked:
            return b""
        if length > self._bodies.limit or (_is_large(environ) and who is None):
            return b""
        chunks = aiter(protocol)
        return await self._bodies.read(chunks, length=None if is_chunked else length, who=who)


async def _see_off(protocol: Any, reader: Reader) -> None:
    """Wait for whoever asked to go away; from then on what is done for them is stopped."""
    await protocol.client_disconnect()
    while True:
        # Said again: between two statements there is nothing to stop.
        reader.leave()
        await asyncio.sleep(_SAID_AGAIN_S)


def _is_large(environ: Environ) -> bool:
    """Tell whether a body is, or may turn out to be, more than is read of anybody."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    is_compressed = length > 0 and is_coded(environ.get("HTTP_CONTENT_ENCODING", ""))
    return is_compressed or "HTTP_TRANSFER_ENCODING" in environ or length > SMALL


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
    application: Callable[[Environ, Any], Iterable[bytes]],
    environ: Environ,
    protocol: Any,
    loop: asyncio.AbstractEventLoop,
    reader: Reader | None,
) -> None:
    """Call a WSGI application in this thread and answer from it: the way by the loop is longer.

    Not for a ``reader`` who went away while the request waited.
    """
    if reader is not None and reader.is_gone:
        protocol.response_empty(_NOBODY, [])
        return
    READER.set(reader)
    said: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        said[:] = [int(status.partition(" ")[0]), headers]

    parts = application(environ, start_response)
    try:
        if isinstance(parts, FileWrapper):
            if isinstance(parts.file, SentOnce):
                send_file(protocol, said[0], said[1], parts.file.leave(), loop)
                return
            if isinstance(part := parts.file, PartOfFile) and (path := named(part.whole)):
                protocol.response_file_range(said[0], said[1], path, part.start, part.end)
                return
            if (path := whole_file(parts.file)) is not None:
                protocol.response_file(said[0], said[1], path)
                return
        body = b"".join(parts)
    finally:
        if close := getattr(parts, "close", None):
            close()
    send_bytes(protocol, said[0], said[1], body, loop)


def _plain(response: HttpResponse) -> Answer:
    return response.status_code, list(response.items()), response.content
