"""Reading streams of Redis: from a place on, without a group, which Redis keeps beside the rows.

A stream is one partition. The place of an entry is its id as one number.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import redis

from materialization.streams.reader import (
    Bounds,
    Fault,
    Record,
    StreamUnavailable,
)
from registry.spec.connections import RedisConnection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from materialization.finding.links import Link

#: How long the server may take to answer a question.
ANSWER_SECONDS = 3.0
#: Bits of a place that are the second half of an id: so many entries of one millisecond.
_SEQUENCE_BITS = 20
_SEQUENCES = 1 << _SEQUENCE_BITS


def place_of(entry: str) -> int:
    """Return the place of an entry's id, as in ``1526919030474-55``.

    :raises ValueError: it is none, or one that this server gave no clock's time to.
    """
    milliseconds, _, sequence = entry.partition("-")
    time, number = int(milliseconds), int(sequence or 0)
    if not (0 <= number < _SEQUENCES and 0 <= time < 1 << 43):
        raise ValueError(entry)
    return (time << _SEQUENCE_BITS) + number


def id_of(place: int) -> str:
    return f"{place >> _SEQUENCE_BITS}-{place % _SEQUENCES}"


class RedisReader:
    """Reads one stream by one connection."""

    def __init__(self, stream: str, link: Link) -> None:
        self._stream, self._link = stream, link
        self._redis = _connect(link)
        self._place: int | None = None
        self._newest: int | None = None

    def identity(self) -> str:
        return ""

    def partitions(self) -> list[int]:
        self._facts()
        return [0]

    def bounds(self, partition: int) -> Bounds:
        found = self._facts()
        end = self._at(found[b"last-generated-id"]) + 1
        # Before version 7 Redis does not say what it has removed.
        removed = self._at(found.get(b"max-deleted-entry-id", b"0-0"))
        self._newest = end
        return Bounds(removed + 1 if removed else 0, end)

    def newest(self, partition: int) -> int | None:
        return self._newest

    def waiting(self, partition: int, place: int) -> int | None:
        """Nobody says how many entries lie between two ids without reading them all."""
        return 0 if self._newest is not None and place >= self._newest else None

    def assign(self, places: Mapping[int, int]) -> None:
        self._place = places.get(0)

    def fetch(self, partition: int, place: int) -> Record | None:
        with self._told():
            found: Any = self._redis.xrange(self._stream, id_of(place), id_of(place), count=1)
        return self._record(*found[0]) if found else None

    def read(self, most: int) -> list[Record | Fault]:
        if self._place is None:
            return []
        with self._told():
            found: Any = self._redis.xrange(self._stream, id_of(self._place), "+", count=most)
        records = [self._record(*each) for each in found]
        if records:
            self._place = records[-1].place + 1
            self._newest = max(self._newest or 0, self._place)
        return list(records)

    def _record(self, entry: bytes, fields: dict[bytes, bytes]) -> Record:
        named = tuple((name.decode(errors="replace"), value) for name, value in fields.items())
        time_ms = int(entry.partition(b"-")[0])
        return Record(0, self._at(entry), None, headers=named, time_ms=time_ms)

    def _at(self, entry: bytes) -> int:
        try:
            return place_of(entry.decode())
        except ValueError as exc:
            raise StreamUnavailable(
                f"stream {self._stream!r} has the id {entry.decode()[:60]!r}: read are ids that the"
                f" server makes of its clock, and at most {_SEQUENCES:,} of a millisecond."
            ) from exc

    def _facts(self) -> dict[bytes, Any]:
        with self._told():
            found = cast("Any", self._redis).execute_command("XINFO", "STREAM", self._stream)
        if isinstance(found, dict):
            return {_bytes(name): value for name, value in found.items()}
        return dict(zip(map(_bytes, found[::2]), found[1::2], strict=True))

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except redis.ResponseError as exc:
            if "no such key" in str(exc) or "WRONGTYPE" in str(exc):
                raise StreamUnavailable(
                    f"connection {self._link.name!r} leads to no stream {self._stream!r}; nothing"
                    " is read until there is one."
                ) from exc
            raise self._away(exc) from exc
        except (redis.RedisError, OSError) as exc:
            raise self._away(exc) from exc

    def _away(self, exc: Exception) -> StreamUnavailable:
        return StreamUnavailable(
            f"the Redis of connection {self._link.name!r} does not do what is asked of it:"
            f" {type(exc).__name__}. Nothing is lost; it is tried again."
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


def _bytes(name: bytes | str) -> bytes:
    return name if isinstance(name, bytes) else name.encode()
