"""How events of exact windows lie in Redis: by entity, and of each by hops of time. [pure]

Not for the scripts that keep and read them (``event_scripts``), nor for what windows make of them.
A hop is a hundredth of the longest window: a read takes the hops that a window reaches, and what
no window reaches any more goes hop by hop.
"""

from __future__ import annotations

import hashlib
import operator
import struct
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from lib.instants import MICROSECOND, to_us
from materialization.stores import packing
from materialization.stores.columns import CREATED, EVENT, EVENT_ID
from materialization.stores.event_bounds import HOP_HEADER, HOPS
from materialization.stores.key_bytes import arrow_key_bytes
from materialization.stores.layout import (
    EVENTS,
    EntityKey,
    TableLayout,
    decode_rows,
    header_numbers,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta

    from registry.spec.value_types import ValueType

#: Of an event whose windows are all over, and of one that came too late for any.
_GONE, _NEVER = b"", b"-"
#: Bytes of an event's id; a hash has as many.
_LONGEST_ID = 32
_CONTENT_BYTES = 16
#: Bytes of since when an event is known, of its sequence, and around what tells it and its row.
_KNOWN, _SEQUENCE, _AROUND = 8, 9, 7
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[bytes])


class UnreadableEvents(ValueError):
    """What lies under an entity's key is not as any of our steps leaves it."""


class PackedEvents(NamedTuple):
    """Events one by one: the hop each lies in, when it was known and what tells it, its bytes.

    ``before`` and ``after`` are those around the sequence.

    ``left``: for how many milliseconds its entity is kept; empty: for ever. ``oldest``: the first
    hop that any window reaches now.
    """

    keys: list[bytes]
    hops: list[bytes]
    stamps: list[bytes]
    before: list[bytes]
    after: list[bytes]
    left: list[bytes]
    oldest: int

    def sizes(self) -> Iterator[int]:
        """Yield the bytes that each takes of its hop."""
        for stamp, before, after in zip(self.stamps, self.before, self.after, strict=True):
            # Of a stamp the time since when it was known is no part of what tells the event.
            yield len(stamp) - _KNOWN + _AROUND + len(before) + _SEQUENCE + len(after)


class KeptHop(NamedTuple):
    """The events of one hop of an entity, how their field begins and how long it is.

    Rows are ``[event µs, lag µs, sequence, argument, …]``.
    """

    header: bytes
    size: int
    rows: list[list[Any]]


class EntityEvents(NamedTuple):
    """When the last of its events was known, when the newest was, and the hops that may be inside.

    ``known``: number → what is known of a hop whose rows are not in ``hops``.
    """

    tag: bytes
    seen: int
    newest: int
    hops: dict[int, KeptHop]
    known: dict[int, bytes]


class KnownHop(NamedTuple):
    """What is known of a hop of one entity's, as long as its field begins with ``header``."""

    tag: bytes
    hop: int
    header: bytes
    known: bytes


@dataclass(frozen=True)
class EventLayout:
    """One table of events: its arguments by name and type, and its windows in µs, ascending."""

    uid: str
    entity: EntityKey
    arguments: tuple[str, ...]
    types: tuple[ValueType, ...]
    windows: tuple[int, ...]
    #: Of what tells events of one time apart; None: there is one of each time.
    id_type: ValueType | None = None
    #: An event is all that it has but the last argument, which says how often it is there.
    is_bag: bool = False
    #: What keys begin with of events that are brought together before they come to their place.
    aside: bytes = b""

    @property
    def longest(self) -> int:
        return self.windows[-1]

    @cached_property
    def hop(self) -> int:
        return max(1, -(-self.longest // HOPS))

    @cached_property
    def row(self) -> TableLayout:
        """How the bytes of one event lie: as those of a stored row with arguments for features."""
        return TableLayout(self.uid, self.entity, self.arguments, self.types)

    @property
    def marker_key(self) -> bytes:
        return self.row.marker_key

    @cached_property
    def key_prefix(self) -> bytes:
        return self.aside + EVENTS + self.uid.encode()

    def keys(self, tags: Sequence[bytes | None]) -> list[bytes]:
        """Return the key of each entity; one that none has where the tag is None."""
        return [self.key_prefix + (tag or b"-") for tag in tags]

    def tag_of(self, key: bytes) -> bytes:
        """Return the tag of the entity that lies under ``key``."""
        return key.removeprefix(self.key_prefix)

    def oldest_hop(self, now: int) -> int:
        return (now - self.longest) // self.hop

    def edges(self, now: int) -> list[int]:
        """Return the hops that windows begin in, and the one of ``now``."""
        return [*((now - window) // self.hop for window in self.windows), now // self.hop]

    def _contents(self, batch: pa.RecordBatch) -> Iterator[bytes]:
        """Yield what tells events of a bag apart: when they were known, and what they have."""
        names = [CREATED, *self.arguments[:-1]]
        for row in zip(*(batch.column(name).to_pylist() for name in names), strict=True):
            yield hashlib.blake2b(_encode(row), digest_size=_CONTENT_BYTES).digest()

    def packed(
        self, batch: pa.RecordBatch, *, at: datetime, ttl: timedelta | None, grace: timedelta
    ) -> PackedEvents:
        """Return events as they are kept at ``at``.

        :raises BadOnlineRows: a column is missing or mistyped, a key or a time is null.
        """
        before, after = (part.to_pylist() for part in self.row.arrow_parts(batch))
        events, created = header_numbers(batch, (EVENT, CREATED))
        now, oldest = to_us(at), self.oldest_hop(to_us(at))
        hops = [b"%d" % hop for hop in (events // self.hop).tolist()]
        for place in np.flatnonzero(
            (events // self.hop < oldest) | (created >= events + self.longest)
        ):
            is_late = created[place] >= events[place] + self.longest
            hops[place] = _NEVER if is_late else _GONE
        seen = np.maximum(events, created)
        stamps = map(struct.Struct(">qq").pack, seen.tolist(), events.tolist())
        if self.is_bag:
            stamps = map(operator.add, stamps, self._contents(batch))
        if self.id_type is not None:
            stamps = map(operator.add, stamps, _ids(batch.column(EVENT_ID), self.id_type))
        left = [b""] * batch.num_rows
        if ttl is not None:
            ends = events + (self.longest + ttl // MICROSECOND)
            over = np.maximum(ends - now, 0) + grace // MICROSECOND
            left = [b"%d" % each for each in (-(-over // 1000)).tolist()]
        keys = self.keys(self.entity.arrow_tags(batch).to_pylist())
        return PackedEvents(keys, hops, list(stamps), before, after, left, oldest)


def is_hop(name: bytes) -> bool:
    """Tell whether an event lies in a hop, or is in no window any more."""
    return name not in (_GONE, _NEVER)


def _ids(column: pa.Array, kind: ValueType) -> Iterator[bytes]:
    """Yield what tells an event from others of its time: as it is written in a key, or its hash."""
    for told in packing.join(*arrow_key_bytes(column, kind)).to_pylist():
        yield told if len(told) <= _LONGEST_ID else hashlib.sha256(told).digest()


def events_of(
    tag: bytes | None, found: Sequence[bytes | None], layout: EventLayout
) -> EntityEvents | None:
    """Return what one entity has, as ``event_scripts.READ`` gives it; None: nothing.

    :raises UnreadableEvents: it was changed, or broke.
    """
    if tag is None or found[0] is None:
        return None
    try:
        return _read_events(tag, found[0], found, layout)
    except (msgspec.DecodeError, struct.error, ValueError, OverflowError, TypeError) as exc:
        raise UnreadableEvents(f"an entity's events of table {layout.uid}: {exc}") from exc


def _read_events(
    tag: bytes, stamps: bytes, found: Sequence[bytes | None], layout: EventLayout
) -> EntityEvents:
    seen, newest = struct.unpack(">qq", stamps)
    known: dict[int, bytes] = {}
    own: list[tuple[int, bytes]] = []
    for name, field in zip(found[1::2], found[2::2], strict=True):
        if name is None or field is None:
            continue
        if name.startswith(b"p"):
            known[int(name[1:])] = field
        else:
            own.append((int(name), field))
    # All of them at once: one decoding costs a fraction of one for each.
    counts = [int.from_bytes(field[:4], "big") for _, field in own]
    head = b"\xdd" + (2 * sum(counts)).to_bytes(4, "big")
    packed = _decode.decode(head + b"".join(field[HOP_HEADER:] for _, field in own))[1::2]
    rows = iter(decode_rows(packed, missing=layout.row.missing))
    hops = {
        hop: KeptHop(field[:HOP_HEADER], len(field), list(islice(rows, count)))
        for (hop, field), count in zip(own, counts, strict=True)
    }
    return EntityEvents(tag, seen, newest, hops, known)


def is_seen_later(found: Sequence[bytes | None], now: int) -> bool:
    """Tell whether an entity has an event that was not known at ``now``: a clock is behind."""
    stamps = found[0]
    return stamps is not None and int.from_bytes(stamps[:8], "big", signed=True) > now
