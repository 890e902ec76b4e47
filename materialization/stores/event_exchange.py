"""Putting all events of entities right at once: what was seen goes in the step that brings others.

Not for adding events to those that are there (``event_merging``), nor for choosing them.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import redis

from materialization.stores.event_merging import merge_events

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    import pyarrow as pa

    from materialization.stores.events import EventLayout

#: Lua's ``told(key)``: what tells the events of an entity from all others, a hash; empty: it has
#: none. What readers keep of hops is made of the events, and comes and goes.
_TOLD = """
local call = redis.call
local function told(key)
  local fields, values, found = {}, {}, call('HGETALL', key)
  if #found == 0 then return '' end
  for i = 1, #found, 2 do
    if string.sub(found[i], 1, 1) ~= 'p' then
      fields[#fields + 1], values[found[i]] = found[i], found[i + 1]
    end
  end
  table.sort(fields)
  local all = {}
  for _, field in ipairs(fields) do
    local value = values[field]
    all[#all + 1] = struct.pack('>I4I4', #field, #value)
    all[#all + 1], all[#all + 2] = field, value
  end
  return redis.sha1hex(table.concat(all))
end
"""
TOLD = _TOLD + "return told(KEYS[1])"
#: Moves what was brought together aside into the place of what was seen, where both are still
#: there; where nothing was brought, the other goes. Answers whether that was done.
EXCHANGE = (
    _TOLD
    + """
local key, aside = KEYS[1], KEYS[2]
if told(key) ~= ARGV[1] or told(aside) ~= ARGV[2] then
  call('UNLINK', aside)
  return 0
end
if ARGV[2] == '' then
  call('DEL', key)
else
  call('RENAME', aside, key)
  if ARGV[3] == '1' then call('PERSIST', key) end
end
return 1
"""
)


def told_at(client: redis.Redis, keys: Sequence[bytes]) -> list[bytes]:
    """Return what tells the events under each key from all others; empty where there are none.

    A call each: of an entity as full as it may be Redis takes some 25 ms, twice that to exchange,
    and answers nobody else meanwhile.
    """
    return [cast("bytes", client.eval(TOLD, 1, key)) for key in keys]


def exchange(
    client: redis.Redis,
    layout: EventLayout,
    batches: Iterable[pa.RecordBatch],
    seen: Mapping[bytes, bytes],
    *,
    ttl: timedelta | None,
    at: datetime,
    grace: timedelta,
) -> list[bytes]:
    """Put events in place of all that the entities of ``seen`` have; see ``OnlineInspection``.

    They are brought together beside the entity's own, so that this takes Redis one short step.

    :raises TooManyEventsLoaded: a hop would be beyond what it takes; nothing was exchanged.
    """
    aside = replace(layout, aside=b"a:aside:%s:" % secrets.token_hex(8).encode())
    try:
        # What is aside goes by itself where this process ends before its time.
        merge_events(client, aside, batches, ttl=ttl or timedelta(), at=at, grace=grace)
        return _exchanged(client, layout, aside, seen, for_ever=ttl is None)
    except Exception:
        # That may be a window and a TTL later: a full Redis has no room for what each try leaves.
        with contextlib.suppress(redis.RedisError):
            client.unlink(*aside.keys(list(seen)))
        raise


def _exchanged(
    client: redis.Redis,
    layout: EventLayout,
    aside: EventLayout,
    seen: Mapping[bytes, bytes],
    *,
    for_ever: bool,
) -> list[bytes]:
    tags = list(seen)
    done: list[bytes] = []
    for tag, key, own in zip(tags, layout.keys(tags), aside.keys(tags), strict=True):
        [brought] = told_at(client, [own])
        if client.eval(EXCHANGE, 2, key, own, seen[tag], brought, b"1" if for_ever else b""):
            done.append(tag)
    return done
