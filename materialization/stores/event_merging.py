"""Writing many events of one table into Redis, in whatever order they come.

Not for events that are pushed (``push_log``) or for which of them a load writes (``runner``).
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import redis

from lib.errors import Invalid
from materialization.stores.columns import SEQUENCE
from materialization.stores.event_bounds import HOP_HEADER, MOST_BYTES
from materialization.stores.event_scripts import PUT_ALL, PUT_ALL_SHA
from materialization.stores.events import is_hop
from materialization.stores.layout import header_numbers
from materialization.stores.online_protocol import WriteResult

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    import pyarrow as pa

    from materialization.stores.events import EventLayout, PackedEvents


class TooManyEventsLoaded(Invalid):
    code = "too_many_events_loaded"


#: Redis answers nobody else while it keeps so many, some 2 ms.
EVENTS_PER_CALL, CALLS_PER_PIPELINE = 200, 20


def merge_events(
    client: redis.Redis,
    layout: EventLayout,
    batches: Iterable[pa.RecordBatch],
    *,
    ttl: timedelta | None,
    at: datetime,
    grace: timedelta,
) -> WriteResult:
    """Keep events with their sequences; of those that are there already nothing changes.

    :raises TooManyEventsLoaded: a hop is beyond what it takes, and is left as it was. Whoever
        loads asks before (``refuse_crowded``), so that nothing else is written then either.
    """
    rows = written = 0
    for batch in batches:
        step = EVENTS_PER_CALL * CALLS_PER_PIPELINE
        for start in range(0, batch.num_rows, step):
            part = batch.slice(start, step)
            (numbers,) = header_numbers(part, (SEQUENCE,))
            packed = layout.packed(part, at=at, ttl=ttl, grace=grace)
            rows += part.num_rows
            kept = _sent(client, packed, numbers.tolist(), is_bounded=layout.is_bag)
            written += sum(count for count, _ in kept)
            if beyond := [key for _, key in kept if key]:
                raise _too_many(layout, beyond[0])
    return WriteResult(written, rows - written)


def refuse_crowded(layout: EventLayout, batches: Iterable[pa.RecordBatch], *, at: datetime) -> None:
    """Refuse events of which a hop of one entity would have more than it takes.

    The batches have all events of the entities they have any of.

    :raises TooManyEventsLoaded: names the entity.
    """
    sizes = Counter[tuple[bytes, bytes]]()
    for batch in batches:
        packed = layout.packed(batch, at=at, ttl=None, grace=timedelta())
        for place, size in enumerate(packed.sizes()):
            sizes[packed.keys[place], packed.hops[place]] += size
    for (key, hop), size in sizes.items():
        if is_hop(hop) and size > MOST_BYTES - HOP_HEADER:
            raise _too_many(layout, key)


def _too_many(layout: EventLayout, key: bytes) -> TooManyEventsLoaded:
    entity = _named(layout, layout.tag_of(key))
    return TooManyEventsLoaded(
        f"{entity} has more than {MOST_BYTES >> 10} KB of events within the"
        f" {timedelta(microseconds=layout.hop)} of one hop, which is what windows online take"
        " of one entity. Add them up in the source, or write `accuracy: temporal` in a new"
        " version: training sets are as exact, and ticks are online.",
    )


def _named(layout: EventLayout, tag: bytes) -> str:
    values = layout.entity.values(tag) or ()
    return ", ".join(
        f"{name} {str(value)[:100]}"
        for name, value in zip(layout.entity.names, values, strict=False)
    )


def _sent(
    client: redis.Redis, packed: PackedEvents, numbers: list[int], *, is_bounded: bool
) -> list[tuple[int, bytes]]:
    try:
        return _pipelined(client, packed, numbers, is_bounded=is_bounded)
    except redis.exceptions.NoScriptError:
        client.script_load(PUT_ALL)
        return _pipelined(client, packed, numbers, is_bounded=is_bounded)


def _pipelined(
    client: redis.Redis, packed: PackedEvents, numbers: list[int], *, is_bounded: bool
) -> list[tuple[int, bytes]]:
    whole = [
        before + b"\xd3" + number.to_bytes(8, "big", signed=True) + after
        for before, number, after in zip(packed.before, numbers, packed.after, strict=True)
    ]
    each = list(zip(packed.hops, packed.stamps, whole, packed.left, strict=True))
    with client.pipeline(transaction=False) as pipeline:
        for start in range(0, len(each), EVENTS_PER_CALL):
            keys = packed.keys[start : start + EVENTS_PER_CALL]
            arguments = [part for row in each[start : start + EVENTS_PER_CALL] for part in row]
            bounded = b"1" if is_bounded else b""
            pipeline.evalsha(PUT_ALL_SHA, len(keys), *keys, packed.oldest, bounded, *arguments)
        return cast("list[tuple[int, bytes]]", pipeline.execute())
