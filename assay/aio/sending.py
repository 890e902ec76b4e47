"""How a request leaves an event loop: httpx2's connections, and what breaks on them said in words.
Not for what is asked or answered; see transport.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import IO, Any

from assay.aio.bridge import wait_for
from assay.errors import ServerUnreachable
from assay.extras import require
from assay.sending import CONNECT_TIMEOUT_SECONDS, Reply, away, broken_off, too_slow

# Further requests wait for one of these: tasks cost less than a server's connections.
MOST_CONNECTIONS = 100
BODY_CHUNK_BYTES = 1 << 16


class LoopSender:
    """Waits as tasks do. One event loop after another may use it, not two at once."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop: Any = None
        self._client: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        return LoopSender, (self._url,)

    def pause(self, seconds: float) -> None:
        wait_for(asyncio.sleep(seconds))

    def close(self) -> None:
        wait_for(self._close())

    @contextmanager
    def opened(
        self,
        method: str,
        path: str,
        *,
        body: bytes | IO[bytes] | None,
        headers: Mapping[str, str],
        wait: float,
    ) -> Iterator[Reply]:
        httpx = require("httpx2", "AsyncFeatureStore")
        try:
            response = wait_for(self._send(method, path, body, headers, wait))
            try:
                yield _Response(response)
            finally:
                wait_for(response.aclose())
        except httpx.RequestError as exc:
            raise _unreachable(httpx, self._url, exc, wait) from exc

    async def _send(
        self,
        method: str,
        path: str,
        body: bytes | IO[bytes] | None,
        headers: Mapping[str, str],
        wait: float,
    ) -> Any:
        httpx = require("httpx2", "AsyncFeatureStore")
        client = self._client_of_loop(httpx)
        request = client.build_request(
            method,
            self._url + path,
            content=body if body is None or isinstance(body, bytes) else _read(body),
            # httpx2 would ask for compressed answers by itself, which Range does not go with.
            headers={"Accept-Encoding": "identity", **headers},
            # How long a request waits for a free connection is its task's to say.
            timeout=httpx.Timeout(wait, connect=CONNECT_TIMEOUT_SECONDS, pool=None),
        )
        return await client.send(request, stream=True)

    def _client_of_loop(self, httpx: Any) -> Any:
        """Give the connections of the running loop: those of another cannot be used on it."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._loop = loop
            self._client = httpx.AsyncClient(
                # As urllib3: the system's authorities, no proxies, no cookies.
                verify=ssl.create_default_context() if self._url.startswith("https:") else False,
                trust_env=False,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
                limits=httpx.Limits(
                    max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_CONNECTIONS
                ),
            )
        return self._client

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.aclose()


class _Response:
    """A reply as httpx2 has it."""

    def __init__(self, response: Any) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return int(self._response.status_code)

    @property
    def headers(self) -> Mapping[str, str]:
        found: Mapping[str, str] = self._response.headers
        return found

    @property
    def data(self) -> bytes:
        found: bytes = wait_for(self._response.aread())
        return found

    def pieces(self, size: int) -> Iterator[bytes]:
        # As they arrive: pieces of one size would lose, at a cut, what had come of the next.
        arriving = self._response.aiter_bytes()
        try:
            while piece := wait_for(anext(arriving, b"")):
                yield piece
        finally:
            wait_for(arriving.aclose())


async def _read(body: IO[bytes]) -> AsyncIterator[bytes]:
    while chunk := body.read(BODY_CHUNK_BYTES):
        yield chunk


def _unreachable(httpx: Any, url: str, exc: Exception, wait: float) -> ServerUnreachable:
    if isinstance(exc, httpx.ConnectTimeout):
        return away(url, f"no connection within {CONNECT_TIMEOUT_SECONDS:g} s")
    if isinstance(exc, httpx.TimeoutException):
        return too_slow(url, f"nothing within {wait:g} s")
    if isinstance(exc, httpx.ConnectError | httpx.UnsupportedProtocol):
        return away(url, str(exc))
    return broken_off(url)
