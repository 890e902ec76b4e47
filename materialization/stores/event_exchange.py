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
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    import pyarrow as pa

    from materialization.stores.events import EventLayout

#: Entities that one call is about: of one as full as it may be Redis takes some 25 ms, twice that
#: for an exchange, and answers nobody else meanwhile.
ENTITIES_PER_CALL = 1

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
TOLD = (
    _TOLD
    + """
local all = {}
for i = 1, #KEYS do all[i] = told(KEYS[i]) end
return all
"""
)
#: Moves what was brought together aside into the place of what was seen, where both are still
#: there; where nothing was brought, the other goes. Answers of each entity whether that was done.
EXCHANGE = (
    _TOLD
    + """
local done = {}
for i = 1, #KEYS, 2 do
  local key, aside = KEYS[i], KEYS[i + 1]
  if told(key) == ARGV[i + 1] and told(aside) == ARGV[i + 2] then
    if ARGV[i + 2] == '' then
      call('DEL', key)
    else
      call('RENAME', aside, key)
      if ARGV[1] == '1' then call('PERSIST', key) end
    end
    done[#done + 1] = 1
  else
    call('UNLINK', aside)
    done[#done + 1] = 0
  end
end
return done
"""
)


def told_at(client: redis.Redis, keys: Sequence[bytes]) -> list[bytes]:
    """Return what tells the events under each key from all others; empty where there are none."""
    told: list[bytes] = []
    for part in _parts(keys):
        told += cast("list[bytes]", client.eval(TOLD, len(part), *part))
    return told


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
            for tags in _parts(list(seen)):
                client.unlink(*aside.keys(tags))
        raise


def _exchanged(
    client: redis.Redis,
    layout: EventLayout,
    aside: EventLayout,
    seen: Mapping[bytes, bytes],
    *,
    for_ever: bool,
) -> list[bytes]:
    flag = b"1" if for_ever else b""
    done: list[bytes] = []
    for tags in _parts(list(seen)):
        own = aside.keys(tags)
        keys = [key for pair in zip(layout.keys(tags), own, strict=True) for key in pair]
        brought = zip(tags, told_at(client, own), strict=True)
        given = [part for tag, told in brought for part in (seen[tag], told)]
        answers = cast("list[int]", client.eval(EXCHANGE, len(keys), *keys, flag, *given))
        done += [tag for tag, is_done in zip(tags, answers, strict=True) if is_done]
    return done


def _parts(items: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    starts = range(0, len(items), ENTITIES_PER_CALL)
    return (items[start : start + ENTITIES_PER_CALL] for start in starts)
