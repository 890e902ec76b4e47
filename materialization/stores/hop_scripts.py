"""What Redis does with the hops of entities beside keeping events, as Lua: reading, trimming.

Not for keeping events (``event_scripts``, which says how an entity lies), nor for calling any.
"""

from __future__ import annotations

import hashlib

from materialization.stores.event_bounds import HOP_HEADER, MOST_ANSWERED

#: Reads the marker of a table and the events of entities from a hop on: of each, when its newest
#: event was, then names and what is under them. Of a hop before ``ARGV[2]`` that is none of
#: ``ARGV[4]`` and later, ``p`` and its number, what is known of it, if that is known; else its
#: events. With ``ARGV[3]`` of all hops the events. Answers fewer entities than were asked for where
#: these have very much: it answers nobody else meanwhile.
READ = """
local call, unpack = redis.call, unpack
local found, oldest, head = {call('GET', KEYS[1])}, tonumber(ARGV[1]), tonumber(ARGV[2])
local edges, answered = {}, 0
for i = 4, #ARGV do edges[ARGV[i]] = true end
for i = 2, #KEYS do
  local known, hops, wanted = {}, {}, {'n'}
  for _, field in ipairs(call('HKEYS', KEYS[i])) do
    if string.sub(field, 1, 1) == 'p' then known[string.sub(field, 2)] = ARGV[3] == ''
    else hops[#hops + 1] = field end
  end
  for _, field in ipairs(hops) do
    local hop = tonumber(field)
    if hop and hop >= oldest then
      local is_inside = known[field] and hop < head and not edges[field]
      wanted[#wanted + 1] = is_inside and 'p' .. field or field
    end
  end
  local values, each = call('HMGET', KEYS[i], unpack(wanted)), {}
  each[1] = values[1]
  for place = 2, #wanted do
    each[2 * place - 2], each[2 * place - 1] = wanted[place], values[place]
  end
  found[i] = each
  for _, value in ipairs(values) do answered = answered + (value and #value or 0) end
  if answered > MOST_ANSWERED then break end
end
return found
""".replace("MOST_ANSWERED", str(MOST_ANSWERED))
READ_SHA = hashlib.sha1(READ.encode(), usedforsecurity=False).hexdigest()

#: Takes hops away that no window reaches any more: those before the one of each entity's number.
TRIM_HOPS = """
local call, trimmed = redis.call, 0
for i = 1, #KEYS do
  local gone = {}
  for _, field in ipairs(call('HKEYS', KEYS[i])) do
    local hop = tonumber(field)
    if hop and hop < tonumber(ARGV[1]) then
      gone[#gone + 1], gone[#gone + 2] = field, 'p' .. field
    end
  end
  if #gone > 0 then
    call('HDEL', KEYS[i], unpack(gone))
    trimmed = trimmed + 1
  end
end
return trimmed
"""

#: Keeps what is known of hops whose events are still those that it is made of, told by how the
#: field of the hop begins.
KEEP_KNOWN = f"""
for i = 1, #KEYS do
  local hop = ARGV[3 * i - 2]
  local events = redis.call('HGET', KEYS[i], hop)
  if events and string.sub(events, 1, {HOP_HEADER}) == ARGV[3 * i - 1] then
    redis.call('HSET', KEYS[i], 'p' .. hop, ARGV[3 * i])
  end
end
return 1
"""
