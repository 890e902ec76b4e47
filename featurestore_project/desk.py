"""Handing requests on to the desk: the process that answers whatever is no online read.

Not for which requests those are (``front``). Both ends are here: what the front adds to a request
on its way, and what the desk reads of that.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import string
import tempfile
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID, uuid4

import h11

from featurestore_project.bodies import next_chunk
from featurestore_project.files import send_file
from lib.bodies import BadBody
from lib.errors import Unavailable
from lib.sent_files import remove
from materialization.compute.scratch import own_folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    Environ = dict[str, Any]
    Headers = list[tuple[str, str]]

#: Requests at the desk at once: each has a connection of its own there.
MOST = 500
#: Of one connection only (RFC 9110, 7.6.1): they are not handed on.
_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding"}
    | {"upgrade", "expect"}
)
#: The path as a request line bears it, from one that was decoded.
_PATH_SAFE = "/:@!$&'()*+,;=-._~"
_FORWARDED, _REQUEST_ID = "x-forwarded-for", "x-assay-request-id"
#: What the front says itself, whatever a client may have said of it.
_NOT_AS_SENT = _HOP | {_FORWARDED, _REQUEST_ID}
_CHUNK = 256 * 1024


class DeskAway(Unavailable):
    """The process behind the front does not answer, as while it starts."""

    code = "desk_away"


class NotHandedOn(BadBody):
    """The request says something that HTTP does not allow."""

    code = "bad_request"


class DeskBusy(Unavailable):
    """As many requests as may be are under way there."""

    code = "busy"


class Desk:
    """The desk, by the Unix socket on which it listens."""

    def __init__(self, path: str) -> None:
        self._path, self._inside = path, 0

    async def answer(
        self, scope: Any, protocol: Any, *, body: bytes | AsyncIterator[bytes], request_id: UUID
    ) -> None:
        """Hand a request on and its answer back; what it says is the desk's alone.

        :raises DeskAway: there was no answer; what the request asked for may have been done.
        :raises DeskBusy: it would be one too many.
        """
        if self._inside >= MOST:
            raise DeskBusy(f"{MOST} requests are under way; ask again in a moment.", pool="desk")
        self._inside += 1
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.setblocking(False)  # noqa: FBT003 - its own name for it
                await asyncio.get_running_loop().sock_connect(connection, self._path)
                await _unless_gone(
                    _answer(_Talk(connection), scope, protocol, body, request_id), protocol
                )
        except (OSError, EOFError, h11.RemoteProtocolError) as exc:
            raise DeskAway(
                "the process that answers this is not there; it is started again. If the request"
                " changes something, look first whether it did."
            ) from exc
        finally:
            self._inside -= 1


async def _unless_gone(answering: Coroutine[Any, Any, None], protocol: Any) -> None:
    """Answer, unless whoever asked goes away: the desk sees that by the connection, which ends."""
    answer = asyncio.create_task(answering)
    gone = asyncio.ensure_future(protocol.client_disconnect())
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        if not answer.done():
            answer.cancel()
            await asyncio.wait({answer})
    if not answer.cancelled():
        answer.result()


async def _answer(
    talk: _Talk,
    scope: Any,
    protocol: Any,
    body: bytes | AsyncIterator[bytes],
    request_id: UUID,
) -> None:
    request = _request(scope, request_id)
    sending = asyncio.create_task(talk.send(request, body))
    try:
        response = await talk.head()
        await _give_back(protocol, scope.method, response, talk.body())
    finally:
        sending.cancel()  # answered before all was read, as a refusal is
        await asyncio.wait([sending])


class _Talk:
    """One request and its answer over one connection.

    By the socket itself: a stream of asyncio forgets what it received when it cannot send on, and
    who refuses a body answers before its end.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._http = connection, h11.Connection(h11.CLIENT)
        self._loop = asyncio.get_running_loop()

    async def send(self, request: h11.Request, body: bytes | AsyncIterator[bytes]) -> None:
        """Send it all; where the sender hangs up halfway the desk is told so by the same."""
        with contextlib.suppress(OSError):  # whether there is an answer is seen at the other end
            await self._send(request)
            if isinstance(body, bytes):
                await self._send(h11.Data(data=body))
            else:
                while piece := await next_chunk(body):
                    await self._send(h11.Data(data=piece))
            try:
                await self._send(h11.EndOfMessage())
            except h11.LocalProtocolError:  # fewer bytes than announced
                self._connection.shutdown(socket.SHUT_WR)

    async def _send(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> None:
        await self._loop.sock_sendall(self._connection, self._http.send(event) or b"")

    async def head(self) -> h11.Response:
        """:raises EOFError: the connection ended before it."""
        while not isinstance(event := await self._next(), h11.Response):
            if isinstance(event, h11.ConnectionClosed):
                raise EOFError
        return event

    async def body(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._next(), h11.Data):
            yield bytes(event.data)

    async def _next(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            self._http.receive_data(await self._loop.sock_recv(self._connection, _CHUNK))
        return event


def _request(scope: Any, request_id: UUID) -> h11.Request:
    """:raises NotHandedOn: it has two hosts, say, or a method without a path."""
    target = quote(scope.path, safe=_PATH_SAFE)
    if scope.query_string:
        target += f"?{quote(scope.query_string, safe=string.punctuation)}"
    headers = [each for each in scope.headers.items() if each[0].lower() not in _NOT_AS_SENT]
    if "host" not in scope.headers:  # HTTP/2 has it apart, HTTP/1.0 needs none
        headers.append(("host", scope.authority or scope.server))
    came_by = [value for name, value in scope.headers.items() if name.lower() == _FORWARDED]
    came_by.append(scope.client.rpartition(":")[0].strip("[]"))
    headers += [(_FORWARDED, ", ".join(came_by)), (_REQUEST_ID, str(request_id))]
    if "transfer-encoding" in scope.headers:
        headers.append(("transfer-encoding", "chunked"))
    headers.append(("connection", "close"))
    try:
        return h11.Request(method=scope.method, target=target, headers=headers)
    except h11.LocalProtocolError as exc:
        raise NotHandedOn(f"this is no request that can be answered: {exc}.") from exc


async def _give_back(
    protocol: Any, method: str, response: h11.Response, body: AsyncIterator[bytes]
) -> None:
    headers = [(n.decode(), v.decode("latin-1")) for n, v in response.headers]
    headers = [each for each in headers if each[0] not in _HOP]
    length = int(dict(headers).get("content-length", _CHUNK + 1))
    if method == "HEAD" or length <= _CHUNK:
        whole = b"".join([piece async for piece in body])
        protocol.response_bytes(response.status_code, headers, whole)
        return
    path = await _kept(body)
    send_file(protocol, response.status_code, headers, path, asyncio.get_running_loop())


async def _kept(body: AsyncIterator[bytes]) -> str:
    """Write a body into a file and return its path; what writes it is no loop's thread."""
    with tempfile.NamedTemporaryFile(dir=own_folder(), prefix="answer-", delete=False) as file:
        try:
            async for piece in body:
                await asyncio.to_thread(file.write, piece)
        except BaseException:
            remove(file.name)
            raise
    return file.name


def as_sent(environ: Environ) -> Environ:
    """Return, at the desk, what the client asked of the front: with the client's own address.

    Only for a desk that nobody but fronts can reach: anybody could write the header.
    """
    *before, client = environ.pop("HTTP_X_FORWARDED_FOR", "").split(",")
    environ["REMOTE_ADDR"] = client.strip()
    if before:
        environ["HTTP_X_FORWARDED_FOR"] = ",".join(before)
    return environ


def id_of(scope: Any) -> UUID:
    """Return the id that the front gave a request; a new one where it says none."""
    with contextlib.suppress(ValueError):
        return UUID(scope.headers.get(_REQUEST_ID) or "")
    return uuid4()
