"""What somebody who sends requests has to do, and what breaks on the way said in words.
Not for connections: ``pooled`` has those of threads, ``aio`` of loops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Protocol

from assay.errors import ServerUnreachable

CONNECT_TIMEOUT_SECONDS = 5.0
CHECK_ADDRESS = (
    "is the server running, and is the address right (--url, ASSAY_URL or url in assay.toml)?"
)


class Reply(Protocol):
    """An answer whose body has not been read yet."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def data(self) -> bytes:
        """The whole body; reads it at the first time."""

    def pieces(self, size: int) -> Iterator[bytes]:
        """Give the body in pieces of about ``size`` bytes."""


class Sender(Protocol):
    """Sends each request once; where it goes and what it means is the transport's."""

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
        """Yield the reply, its body unread; the connection goes back afterwards.

        :raises ServerUnreachable: none came, or it broke off, also while its body is read.
        """

    def pause(self, seconds: float) -> None:
        """Let time pass before something is asked again."""

    def close(self) -> None:
        """Close what is open; a later request opens anew."""


def too_slow(url: str, fact: str) -> ServerUnreachable:
    message = f"{url} accepted the request but did not answer in time: {fact}"
    made = ServerUnreachable(message, url=url)
    made.is_slow = True
    return made


def broken_off(url: str) -> ServerUnreachable:
    message = f"{url} broke off the connection, or does not speak HTTP; {CHECK_ADDRESS}"
    return ServerUnreachable(message, url=url)


def away(url: str, fact: str) -> ServerUnreachable:
    return ServerUnreachable(f"{url} cannot be reached: {fact}; {CHECK_ADDRESS}", url=url)
