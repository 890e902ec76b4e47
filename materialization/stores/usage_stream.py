"""Who read what, in Redis until it is stored: a stream of bounded size, taken once.

Each process sends numbered batches: one that is sent again after an answer was lost is not taken
twice. What has no room is dropped and counted, for readers wait for nobody; what of a batch may be
left out has a room of its own, so that nothing else is dropped for it. Not for what a batch
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
#: Of the entries that have what may be left out, by their names: bytes of that in all, before and
#: after each; so the first and the last say how many there are.
_BESIDE = b"a:{usage}:beside"
_DROPPED, _CLAIM = b"a:{usage}:dropped", b"a:{usage}:draining"
_SENT = b"a:{usage}:sent:"
#: For how long the last number of a process is known: longer than it tries one batch again.
SENT_SECONDS = 24 * 3600
#: For how long whoever stores entries is taken to be at it without saying so again.
DRAINING_MS = 60_000
#: Of an entry's name, ``milliseconds-place``, the places: so that one whole number is its order.
_PLACES = 1 << 20
#: What may be left out takes so much at most of the room that there is for all else, beside it.
_LEFT_OUT = 1 / 4

#: Takes a batch: 1 taken, 2 it was taken before, 0 there is no room. What is dropped is added up,
#: with what its process had to drop before. All entries are measured, for they differ in size; what
#: one takes beyond its least is what may be left out of it.
_ADD = """
local done = redis.call('GET', KEYS[2])
if done and tonumber(done) >= tonumber(ARGV[1]) then return 2 end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[7])
local function measured()
  return redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 0) or 0
end
local size = measured()
if size == 0 then redis.call('DEL', KEYS[5]) end
local first = redis.call('XRANGE', KEYS[5], '-', '+', 'COUNT', 1)[1]
local last = redis.call('XREVRANGE', KEYS[5], '+', '-', 'COUNT', 1)[1]
local sum = last and tonumber(last[2][4]) or 0
local beside = first and sum - tonumber(first[2][2]) or 0
local data, least = ARGV[2], ARGV[8] ~= '' and ARGV[8] or ARGV[2]
if beside + string.len(data) - string.len(least) > tonumber(ARGV[9]) then data = least end
local lost, taken = tonumber(ARGV[4]), 1
if size - beside + string.len(least) > tonumber(ARGV[5]) then
  lost, taken = lost + tonumber(ARGV[3]), 0
else
  redis.call('SET', KEYS[4], ARGV[6], 'NX')
  local name = redis.call('XADD', KEYS[1], '*', 'd', data)
  if data ~= least then
    local more = math.max(0, measured() - size - string.len(least))
    redis.call('XADD', KEYS[5], name, 'before', sum, 'after', sum + more)
  end
end
if lost > 0 then redis.call('INCRBY', KEYS[3], lost) end
return taken
"""
#: Ends a claim that is still one's own.
_RELEASE = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


class Batch(NamedTuple):
    """``data`` tells of so many reads; ``dropped`` reads before them had no room in the process.

    ``least``: the same without what may be left out; empty where nothing may.
    """

    sender: bytes
    number: int
    data: bytes
    reads: int
    dropped: int = 0
    least: bytes = b""


class UsageEntry(NamedTuple):
    """One batch as it lies in the stream; numbers grow."""

    number: int
    data: bytes


class UsageStream:
    """The stream of one Redis; every method raises ``Unavailable`` when it does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def add(self, batch: Batch, *, most_bytes: int) -> bool:
        """Take a batch; return False where the stream has no room, and what it tells is dropped.

        It takes ``most_bytes``, and beside them a quarter of that of what may be left out.
        """
        keys = (_STREAM, _SENT + batch.sender, _DROPPED, _NAME, _BESIDE)
        said = (batch.number, batch.data, batch.reads, batch.dropped, most_bytes)
        more = (secrets.token_hex(16), SENT_SECONDS, batch.least, int(most_bytes * _LEFT_OUT))
        with translated():
            taken = self._redis.eval(_ADD, len(keys), *keys, *said, *more)
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
        with translated(), self._redis.pipeline(transaction=True) as pipeline:
            for key in (_STREAM, _BESIDE):
                pipeline.xtrim(key, minid=_id(until + 1), approximate=False)
            pipeline.execute()

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
