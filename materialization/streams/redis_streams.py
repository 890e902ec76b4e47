"""Reading streams of Redis: from a place on, without a group, which Redis keeps beside the rows.

A stream is one partition. The place of an entry is its id as one number.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import redis

from materialization.streams.reader import (
    MAX_RECORD_BYTES,
    Bounds,
    Fault,
    Record,
    StreamGone,
    StreamUnavailable,
    Waiting,
)
from registry.spec.connections import RedisConnection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from materialization.finding.links import Link

#: How long the server may take to answer a question.
ANSWER_SECONDS = 3.0
#: Bytes of entries that come at once, at most, beside one of the most that is read.
MAX_BYTES = 8 << 20
#: Bits of a place that are the second half of an id: so many entries of one millisecond.
_SEQUENCE_BITS, _TIME_BITS = 20, 43
_SEQUENCES = 1 << _SEQUENCE_BITS
#: Entries behind a place that are counted at most, and how many at once, while the server does
#: nothing else: a thousand are 5 ms of it, or 17 with 40 fields each. No entry is sent.
MOST_COUNTED, COUNTED_AT_ONCE = 10_000, 1_000
#: Bytes of entries that are counted at once and in all, beside one entry.
COUNTED_BYTES, MOST_COUNTED_BYTES = 4 << 20, 32 << 20
#: Entries from an id on, each with its bytes (16 more of each text): of those with too many nothing
#: else, and as many as bytes allow. Redis itself would send a thousand of 512 MB each.
_READ = """
local from, found, bytes = ARGV[1], {}, 0
for _ = 1, tonumber(ARGV[2]) do
  local entry = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1)[1]
  if not entry then break end
  local fields, size = entry[2], 0
  for _, each in ipairs(fields) do size = size + 16 + #each end
  bytes = bytes + size
  if #found > 0 and bytes > tonumber(ARGV[3]) then break end
  if size > tonumber(ARGV[4]) then fields = {} end
  found[#found + 1] = {entry[1], size, fields}
  local time, number = string.match(entry[1], '^(%d+)-(%d+)$')
  if #number > 7 then break end
  from = time .. '-' .. string.format('%d', number + 1)
end
return found
"""
#: How many entries there are from an id on, their bytes as above, and the id behind the last that
#: was counted; empty: there are no more. One after the other is looked at, as above.
_COUNT = """
local from, count, bytes = ARGV[1], 0, 0
while count < tonumber(ARGV[2]) and bytes < tonumber(ARGV[3]) do
  local entry = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1)[1]
  if not entry then return {count, bytes, ''} end
  count = count + 1
  for _, each in ipairs(entry[2]) do bytes = bytes + 16 + #each end
  local time, number = string.match(entry[1], '^(%d+)-(%d+)$')
  if #number > 15 then return {count, 2 ^ 50, from} end
  from = time .. '-' .. string.format('%d', number + 1)
end
return {count, bytes, from}
"""
#: The newest id there was, and the newest that was removed (before version 7 Redis says no such);
#: with what it says of a stream it would send the first and the last entry.
_FACTS = """
local said, found = redis.call('XINFO', 'STREAM', KEYS[1]), {}
for place = 1, #said, 2 do found[said[place]] = said[place + 1] end
return {found['last-generated-id'], found['max-deleted-entry-id'] or '0-0'}
"""


def place_of(entry: str) -> int:
    """Return the place of an entry's id, as in ``1526919030474-55``.

    :raises ValueError: it is none, or one that this server gave no clock's time to.
    """
    time, number = _parts(entry)
    if not (0 <= number < _SEQUENCES and 0 <= time < 1 << _TIME_BITS):
        raise ValueError(entry)
    return (time << _SEQUENCE_BITS) + number


def place_up_to(entry: str) -> int:
    """Return the last place that is not behind an id, whoever made it: what lies before is read."""
    time, number = _parts(entry)
    if time >= 1 << _TIME_BITS:
        time, number = (1 << _TIME_BITS) - 1, _SEQUENCES
    return (time << _SEQUENCE_BITS) + min(number, _SEQUENCES - 1)


def _parts(entry: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry.partition("-")
    return int(milliseconds), int(sequence or 0)


def id_of(place: int) -> str:
    return f"{place >> _SEQUENCE_BITS}-{place % _SEQUENCES}"


class RedisReader:
    """Reads one stream by one connection."""

    def __init__(self, stream: str, link: Link) -> None:
        self._stream, self._link = stream, link
        self._redis = _connect(link)
        self._place: int | None = None
        self._newest: int | None = None
        #: Whether the last question was not answered.
        self._is_away = False

    def identity(self) -> str:
        return ""

    def partitions(self) -> list[int]:
        self._facts()
        return [0]

    def bounds(self, partition: int) -> Bounds:
        newest, removed = (place_up_to(each.decode()) for each in self._facts())
        self._newest = newest + 1
        return Bounds(removed + 1 if removed else 0, newest + 1)

    def newest(self, partition: int) -> int | None:
        return self._newest

    def waiting(self, partition: int, place: int) -> Waiting | None:
        """Count on the server: what it says of itself (``lag``) is of groups, and an estimate."""
        if self._is_away:
            return None
        try:
            if place >= self.bounds(partition).end:
                return Waiting(0)
            return self._count(id_of(place))
        except StreamUnavailable:  # whoever reads is told
            return None

    def _count(self, start: str) -> Waiting:
        count = size = 0
        while start and count < MOST_COUNTED and size < MOST_COUNTED_BYTES:
            most = (str(min(COUNTED_AT_ONCE, MOST_COUNTED - count)), str(COUNTED_BYTES))
            with self._told():
                more, found, after = cast(
                    "tuple[int, int, bytes]",
                    self._redis.eval(_COUNT, 1, self._stream, start, *most),
                )
            count, size, start = count + more, size + found, after.decode()
        return Waiting(count, is_least=bool(start))

    def assign(self, places: Mapping[int, int]) -> None:
        self._place = places.get(0)

    def fetch(self, partition: int, place: int) -> Record | None:
        found = self._entries(place, 1)
        return found[0] if found and found[0].place == place else None

    def read(self, most: int) -> list[Record | Fault]:
        if self._place is None:
            return []
        records = self._entries(self._place, most)
        if records:
            self._place = records[-1].place + 1
            self._newest = max(self._newest or 0, self._place)
        return list(records)

    def _entries(self, place: int, most: int) -> list[Record]:
        """:raises StreamUnavailable: what lies there first has an id that is not read."""
        bounds = (str(most), str(MAX_BYTES), str(MAX_RECORD_BYTES))
        with self._told():
            found: Any = self._redis.eval(_READ, 1, self._stream, id_of(place), *bounds)
        records: list[Record] = []
        for each in found:
            try:
                records.append(self._record(*each))
            except StreamUnavailable:
                if not records:
                    raise
                break  # those before it are taken first
        return records

    def _record(self, entry: bytes, size: int, fields: list[bytes]) -> Record:
        named = zip(fields[::2], fields[1::2], strict=True)
        headers = tuple((name.decode(errors="replace"), value) for name, value in named)
        time_ms = int(entry.partition(b"-")[0])
        unread = size if size > MAX_RECORD_BYTES else 0
        return Record(0, self._at(entry), None, headers=headers, time_ms=time_ms, unread=unread)

    def _at(self, entry: bytes) -> int:
        try:
            return place_of(entry.decode())
        except ValueError as exc:
            raise StreamUnavailable(
                f"stream {self._stream!r} has the id {entry.decode()[:60]!r}: read are ids that the"
                f" server makes of its clock, and at most {_SEQUENCES:,} of a millisecond."
            ) from exc

    def _facts(self) -> list[bytes]:
        with self._told():
            found: Any = self._redis.eval(_FACTS, 1, self._stream)
        return list(found)

    @contextmanager
    def _told(self) -> Iterator[None]:
        self._is_away = True
        try:
            yield
            self._is_away = False
        except redis.ResponseError as exc:
            if "no such key" in str(exc) or "WRONGTYPE" in str(exc):
                raise StreamGone(
                    f"connection {self._link.name!r} leads to no stream {self._stream!r}; nothing"
                    " is read until there is one."
                ) from exc
            if isinstance(exc, redis.exceptions.NoPermissionError) or "can't run" in str(exc):
                raise self._away("its user may not; it takes EVAL, XINFO and XRANGE") from exc
            raise self._away(type(exc).__name__) from exc
        except (redis.RedisError, OSError) as exc:
            raise self._away(type(exc).__name__) from exc

    def _away(self, why: str) -> StreamUnavailable:
        return StreamUnavailable(
            f"the Redis of connection {self._link.name!r} does not do what is asked of it:"
            f" {why}. Nothing is lost; it is tried again."
        )

    def close(self) -> None:
        self._redis.close()


def ask_redis(link: Link) -> None:
    """:raises StreamUnavailable: it does not answer, or not us."""
    reader = RedisReader("", link)
    try:
        with reader._told():
            reader._redis.ping()
    finally:
        reader.close()


def _connect(link: Link) -> redis.Redis:
    connection = cast("RedisConnection", link.connection)
    tls: dict[str, Any] = {} if connection.plaintext else {"ssl": True}
    if connection.ca_file:
        tls["ssl_ca_certs"] = connection.ca_file
    return redis.Redis(
        host=connection.host,
        port=connection.port,
        db=connection.db,
        username=connection.user or None,
        password=link.secret() or None,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        **tls,
    )
