"""What Redis does with the events of an entity, as Lua: keeping them by hops, and reading them.

An entity is one hash. A field named by a hop's number has the events of that hop, one behind the
other, and ``p`` and its number what is known of them, until another is put there; ``n`` has the
time when the last of all was known, and that of the newest that was in time for the longest window.
Not for calling it (``events``, ``push_log``), nor for what windows make of events.
"""

from __future__ import annotations

import hashlib

from materialization.stores.event_bounds import HOP_HEADER, MOST_BYTES
from materialization.stores.merging import KEEP

#: Lua's ``put(key, hop, stamp, row, left, oldest)``: keeps one event. ``stamp`` is when it was
#: known and what tells it, which begins with its time. Of events that are told by the same the
#: greater by (created, sequence) stays: it corrects the other. Without a ``hop`` no window has it
#: any more, only that it was there; ``-``: it never was in one. A hop that is new takes away those
#: before ``oldest``. Answers 1 where it is there now and was not. ``write_hops`` writes each hop
#: once, at the end: a field is long. Bounded, it leaves a hop that would be too much, and answers
#: its key. ``fits`` answers whether an event of so many bytes has room in its hop beside those
#: asked about before.
PUT = (
    KEEP
    + """
local function sought(blob, id)
  local mark = string.char(196, #id) .. id
  local at, hit = HEADER + 1, string.find(blob, mark, HEADER + 1, true)
  while hit do
    while at < hit do
      local own = byte(blob, at + 1)
      at = at + 7 + own + unpack('>I4', blob, at + 3 + own)
    end
    if at == hit then return at end
    hit = string.find(blob, mark, hit + 1, true)
  end
end
local hops, opened = {}, {}
local function open(key, hop)
  local name = key .. '/' .. hop
  local one = opened[name]
  if not one then
    local blob = call('HGET', key, hop)
    one = {key = key, hop = hop, blob = blob or '', is_new = not blob, looks = 0, order = {},
           rows = {}, sizes = {}, dropped = {}, is_changed = false}
    one.count = blob and unpack('>I4', blob) or 0
    one.size = blob and #blob or HEADER
    opened[name], hops[#hops + 1] = one, one
  end
  return one
end
local function place(one, id)
  one.looks = one.looks + 1
  if one.looks <= 4 then return sought(one.blob, id) end
  if not one.index then
    local at, index, blob = HEADER + 1, {}, one.blob
    while at < #blob do
      local own = byte(blob, at + 1)
      index[string.sub(blob, at + 2, at + 1 + own)] = at
      at = at + 7 + own + unpack('>I4', blob, at + 3 + own)
    end
    one.index = index
  end
  return one.index[id]
end
local function fits(key, hop, stamp, size)
  local one, id = open(key, hop), string.sub(stamp, 9)
  local had = one.sizes[id]
  if not had then
    local at = place(one, id)
    had = at and unpack('>I4', one.blob, at + 3 + #id) + 7 + #id or 0
  end
  if size > had then one.size, one.sizes[id] = one.size + size - had, size end
  return one.size <= MOST
end
local function put(key, hop, stamp, row, left, oldest)
  if hop == '-' then return 0 end
  local x, y, high, low = unpack('>i4I4i4I4', stamp)
  local newest, id = call('HGET', key, 'n'), string.sub(stamp, 9)
  local is_newest, is_last = not newest, not newest
  if newest then
    local a, b, c, d = unpack('>i4I4i4I4', newest)
    is_last = x > a or (x == a and y > b)
    is_newest = high > c or (high == c and low > d)
    if not is_last then x, y = a, b end
    if not is_newest then high, low = c, d end
  end
  if is_last or is_newest then
    call('HSET', key, 'n', struct.pack('>i4I4i4I4', x, y, high, low))
  end
  local now = call('PTTL', key)
  if left == '' then
    if now >= 0 then call('PERSIST', key) end
  elseif (is_newest and now < tonumber(left)) or not newest then
    call('PEXPIRE', key, left)
  end
  if hop == '' then return 0 end
  local one = open(key, hop)
  one.oldest = oldest
  local had = one.rows[id]
  if had then
    if beyond(row, had) <= 0 then return 0 end
  else
    local at = place(one, id)
    if at then
      local start = at + 7 + #id
      local size = unpack('>I4', one.blob, start - 4)
      if beyond(row, string.sub(one.blob, start, start + size - 1)) <= 0 then return 0 end
      one.dropped[#one.dropped + 1] = {at, start + size}
    else
      one.count = one.count + 1
    end
    one.order[#one.order + 1] = id
  end
  local _, _, lag = number(row, byte(row) == 220 and 4 or 2)
  local _, _, sequence = number(row, lag)
  one.rows[id], one.is_changed = row, true
  one.version = struct.pack('>i4I4', number(row, sequence))
  return 1
end
local function written(one)
  local pieces, at = {struct.pack('>I4', one.count), one.version}, HEADER + 1
  table.sort(one.dropped, function(a, b) return a[1] < b[1] end)
  for _, gap in ipairs(one.dropped) do
    pieces[#pieces + 1] = string.sub(one.blob, at, gap[1] - 1)
    at = gap[2]
  end
  pieces[#pieces + 1] = string.sub(one.blob, at)
  for _, id in ipairs(one.order) do
    local row = one.rows[id]
    pieces[#pieces + 1] = string.char(196, #id) .. id .. string.char(198)
    pieces[#pieces + 1] = struct.pack('>I4', #row)
    pieces[#pieces + 1] = row
  end
  return table.concat(pieces)
end
local function write_hops(is_bounded)
  local beyond_most = ''
  for _, one in ipairs(hops) do
    if one.is_changed then
      for _, field in ipairs(one.is_new and call('HKEYS', one.key) or {}) do
        local other = tonumber(field)
        if other and other < tonumber(one.oldest) then
          call('HDEL', one.key, field, 'p' .. field)
        end
      end
      local blob = written(one)
      if is_bounded and #blob > MOST then
        beyond_most = one.key
      else
        call('HSET', one.key, one.hop, blob)
        call('HDEL', one.key, 'p' .. one.hop)
      end
    end
  end
  return beyond_most
end
""".replace("HEADER", str(HOP_HEADER)).replace("MOST", str(MOST_BYTES))
)

#: Keeps many events of one table: each with four arguments, behind the oldest hop that stays, and
#: whether a hop is bounded: pushed events were when they came, and are loaded in any order.
#: Answers how many are new, and what ``write_hops`` does.
PUT_ALL = (
    PUT
    + """
local kept, at = 0, 3
for i = 1, #KEYS do
  kept = kept + put(KEYS[i], ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[1])
  at = at + 4
end
return {kept, write_hops(ARGV[2] == '1')}
"""
)
PUT_ALL_SHA = hashlib.sha1(PUT_ALL.encode(), usedforsecurity=False).hexdigest()
