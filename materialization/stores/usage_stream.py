"""Who read what, in Redis until it is stored: a stream of bounded size, taken once.

Each process sends numbered batches: one that is sent again after an answer was lost is not taken
twice. What has no room is dropped and counted, for readers wait for nobody. Not for what a batch
says (``serving.usage``) or for where it ends up (``usage_table``).
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from lib.connections import translated
from lib.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

#: The stream; what it is called, which a Redis that lost it does not know any more; what is dropped
#: in all; who is storing it now. One slot of a cluster has them all.
_STREAM, _NAME = b"a:{usage}:log", b"a:{usage}:name"
_DROPPED, _CLAIM = b"a:{usage}:dropped", b"a:{usage}:draining"
_SENT = b"a:{usage}:sent:"
#: For how long the last number of a process is known: longer than it tries one batch again.
SENT_SECONDS = 24 * 3600
#: For how long whoever stores entries is taken to be at it without saying so again.
DRAINING_MS = 60_000
#: Of an entry's name, ``milliseconds-place``, the places: so that one whole number is its order.
_PLACES = 1 << 20

#: Takes a batch: 1 taken, 2 it was taken before, 0 there is no room. What is dropped is added up,
#: with what its process had to drop before.
_ADD = """
local done = redis.call('GET', KEYS[2])
if done and tonumber(done) >= tonumber(ARGV[1]) then return 2 end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[7])
local lost, taken = tonumber(ARGV[4]), 1
local size = redis.call('MEMORY', 'USAGE', KEYS[1]) or 0
if size + string.len(ARGV[2]) > tonumber(ARGV[5]) then
  lost, taken = lost + tonumber(ARGV[3]), 0
else
  redis.call('SET', KEYS[4], ARGV[6], 'NX')
  redis.call('XADD', KEYS[1], '*', 'd', ARGV[2])
end
if lost > 0 then redis.call('INCRBY', KEYS[3], lost) end
return taken
"""
#: Ends a claim that is still one's own.
_RELEASE = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


class Batch(NamedTuple):
    """``data`` tells of so many reads; ``dropped`` reads before them had no room in the process."""

    sender: bytes
    number: int
    data: bytes
    reads: int
    dropped: int = 0


class UsageEntry(NamedTuple):
    """One batch as it lies in the stream; numbers grow."""

    number: int
    data: bytes


class UsageStream:
    """The stream of one Redis; every method raises ``Unavailable`` when it does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def add(self, batch: Batch, *, most_bytes: int) -> bool:
        """Take a batch; return False where the stream has no room, and what it tells is dropped."""
        keys = (_STREAM, _SENT + batch.sender, _DROPPED, _NAME)
        said = (batch.number, batch.data, batch.reads, batch.dropped, most_bytes)
        name = secrets.token_hex(16)
        with translated():
            taken = self._redis.eval(_ADD, len(keys), *keys, *said, name, SENT_SECONDS)
        return int(taken) != 0

    def name(self) -> str:
        """Return what the stream is called; empty while it has had no entry."""
        with translated():
            found = cast("bytes | None", self._redis.get(_NAME))
        return found.decode() if found else ""

    def entries(self, *, after: int, until: int, count: int) -> list[UsageEntry]:
        """Return the entries behind one number and up to another, in order."""
        with translated():
            found: Any = self._redis.xrange(
                _STREAM, min=f"({_id(after)}", max=_id(until), count=count
            )
        return [UsageEntry(_number(name), said[b"d"]) for name, said in found]

    def last(self) -> int:
        """Return the newest entry's number; 0 where there is none."""
        with translated():
            found: Any = self._redis.xrevrange(_STREAM, count=1)
        return _number(found[0][0]) if found else 0

    def trim(self, *, until: int) -> None:
        """Forget the entries up to a number."""
        with translated():
            self._redis.xtrim(_STREAM, minid=_id(until + 1), approximate=False)

    def waiting(self) -> int:
        """Return how many entries wait."""
        with translated():
            return int(self._redis.xlen(_STREAM))

    def waits_since_ms(self) -> int | None:
        """Return for how many milliseconds the oldest entry waits; None: there is none."""
        with translated():
            found: Any = self._redis.xrange(_STREAM, count=1)
            seconds, micros = self._redis.time()
        if not found:
            return None
        return seconds * 1000 + micros // 1000 - _number(found[0][0]) // _PLACES

    def dropped(self) -> int:
        """Return how many reads were dropped since this Redis knows of any."""
        with translated():
            return int(cast("bytes | None", self._redis.get(_DROPPED)) or 0)

    def note_dropped(self, reads: int) -> None:
        with translated():
            self._redis.incrby(_DROPPED, reads)

    @contextmanager
    def draining(self) -> Iterator[bool]:
        """Give whether nobody else stores entries for as long as the block takes.

        Whoever dies is waited for ``DRAINING_MS``, and so is who does not say ``still_draining``.
        """
        token = secrets.token_bytes(16)
        with translated():
            is_ours = bool(self._redis.set(_CLAIM, token, nx=True, px=DRAINING_MS))
        try:
            yield is_ours
        finally:
            if is_ours:
                with suppress(Unavailable), translated():
                    self._redis.eval(_RELEASE, 1, _CLAIM, token)

    def still_draining(self) -> None:
        with translated():
            self._redis.pexpire(_CLAIM, DRAINING_MS)


def _number(name: bytes) -> int:
    milliseconds, _, place = name.partition(b"-")
    return int(milliseconds) * _PLACES + int(place)


def _id(number: int) -> str:
    return f"{number // _PLACES}-{number % _PLACES}"
