"""Reading a request's body before a thread is given to it: a deadline, a bound, and for whom.

Not for what a body means, nor for the limits of single calls: the views know those.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from lib.bodies import BadBody, BodyTooLarge
from lib.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: Bytes that are read of anybody: a log-in, a few names. More is read of those we know.
SMALL = 64 * 1024
#: Seconds that a sender may be silent, and bytes a second it has to keep up: what came sooner buys
#: no longer silence.
PATIENCE_SECONDS = 10.0
LEAST_BYTES_A_SECOND = 16 * 1024


class BodyTooSlow(Exception):  # noqa: N818 - an event; answered 408
    """The sender fell silent, or sends a trickle."""


class TooManyBodies(Unavailable):
    """Other large bodies are on their way: together they would fill the memory."""

    code = "busy"


class BodyReader:
    """Bodies of at most ``limit`` bytes, those being read of at most ``budget`` together.

    Those of one caller have ``limit`` bytes at most together: the rest is for others.
    """

    def __init__(self, *, limit: int, budget: int) -> None:
        self.limit, self._budget, self._held = limit, budget, 0
        self._held_by: Counter[str] = Counter()

    async def read(
        self, chunks: AsyncIterator[bytes], *, length: int | None, who: str | None
    ) -> bytes:
        """Return the whole body of ``who``, ``length`` bytes where that is known.

        :raises BodyTooSlow: nothing came, or too little in the time it took.
        :raises BadBody: the sender hung up before its end; chunks may end there unnoticed.
        :raises BodyTooLarge: it is over the limit of every call.
        :raises TooManyBodies: it does not fit beside those that are being read.
        """
        pieces: list[bytes] = []
        received, held, now = 0, 0, asyncio.get_running_loop().time
        due = now() + PATIENCE_SECONDS
        try:
            while length is None or received < length:
                async with asyncio.timeout_at(due):
                    piece = await next_chunk(chunks)
                if not piece:
                    break
                due = min(due + len(piece) / LEAST_BYTES_A_SECOND, now() + PATIENCE_SECONDS)
                pieces.append(piece)
                received += len(piece)
                held += self._hold(len(piece), received, who)
        except TimeoutError:
            raise BodyTooSlow from None
        finally:
            self._let_go(held, who)
        if length is not None and received < length:
            raise BadBody(f"the body ended after {received} of {length} bytes; send it whole.")
        return b"".join(pieces)

    def _hold(self, more: int, received: int, who: str | None) -> int:
        if received > self.limit:
            raise BodyTooLarge(f"the body has more than {self.limit} bytes.", limit=self.limit)
        if received > SMALL and self._held + more > self._budget:
            raise TooManyBodies("other large bodies are being read; send it again in a moment.")
        if who is not None:
            if received > SMALL and self._held_by[who] + more > self.limit:
                raise TooManyBodies(
                    "other large bodies of yours are being read; send it again when they are."
                )
            self._held_by[who] += more
        self._held += more
        return more

    def _let_go(self, held: int, who: str | None) -> None:
        self._held -= held
        if who is not None:
            self._held_by[who] -= held
            if not self._held_by[who]:
                del self._held_by[who]


async def next_chunk(chunks: AsyncIterator[bytes]) -> bytes:
    """Return the next chunk, none at the end; granian's awaitables do not bear ``anext``."""
    try:
        return await chunks.__anext__()
    except StopAsyncIteration:
        return b""
