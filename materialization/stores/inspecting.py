"""What lies in Redis under a table's keys, loaded or not, and putting single entities right.

Not for reading as readers do or for loading: ``online`` does both.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple, cast

import redis

from lib.connections import translated
from lib.pace import Pace
from materialization.stores.event_exchange import exchange, told_at
from materialization.stores.expiring import expiries
from materialization.stores.inspection import GRACE
from materialization.stores.layout import ANY_ROWS, KEYS_PER_CALL, any_prefix, uid_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    import pyarrow as pa

    from materialization.stores.events import EventLayout
    from materialization.stores.layout import TableLayout

CALLS_PER_PIPELINE = 20
#: Keys whose memory is asked for, of each call and of each table whatever the call: few, each is a
#: question of its own.
WEIGHED_PER_CALL, WEIGHED_PER_TABLE = 2, 10
#: Calls that a search for some keys makes at most: a small table among many keys is found in part.
MOST_CALLS = 400

#: Puts a row, or none, where what was seen is still there. Answers how many were.
REPLACE = """
local call, count, replaced = redis.call, #KEYS, 0
for i = 1, count do
  local key, row, left = KEYS[i], ARGV[count + i], ARGV[2 * count + i]
  if (call('GET', key) or '') == ARGV[i] then
    if row == '' then call('DEL', key)
    elseif left == '' then call('SET', key, row)
    else call('SET', key, row, 'PX', left) end
    replaced = replaced + 1
  end
end
return replaced
"""
_REPLACE_SHA = hashlib.sha1(REPLACE.encode(), usedforsecurity=False).hexdigest()


class RedisInspection:
    """What ``inspection.OnlineInspection`` promises, of one Redis."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def rows_at(self, keys: Sequence[bytes]) -> list[bytes | None]:
        with translated():
            return rows_at(self._redis, keys)

    def keys_of(self, uid: str) -> Iterator[list[bytes]]:
        with translated():
            yield from keys_of(self._redis, uid)

    def some_keys_of(self, uid: str, count: int) -> list[bytes]:
        with translated():
            return some_keys_of(self._redis, uid, count)

    def correct(
        self,
        layout: TableLayout,
        batch: pa.RecordBatch,
        seen: Sequence[bytes | None],
        *,
        ttl: timedelta | None,
        at: datetime,
        grace: timedelta = GRACE,
    ) -> int:
        keys, rows = layout.arrow_keys(batch).to_pylist(), layout.arrow_rows(batch).to_pylist()
        left = expiries(batch, ttl, at, grace) or [b""] * len(keys)
        with translated():
            return replace(self._redis, keys, seen, rows, left)

    def remove(self, keys: Sequence[bytes], seen: Sequence[bytes | None]) -> int:
        with translated():
            nothing = [b""] * len(keys)
            return replace(self._redis, keys, seen, nothing, nothing)

    def told_at(self, keys: Sequence[bytes]) -> list[bytes]:
        with translated():
            return told_at(self._redis, keys)

    def exchange(
        self,
        layout: EventLayout,
        batches: Iterable[pa.RecordBatch],
        seen: Mapping[bytes, bytes],
        *,
        ttl: timedelta | None,
        at: datetime,
        grace: timedelta = GRACE,
    ) -> list[bytes]:
        with translated():
            return exchange(self._redis, layout, batches, seen, ttl=ttl, at=at, grace=grace)


def rows_at(client: redis.Redis, keys: Sequence[bytes]) -> list[bytes | None]:
    """Return what is under each key."""
    found: list[bytes | None] = []
    step = KEYS_PER_CALL * CALLS_PER_PIPELINE
    for first in range(0, len(keys), step):
        with client.pipeline(transaction=False) as pipeline:
            for start in range(first, min(first + step, len(keys)), KEYS_PER_CALL):
                pipeline.mget(keys[start : start + KEYS_PER_CALL])
            for part in cast("list[list[bytes | None]]", pipeline.execute()):
                found += part
    return found


def keys_of(client: redis.Redis, uid: str) -> Iterator[list[bytes]]:
    """Walk through all keys of the server once, in short calls; give those of the table."""
    cursor = -1
    while cursor:
        cursor, keys = _scanned(client, uid, max(cursor, 0))
        yield keys


def some_keys_of(client: redis.Redis, uid: str, count: int) -> list[bytes]:
    """Walk from a place that chance chooses, until enough is found or the search is long."""
    found: dict[bytes, None] = {}
    cursor, ends = secrets.randbits(48), 0
    for _ in range(MOST_CALLS):
        cursor, keys = _scanned(client, uid, cursor)
        found |= dict.fromkeys(keys)
        ends += cursor == 0
        if len(found) >= count or ends == 2:
            break
    return list(found)[:count]


class Taken(NamedTuple):
    """What a table's keys take; ``size`` in bytes, of the keys' number times what some took."""

    keys: int
    size: int


def taken_by_tables(client: redis.Redis, *, pace: float) -> dict[str, Taken]:
    """Walk through all keys once, ``pace`` of them a second; return what each table's take."""
    counted, weighed, bytes_of = Counter[str](), Counter[str](), Counter[str]()
    pacer, cursor = Pace(pace), -1
    while cursor:
        cursor, keys = cast(
            "tuple[int, list[bytes]]", client.scan(max(cursor, 0), ANY_ROWS + b"*", KEYS_PER_CALL)
        )
        of_tables = [(uid, key) for key in keys if (uid := uid_of(key)) is not None]
        counted.update(uid for uid, _ in of_tables)
        for place, (uid, key) in enumerate(of_tables):
            is_weighed = place < WEIGHED_PER_CALL or weighed[uid] < WEIGHED_PER_TABLE
            if is_weighed and (size := client.memory_usage(key)):
                weighed[uid] += 1
                bytes_of[uid] += size
        pacer.wait(len(keys))
    return {
        uid: Taken(count, count * bytes_of[uid] // weighed[uid] if weighed[uid] else 0)
        for uid, count in counted.items()
    }


def _scanned(client: redis.Redis, uid: str, cursor: int) -> tuple[int, list[bytes]]:
    found = client.scan(cursor, match=any_prefix(uid) + b"*", count=KEYS_PER_CALL)
    return cast("tuple[int, list[bytes]]", found)


def replace(
    client: redis.Redis,
    keys: Sequence[bytes],
    seen: Sequence[bytes | None],
    rows: Sequence[bytes],
    expiries: Sequence[bytes],
) -> int:
    """Put each row, no row where it is empty, in place of the one seen; return how many were.

    ``expiries`` are in milliseconds from now; empty is never.
    """
    try:
        return _replace(client, keys, seen, rows, expiries)
    except redis.exceptions.NoScriptError:
        client.script_load(REPLACE)
        return _replace(client, keys, seen, rows, expiries)


def _replace(
    client: redis.Redis,
    keys: Sequence[bytes],
    seen: Sequence[bytes | None],
    rows: Sequence[bytes],
    expiries: Sequence[bytes],
) -> int:
    with client.pipeline(transaction=False) as pipeline:
        for start in range(0, len(keys), KEYS_PER_CALL):
            part = slice(start, start + KEYS_PER_CALL)
            before = [row or b"" for row in seen[part]]
            arguments = [*keys[part], *before, *rows[part], *expiries[part]]
            pipeline.evalsha(_REPLACE_SHA, len(keys[part]), *arguments)
        return sum(cast("list[int]", pipeline.execute()))
