"""Merging rows into Redis: of each entity the greatest stays, in whatever order they come.

Not for which rows a run writes (``runner.loading``) or for when rows leave memory (``expiring``).
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, cast

import redis

from materialization.stores import expiring
from materialization.stores.layout import HEADER_END, KEYS_PER_CALL
from materialization.stores.online_protocol import WriteResult

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime, timedelta

    import pyarrow as pa

    from materialization.stores.layout import TableLayout

#: Rows packed at once and sent as one pipeline; two are on their way while the next is packed.
ROWS_PER_PIPELINE = 10_000
PIPELINES_IN_FLIGHT = 2
#: Of a write that leaves room for readers: they wait for one such call at most, some 0.3 ms.
ROWS_PER_PACED_CALL = 100
ROWS_PER_PACED_PIPELINE = 1_000

#: Lua's ``keep(key, row, left)``: the greater row by (event, lag, sequence) stays, each compared as
#: two halves of 32 bits: Lua's numbers are doubles and its string order follows the server's
#: locale. Answers 1 where this one won. A replay of the row that is there only moves its expiry,
#: and only to later; none is the latest.
KEEP = f"""
local byte, call, unpack = string.byte, redis.call, struct.unpack
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
local function beyond(row, old)
  local at, there = byte(row) == 220 and 4 or 2, byte(old) == 220 and 4 or 2
  for _ = 1, 3 do
    local high, low, high_there, low_there
    high, low, at = number(row, at)
    high_there, low_there, there = number(old, there)
    if high ~= high_there then return high - high_there end
    if low ~= low_there then return low - low_there end
  end
  return 0
end
local function keep(key, row, left)
  local old = call('GETRANGE', key, 0, {HEADER_END - 1})
  local more = old == '' and 1 or beyond(row, old)
  if more > 0 then
    if left == '' then call('SET', key, row) else call('SET', key, row, 'PX', left) end
    return 1
  elseif more == 0 then
    local now = call('PTTL', key)
    if now >= 0 then
      if left == '' then call('PERSIST', key)
      elseif now < tonumber(left) then call('PEXPIRE', key, left) end
    end
  end
  return 0
end
"""

#: Keeps many rows; answers how many won.
MERGE = (
    KEEP
    + """
local written, count = 0, #KEYS
for i = 1, count do
  written = written + keep(KEYS[i], ARGV[i], ARGV[count + i] or '')
end
return written
"""
)
_MERGE_SHA = hashlib.sha1(MERGE.encode(), usedforsecurity=False).hexdigest()


class _Packed(NamedTuple):
    """Rows as they are sent: ``ends`` in milliseconds, empty where far; None: all are."""

    keys: list[bytes]
    values: list[bytes]
    ends: list[bytes] | None

    def part(self, start: int, count: int) -> _Packed:
        rows = slice(start, start + count)
        return _Packed(self.keys[rows], self.values[rows], self.ends[rows] if self.ends else None)


def merge(
    client: redis.Redis,
    layout: TableLayout,
    batches: Iterable[pa.RecordBatch],
    *,
    ttl: timedelta | None,
    at: datetime,
    grace: timedelta,
    share: float,
) -> WriteResult:
    """Do what ``online_protocol.OnlineStore.write`` says."""
    rows = written = 0
    pending: deque[Future[int]] = deque()
    with ThreadPoolExecutor(PIPELINES_IN_FLIGHT, "online-write") as pool:
        for batch in _slices(batches):
            packed = _Packed(
                layout.arrow_keys(batch).to_pylist(),
                layout.arrow_rows(batch).to_pylist(),
                expiring.expiries(batch, ttl, at, grace),
            )
            rows += batch.num_rows
            if len(pending) == PIPELINES_IN_FLIGHT:
                written += pending.popleft().result()
            pending.append(pool.submit(_paced, client, packed, share))
        written += sum(future.result() for future in pending)
    return WriteResult(written, rows - written)


def _slices(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Cut large batches; rows of small ones stay as they came."""
    for batch in batches:
        for start in range(0, batch.num_rows, ROWS_PER_PIPELINE):
            yield batch.slice(start, ROWS_PER_PIPELINE)


def _paced(client: redis.Redis, packed: _Packed, share: float) -> int:
    """Send rows in parts, and rest after each as long as leaves others their part of Redis."""
    if share >= 1:
        return _sent(client, packed, KEYS_PER_CALL)
    written = 0
    for start in range(0, len(packed.keys), ROWS_PER_PACED_PIPELINE):
        begin = time.monotonic()
        part = packed.part(start, ROWS_PER_PACED_PIPELINE)
        written += _sent(client, part, ROWS_PER_PACED_CALL)
        time.sleep((time.monotonic() - begin) * (1 / share - 1))
    return written


def _sent(client: redis.Redis, packed: _Packed, rows_per_call: int) -> int:
    """Send one pipeline; a server that lost the script is given it and asked again."""
    try:
        return _send(client, packed, rows_per_call)
    except redis.exceptions.NoScriptError:
        client.script_load(MERGE)
        return _send(client, packed, rows_per_call)


def _send(client: redis.Redis, packed: _Packed, rows_per_call: int) -> int:
    with client.pipeline(transaction=False) as pipeline:
        for start in range(0, len(packed.keys), rows_per_call):
            keys, values, ends = packed.part(start, rows_per_call)
            pipeline.evalsha(_MERGE_SHA, len(keys), *keys, *values, *(ends or ()))
        return sum(cast("list[int]", pipeline.execute()))
