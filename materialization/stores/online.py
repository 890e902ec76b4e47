"""The online store in one Redis: each entity's newest row, and the marker that says all are there.

Not for the bytes of keys and rows (``layout``) or for choosing rows: a run does that.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import hiredis
import msgspec
import pyarrow as pa
import redis

from lib.connections import server_of, translated
from lib.decoding import msgpack_reader
from materialization.stores import expiring
from materialization.stores.inspecting import RedisInspection
from materialization.stores.inspection import GRACE
from materialization.stores.layout import (
    HEADER_END,
    decode_rows,
    marker_key,
    ticket_key,
    value_prefix,
)
from materialization.stores.protocols import (
    LoadTicket,
    Marker,
    OnlineRows,
    OnlineStoreEvicts,
    StoredRows,
    Walked,
    WriteResult,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime, timedelta

    from materialization.stores.layout import TableLayout

ROWS_PER_CALL = 500
#: Rows packed at once and sent as one pipeline; two are on their way while the next is packed.
ROWS_PER_PIPELINE = 10_000
PIPELINES_IN_FLIGHT = 2
#: Of a write that leaves room for readers: they wait for one such call at most, some 0.3 ms.
ROWS_PER_PACED_CALL = 100
ROWS_PER_PACED_PIPELINE = 1_000
#: The part of a load's ticket that Redis keeps; after it stand the server process it is kept in,
#: and how many keys that had evicted.
TOKEN_BYTES, SERVER_BYTES = 8, 40
#: Under any other policy Redis drops values when memory is short, and a read answers NOT_FOUND.
#: Managed servers that hide their configuration answer nothing, which is let pass.
KEEPING_POLICIES = {"noeviction", "unknown"}

#: Keeps the greater row by (event, lag, sequence), each compared as two halves of 32 bits: Lua's
#: numbers are doubles and its string order follows the server's locale. Answers how many won.
#: A replay of the row that is there only moves its expiry, and only to later; none is the latest.
MERGE = f"""
local byte, call, unpack, count = string.byte, redis.call, struct.unpack, #KEYS
local FORMS = {{[208] = '>b', [209] = '>h', [210] = '>i4'}}
local SIZES = {{[208] = 2, [209] = 3, [210] = 5}}
local function number(row, at)
  local mark = byte(row, at)
  if mark == 211 then
    local high, low = unpack('>i4I4', row, at + 1)
    return high, low, at + 9
  end
  local value, size = mark < 128 and mark or mark - 256, SIZES[mark] or 1
  if size > 1 then value = unpack(FORMS[mark], row, at + 1) end
  if value < 0 then return -1, value + 4294967296, at + size end
  return 0, value, at + size
end
local function order(row)
  local a, b, at = number(row, byte(row) == 220 and 4 or 2)
  local c, d, after = number(row, at)
  return a, b, c, d, number(row, after)
end
local written = 0
for i = 1, count do
  local key, row, left = KEYS[i], ARGV[i], ARGV[count + i] or ''
  local old, more = call('GETRANGE', key, 0, {HEADER_END - 1}), 1
  if old ~= '' then
    local a, b, c, d, e, f = order(row)
    local u, v, w, x, y, z = order(old)
    more = a ~= u and a - u or b ~= v and b - v or c ~= w and c - w
      or d ~= x and d - x or e ~= y and e - y or f - z
  end
  if more > 0 then
    if left == '' then call('SET', key, row) else call('SET', key, row, 'PX', left) end
    written = written + 1
  elseif more == 0 then
    local now = call('PTTL', key)
    if now >= 0 then
      if left == '' then call('PERSIST', key)
      elseif now < tonumber(left) then call('PEXPIRE', key, left) end
    end
  end
end
return written
"""
_MERGE_SHA = hashlib.sha1(MERGE.encode(), usedforsecurity=False).hexdigest()

#: Marks a table loaded if the ticket of its load is still there, and takes the ticket. Not on
#: another process than the one it was left in: a server that starts again from a snapshot taken
#: meanwhile has the ticket and not what was written after it.
MARK = """
if not string.find(redis.call('INFO', 'server'), 'run_id:' .. ARGV[3], 1, true) then return 0 end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], ARGV[2])
return 1
"""

#: Removes a key that still has this value.
UNMARK = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"
_read_marker = msgpack_reader(Marker)


class RedisOnlineStore(RedisInspection):
    """The values of one Redis. Takes a layout and Arrow, knows no models.

    What each method promises stands in ``protocols.OnlineStore``; every one raises RedisUnavailable
    when Redis does not answer, or does not do what is asked.
    """

    def __init__(
        self, client: redis.Redis, *, epoch_keys: Callable[[int, Sequence[str]], list[bytes]]
    ) -> None:
        """``epoch_keys`` says under which keys of this Redis a project's and its views' are."""
        super().__init__(client)
        self._epoch_keys = epoch_keys

    def write(
        self,
        layout: TableLayout,
        batches: Iterable[pa.RecordBatch],
        *,
        ttl: timedelta | None,
        at: datetime,
        grace: timedelta = GRACE,
        share: float = 1.0,
    ) -> WriteResult:
        rows = written = 0
        pending: deque[Future[int]] = deque()
        with translated(), ThreadPoolExecutor(PIPELINES_IN_FLIGHT, "online-write") as pool:
            for batch in _slices(batches):
                keys, values = (
                    layout.arrow_keys(batch).to_pylist(),
                    layout.arrow_rows(batch).to_pylist(),
                )
                expiries = expiring.expiries(batch, ttl, at, grace)
                rows += batch.num_rows
                if len(pending) == PIPELINES_IN_FLIGHT:
                    written += pending.popleft().result()
                pending.append(pool.submit(self._paced, share, keys, values, expiries))
            written += sum(future.result() for future in pending)
        return WriteResult(written, rows - written)

    def _paced(
        self, share: float, keys: list[bytes], values: list[bytes], expiries: list[bytes] | None
    ) -> int:
        """Send rows in parts, and rest after each as long as leaves others their part of Redis."""
        if share >= 1:
            return self._merge(keys, values, expiries)
        written = 0
        for start in range(0, len(keys), ROWS_PER_PACED_PIPELINE):
            part, begin = slice(start, start + ROWS_PER_PACED_PIPELINE), time.monotonic()
            ends = expiries[part] if expiries else None
            written += self._merge(keys[part], values[part], ends, ROWS_PER_PACED_CALL)
            time.sleep((time.monotonic() - begin) * (1 / share - 1))
        return written

    def _merge(
        self,
        keys: list[bytes],
        values: list[bytes],
        expiries: list[bytes] | None,
        rows_per_call: int = ROWS_PER_CALL,
    ) -> int:
        """Send one pipeline; a server that lost the script is given it and asked again."""
        try:
            return self._send(keys, values, expiries, rows_per_call)
        except redis.exceptions.NoScriptError:
            self._redis.script_load(MERGE)
            return self._send(keys, values, expiries, rows_per_call)

    def _send(
        self,
        keys: list[bytes],
        values: list[bytes],
        expiries: list[bytes] | None,
        rows_per_call: int,
    ) -> int:
        with self._redis.pipeline(transaction=False) as pipeline:
            for start in range(0, len(keys), rows_per_call):
                part = slice(start, start + rows_per_call)
                arguments = [*keys[part], *values[part], *(expiries[part] if expiries else ())]
                pipeline.evalsha(_MERGE_SHA, len(keys[part]), *arguments)
            return sum(cast("list[int]", pipeline.execute()))

    def read(
        self,
        project_id: int,
        views: Sequence[str],
        tables: Sequence[tuple[TableLayout, Sequence[bytes | None]]],
    ) -> OnlineRows:
        keys = self._epoch_keys(project_id, views)
        epochs = len(keys)
        keys += [layout.marker_key for layout, _ in tables]
        for layout, tags in tables:
            keys += layout.keys(tags)
        found, server = self._get(keys)
        rows: list[StoredRows | None] = []
        end = epochs + len(tables)
        for (layout, tags), marker in zip(tables, found[epochs:], strict=False):
            start, end = end, end + len(tags)
            rows.append(_stored_rows(marker, found[start:end], layout.missing))
        return OnlineRows(tuple(found[:epochs]), server, rows)

    def _get(self, keys: list[bytes]) -> tuple[list[bytes | None], str]:
        """Return what is under each key, in one round trip, and which server said so.

        Goes to the connection itself: the client's own layers cost as much as the reading.
        """
        command = hiredis.pack_command(cast("Any", (b"MGET", *keys)))
        with translated():
            pool = self._redis.connection_pool
            connection: Any = pool.get_connection()
            try:
                return _round_trip(connection, command), server_of(connection)
            except redis.ConnectionError:
                # A connection that lay idle while Redis restarted is dead; a new one may not be.
                connection.disconnect()
                return _round_trip(connection, command), server_of(connection)
            finally:
                pool.release(connection)

    def begin_load(self, uid: str) -> LoadTicket:
        """Leave a ticket in Redis that stays while its data stays."""
        token = secrets.token_bytes(TOKEN_BYTES)
        with translated():
            self._redis.set(ticket_key(uid), token)
            server = self._redis.info("server")["run_id"]
            evicted = self._evicted()
        return LoadTicket(token + server.encode() + b"%d" % evicted)

    def _evicted(self) -> int:
        """Return how many keys the server process has dropped for want of memory."""
        return int(self._redis.info("stats").get("evicted_keys", 0))

    def finish_load(
        self,
        uid: str,
        ticket: LoadTicket,
        *,
        generation: int,
        as_of: datetime,
        sequence: int,
        ttl: timedelta | None,
    ) -> bool:
        """Set the marker, unless Redis lost the ticket or restarted: rows may be lost then."""
        token, rest = ticket[:TOKEN_BYTES], ticket[TOKEN_BYTES:]
        server, evicted = rest[:SERVER_BYTES], int(rest[SERVER_BYTES:])
        marker = Marker(generation, as_of, sequence, ttl, evicted)
        arguments = (token, msgspec.msgpack.encode(marker), server)
        with translated():
            policy = self._redis.info("memory").get("maxmemory_policy", "unknown")
            if policy not in KEEPING_POLICIES:
                raise OnlineStoreEvicts(
                    f"the Redis at REDIS_URL drops values (maxmemory-policy is {policy}), so that"
                    " no table in it counts as loaded. Set noeviction; the next run loads again."
                )
            done = self._redis.eval(MARK, 2, ticket_key(uid), marker_key(uid), *arguments)
        return bool(done)

    def marker(self, uid: str) -> Marker | None:
        return self.markers([uid])[0]

    def markers(self, uids: Sequence[str]) -> list[Marker | None]:
        return [_read_marker(found) if found else None for found in self._stored_markers(uids)]

    def _stored_markers(self, uids: Sequence[str]) -> list[bytes | None]:
        if not uids:
            return []
        with translated():
            found = self._redis.mget([marker_key(uid) for uid in uids])
        return cast("list[bytes | None]", found)

    def unmark_evicted(self, uids: Sequence[str]) -> list[str]:
        unmarked = []
        with translated():
            evicted = self._evicted()
            for uid, found in zip(uids, self._stored_markers(uids), strict=True):
                if found and _read_marker(found).evicted != evicted:
                    unmarked.append(uid)
                    self._redis.eval(UNMARK, 1, marker_key(uid), found)
        return unmarked

    def claim_expiry(self, *, every: timedelta) -> bool:
        with translated():
            return expiring.claim(self._redis, every)

    def expire(
        self,
        *,
        in_use: Callable[[set[str]], set[str]],
        at: datetime,
        pace: float,
        grace: timedelta = GRACE,
    ) -> Walked:
        with translated():
            return expiring.expire(
                self._redis, _read_marker, in_use=in_use, at=at, pace=pace, grace=grace
            )

    def drop(self, uid: str) -> int:
        dropped = 0
        with translated():
            self._redis.delete(marker_key(uid), ticket_key(uid))
            found = self._redis.scan_iter(match=value_prefix(uid) + b"*", count=ROWS_PER_CALL)
            for keys in _chunks(found, ROWS_PER_CALL):
                dropped += self._redis.unlink(*keys)
        return dropped


def _slices(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Cut large batches; rows of small ones stay as they came."""
    for batch in batches:
        for start in range(0, batch.num_rows, ROWS_PER_PIPELINE):
            yield batch.slice(start, ROWS_PER_PIPELINE)


def _round_trip(connection: Any, command: bytes) -> list[bytes | None]:
    connection.send_packed_command([command], check_health=False)
    return cast("list[bytes | None]", connection.read_response())


def _stored_rows(
    marker: bytes | None, blobs: list[bytes | None], missing: bytes
) -> StoredRows | None:
    if marker is None:
        return None
    found = _read_marker(marker)
    return StoredRows(found.generation, found.as_of, decode_rows(blobs, missing=missing))


def _chunks(keys: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for key in keys:
        chunk.append(key)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
