"""What Redis does with pushed rows in one step, as Lua.

Not for calling it: ``push_log`` does, and knows what it answers.
"""

from __future__ import annotations

import hashlib

from materialization.stores.event_scripts import PUT

#: Takes the rows of one push, of one table or several: all of them or none. Nothing is written
#: before it is known that all can be. Answers 0 and how many rows won; 1 and a table whose counter
#: is not this server's or has too few left; 2 and what the same key was answered; 3 and a table
#: whose log is full; 4 and a table whose log is ahead of its counter; 5, a table and the row of it
#: for which its entity's hop has no room; 6 and a table whose stream stands elsewhere than where
#: the rows begin; 7 and a table of which too much waits for its time; 8: the epochs are others. Of
#: a table of events a row has its hop and what tells it before the others. A row whose time is to
#: come is in the log, and is kept aside with the key it is for.
PUSH = (
    PUT
    + """
local epochs = tonumber(ARGV[9])
for i = 1, epochs do
  if (call('GET', KEYS[3 + i]) or '') ~= ARGV[9 + i] then return {8, 0} end
end
local known = KEYS[2] ~= '' and call('GET', KEYS[2])
if known then return {2, known} end
local tables, own, base = tonumber(ARGV[2]), 2 + epochs, 10 + epochs
local keys_end, args_end = #KEYS - tables, #ARGV - tables
local at, lasts, sums = base, {}, {}
for t = 1, tables do
  local counter, log = KEYS[own + 2 * t], KEYS[own + 1 + 2 * t]
  local has = call('HMGET', counter, 'server', 'last', 'limit', 'rows')
  local rows = tonumber(ARGV[at + 1])
  if has[1] ~= ARGV[1] or tonumber(has[2]) + rows > tonumber(has[3]) then return {1, t} end
  if ARGV[at + 4] ~= '' and call('HGET', counter, ARGV[at + 4]) ~= ARGV[at + 5] then
    return {6, t}
  end
  if call('XLEN', log) >= tonumber(ARGV[5]) then return {3, t} end
  local size = (call('MEMORY', 'USAGE', log) or 0) + string.len(ARGV[at + 2])
  if size > tonumber(ARGV[6]) then return {3, t} end
  local aside, waiting = KEYS[keys_end + t], tonumber(ARGV[args_end + t])
  if waiting > 0 and (call('ZCARD', aside) + waiting > tonumber(ARGV[7])
      or (call('MEMORY', 'USAGE', aside) or 0) > tonumber(ARGV[6])) then return {7, t} end
  lasts[t], sums[t], at = tonumber(has[2]), tonumber(has[4] or 0), at + 8
end
local key, row = own + 2 + 2 * tables, base + 8 * tables
for t = 1, tables do
  local head = base + 8 * (t - 1)
  local rows = tonumber(ARGV[head + 1])
  if ARGV[head + 3] == '' then
    key, row = key + rows, row + 3 * rows
  else
    for i = 1, rows do
      local entity, hop = KEYS[key], ARGV[row]
      if hop ~= '' and hop ~= '-' then
        local size = #ARGV[row + 1] + #ARGV[row + 2] + #ARGV[row + 3] + 8
        if not fits(entity, hop, ARGV[row + 1], size) then return {5, t, i} end
      end
      key, row = key + 1, row + 5
    end
  end
end
at = base
for t = 1, tables do
  local rows, log = tonumber(ARGV[at + 1]), KEYS[own + 1 + 2 * t]
  local id = string.format('%.0f-0', lasts[t] + rows)
  local before = string.format('%.0f', sums[t])
  local done
  if ARGV[at + 4] == '' then
    done = redis.pcall('XADD', log, id, 't', ARGV[8], 'c', before, 'n', rows, 'd', ARGV[at + 2])
  else
    done = redis.pcall('XADD', log, id, 't', ARGV[8], 'c', before, 'n', rows, 'd', ARGV[at + 2],
      's', ARGV[at + 4], 'b', ARGV[at + 5], 'p', ARGV[at + 6], 'o', ARGV[at + 7])
  end
  if type(done) == 'table' and done.err then
    for earlier = 1, t - 1 do
      local had = tonumber(ARGV[base + 1 + 8 * (earlier - 1)])
      call('XDEL', KEYS[own + 1 + 2 * earlier], string.format('%.0f-0', lasts[earlier] + had))
    end
    if string.find(done.err, 'equal or smaller', 1, true) then return {4, t} end
    return done
  end
  at = at + 8
end
local written = 0
key, row, at = own + 2 + 2 * tables, base + 8 * tables, base
for t = 1, tables do
  local rows, last, oldest = tonumber(ARGV[at + 1]), lasts[t], ARGV[at + 3]
  for i = 1, rows do
    local sequence = last + i
    local middle = string.char(211) ..
      struct.pack('>i4I4', math.floor(sequence / 4294967296), sequence % 4294967296)
    if oldest == '' then
      local packed, left = ARGV[row] .. middle .. ARGV[row + 1], ARGV[row + 2]
      if byte(left) == 119 then
        local aside = string.format('%d:', #KEYS[key]) .. KEYS[key] .. packed
        call('ZADD', KEYS[keys_end + t], string.sub(left, 2), aside)
        call('SADD', KEYS[3], ARGV[at])
      else
        written = written + keep(KEYS[key], packed, left)
      end
      row = row + 3
    else
      local whole = ARGV[row + 2] .. middle .. ARGV[row + 3]
      written = written + put(KEYS[key], ARGV[row], ARGV[row + 1], whole, ARGV[row + 4], oldest)
      row = row + 5
    end
    key = key + 1
  end
  call('HSET', KEYS[own + 2 * t], 'last', string.format('%.0f', last + rows),
    'rows', string.format('%.0f', sums[t] + rows))
  if ARGV[at + 4] ~= '' then call('HSET', KEYS[own + 2 * t], ARGV[at + 4], ARGV[at + 6]) end
  call('SADD', KEYS[1], ARGV[at])
  at = at + 8
end
write_hops()
if KEYS[2] ~= '' then call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4]) end
return {0, written}
"""
)
PUSH_SHA = hashlib.sha1(PUSH.encode(), usedforsecurity=False).hexdigest()

#: Gives a counter a block, unless this server's has a later one by now.
SEED = """
local has = redis.call('HMGET', KEYS[1], 'server', 'last')
if has[1] == ARGV[1] and tonumber(has[2]) >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'server', ARGV[1], 'last', ARGV[2], 'limit', ARGV[3])
return 1
"""

#: Says that a table has come to another place of a stream, if it stands where it is said to.
MOVE = """
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""

#: Forgets entries up to one, and that the table has any if it has none left.
TRIM = """
local gone = redis.call('XTRIM', KEYS[1], 'MINID', '=', ARGV[2])
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('SREM', KEYS[2], ARGV[1]) end
return gone
"""

#: Tells how many entries a log has, when the first of them came, in microseconds, and how many rows
#: all of them have; then when rows were stored last, and how many.
STANDING = """
local had = redis.call('HMGET', KEYS[2], 'rows', 'drained_at', 'drained_rows')
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if not first then return {0, '0', 0, had[2] or '', had[3] or '0'} end
local rows = tonumber(had[1] or 0) - tonumber(first[2][4])
return {redis.call('XLEN', KEYS[1]), first[2][2], rows, had[2] or '', had[3] or '0'}
"""

#: Notes that so many rows were stored, by Redis's own clock.
DRAINED = """
local now = redis.call('TIME')
local at = now[1] .. string.format('%06d', now[2])
return redis.call('HSET', KEYS[1], 'drained_at', at, 'drained_rows', ARGV[1])
"""

#: Ends a claim that is still one's own.
RELEASE = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"
