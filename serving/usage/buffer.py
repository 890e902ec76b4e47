"""What this process noted of reads and has not sent yet: added up, bounded, sent in batches.

A batch that was not answered is sent again as it is, under its number, so that it counts once. What
has no room is dropped and counted: samples first, and no read for their sake. Not for readers'
threads: ``online.watching`` hands over what those noted, within a second.
"""

from __future__ import annotations

import os
import secrets
import threading
from typing import TYPE_CHECKING

import msgspec

from lib.connections import RedisUnavailable
from materialization.stores.usage_stream import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from materialization.stores.usage_stream import UsageStream
    from serving.usage.noting import UsageRecord

#: Records that wait in the process while Redis is away.
MOST_WAITING = 20_000
#: Samples of them, and as many of the batch that is being sent: of some 400 bytes each.
MOST_SAMPLES = 20_000
#: Records of one batch.
_AT_ONCE = 1_000

_encode = msgspec.msgpack.Encoder().encode


class Buffer:
    """What waits; any thread may add to it and send it."""

    def __init__(self) -> None:
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._waiting: dict[tuple[object, ...], UsageRecord] = {}
        self._samples = 0
        self._sender, self._number = secrets.token_hex(8).encode(), 0
        self._unsent: Batch | None = None
        self._dropped = 0

    def add(self, records: Iterable[UsageRecord]) -> None:
        """Keep the records of one reading until they are sent."""
        dropped = 0
        with self._lock:
            for record in records:
                key = record.key
                if key in self._waiting or len(self._waiting) < MOST_WAITING:
                    self._keep(key, record)
                else:
                    dropped = max(dropped, record.reads)  # all tell of the same reads
            self._dropped += dropped

    def _keep(self, key: tuple[object, ...], record: UsageRecord) -> None:
        record.limit_samples(MOST_SAMPLES - self._samples)
        known = self._waiting.get(key)
        if known is None:
            self._waiting[key] = record
            self._samples += len(record.samples)
            return
        self._samples -= len(known.samples)
        known.add(record)
        self._samples += len(known.samples)

    def note_dropped(self, reads: int) -> None:
        """Note reads that were dropped before they came here."""
        with self._lock:
            self._dropped += reads

    def send(self, stream: UsageStream, *, most_bytes: int) -> bool:
        """Send what waits; return whether nothing waits any more.

        While Redis is away it stays here, and the next call tries again.
        """
        with self._sending:
            try:
                while (batch := self._next()) is not None:
                    stream.add(batch, most_bytes=most_bytes)
                    self._unsent = None
            except RedisUnavailable:
                return False
        return True

    def _next(self) -> Batch | None:
        """Return the batch that was not answered, else the next."""
        if self._unsent is None:
            with self._lock:
                keys = list(self._waiting)[:_AT_ONCE]
                records = [self._waiting.pop(key) for key in keys]
                self._samples -= sum(len(record.samples) for record in records)
                dropped, self._dropped = self._dropped, 0
            if records or dropped:
                self._number += 1
                reads = _told_of(records)
                data, least = _encode(records), _without_samples(records)
                self._unsent = Batch(self._sender, self._number, data, reads, dropped, least)
        return self._unsent


def _without_samples(records: Sequence[UsageRecord]) -> bytes:
    """Return the records as they are sent where samples have no room; empty where there are none.

    They have none any more afterwards.
    """
    if not any(record.samples for record in records):
        return b""
    for record in records:
        record.limit_samples(0)
    return _encode(records)


def _told_of(records: Sequence[UsageRecord]) -> int:
    """Return how many calls are lost with these: some are, where another batch has the first."""
    calls = sum(record.calls for record in records)
    return calls or max((record.reads for record in records), default=0)


#: The process's own.
BUFFER = Buffer()


def _start_anew() -> None:
    """Have a forked process begin with nothing: what waited is its parent's to send."""
    BUFFER.__init__()  # type: ignore[misc]


os.register_at_fork(after_in_child=_start_anew)
