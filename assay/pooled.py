"""How a request leaves a thread: pooled connections of urllib3.
Not for what is asked or answered; see transport. FeatureStore loads it when one is made.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import urllib3
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError
from urllib3.util import Timeout

from assay.errors import ServerUnreachable
from assay.sending import CONNECT_TIMEOUT_SECONDS, Reply, away, broken_off, too_slow

# As many connections stay open as threads have read at once, up to this many.
MOST_IDLE_CONNECTIONS = 256


class PooledSender:
    """Blocks its thread while it waits. Safe to share between threads, and across a fork."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pools: dict[int, urllib3.PoolManager] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return PooledSender, (self._url,)

    @property
    def _pool(self) -> urllib3.PoolManager:
        """The pool of this process: what a fork inherits are the parent's own connections.

        Two processes that wrote to one of them would read each other's answers.
        """
        process = os.getpid()
        if process not in self._pools:
            made = urllib3.PoolManager(maxsize=MOST_IDLE_CONNECTIONS)
            # The parent's are let go, not closed by us: closing may speak to the server.
            self._pools = {process: self._pools.get(process, made)}
        return self._pools[process]

    def close(self) -> None:
        self._pool.clear()

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

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
        try:
            response = self._pool.request(
                method,
                self._url + path,
                body=body,
                headers=headers,
                preload_content=False,
                timeout=Timeout(connect=CONNECT_TIMEOUT_SECONDS, read=wait),
                # A redirect would carry the token to an address that nobody configured.
                redirect=False,
                retries=False,  # the transport's, which knows what may be asked again
            )
            try:
                yield _Response(response)
                response.drain_conn()
            except BaseException:
                response.close()
                raise
            finally:
                response.release_conn()
        except HTTPError as exc:
            raise _unreachable(self._url, exc) from exc


class _Response:
    """A reply as urllib3 has it."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    @property
    def data(self) -> bytes:
        return self._response.data

    def pieces(self, size: int) -> Iterator[bytes]:
        return self._response.stream(size)


def _unreachable(url: str, exc: HTTPError) -> ServerUnreachable:
    reason = getattr(exc, "reason", None) or exc
    # Without urllib3's "HTTPConnection(host=…, port=…): ", which repeats the address.
    fact = str(reason).partition("): ")[2] or str(reason)
    if isinstance(reason, ReadTimeoutError):
        return too_slow(url, fact)
    if isinstance(reason, ProtocolError):  # its text is a tuple of Python's exceptions
        return broken_off(url)
    return away(url, fact)
