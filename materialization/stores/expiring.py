"""When rows leave memory: few are given their expiry as they are written, the rest by a walk.

Redis keeps a key's expiry in an entry of its own, for as long as the key lives: so only rows whose
end is near have one. The walk also removes rows that nobody can read any more. Not for whether a
row still answers: readers go by its event.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import defaultdict
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa
import redis

from lib.instants import MICROSECOND, to_us
from lib.pace import Pace
from materialization.stores.hop_scripts import TRIM_HOPS
from materialization.stores.layout import (
    ANY_ROWS,
    EVENTS,
    HEADER_COLUMNS,
    KEYS_PER_CALL,
    ROWS,
    header_numbers,
    marker_key,
    ticket_key,
    uid_of,
)
from materialization.stores.online_protocol import EXPIRES_AHEAD, Walked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from materialization.stores.online_protocol import Marker

_MILLISECOND = 1000 * MICROSECOND
#: Is there while nobody needs to walk.
_WALKED = b"walked"

#: Gives rows without an expiry theirs, if it is near, unless their table is being loaded or was
#: since this page was read: its rows may have to stay longer now. Answers how many were given one.
EXPIRE = """
local call, given = redis.call, 0
if call('EXISTS', KEYS[1]) == 1 or call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
for i = 3, #KEYS do
  if call('PTTL', KEYS[i]) == -1 then
    local row = call('GETRANGE', KEYS[i], 0, 11)
    local at = string.byte(row) == 220 and 4 or 2
    if string.byte(row, at) == 211 and #row >= at + 8 then
      local high, low = struct.unpack('>i4I4', row, at + 1)
      local over = math.ceil((high * 4294967296 + low) / 1000) + ARGV[2] - ARGV[3]
      local left = math.max(over, 0) + ARGV[4]
      if left <= tonumber(ARGV[5]) then
        call('PEXPIRE', KEYS[i], math.max(left, 1))
        given = given + 1
      end
    end
  end
end
return given
"""
_EXPIRE_SHA = hashlib.sha1(EXPIRE.encode(), usedforsecurity=False).hexdigest()


def expiries(
    batch: pa.RecordBatch, ttl: timedelta | None, at: datetime, grace: timedelta
) -> list[bytes] | None:
    """Return for how many milliseconds from ``at`` each row is kept: empty where it is long.

    None: that is so of all of them.
    """
    if ttl is None:
        return None
    (events,) = header_numbers(batch, HEADER_COLUMNS[:1])
    left = np.maximum(events + ttl // MICROSECOND - to_us(at), 0) + grace // MICROSECOND
    milliseconds = np.maximum(-(-left // 1000), 1)
    near = milliseconds <= EXPIRES_AHEAD // _MILLISECOND
    if not near.any():
        return None
    texts = pa.array(milliseconds, mask=~near).cast(pa.string()).fill_null("")
    return cast("list[bytes]", texts.cast(pa.binary()).to_pylist())


def claim(client: redis.Redis, every: timedelta) -> bool:
    """Return whether nobody else claimed a walk for so long, or its data was lost since."""
    return bool(client.set(_WALKED, b"", px=every // _MILLISECOND, nx=True))


def expire(
    client: redis.Redis,
    read_marker: Callable[[bytes], Marker | None],
    *,
    known: Callable[[set[str]], dict[str, bool]],
    at: datetime,
    pace: float,
    grace: timedelta,
) -> Walked:
    """Walk through all rows, ``pace`` a second.

    It begins where chance has it, goes to the end and then through all: walks that are cut short
    see other rows each time. A table's marker is asked for with every page: runs set others. So is
    whether it is known, until it is in use: a table is made before its rows are. What nobody knows
    is another's: somebody may have taken the wrong database, or the wrong Redis.
    """
    times = to_us(at) // 1000, grace // _MILLISECOND, EXPIRES_AHEAD // _MILLISECOND
    given = removed = trimmed = ends = 0
    used, unknown = dict[str, bool](), set[str]()
    pacer, cursor = Pace(pace), secrets.randbits(48)
    while ends < 2:
        cursor, keys = cast(
            "tuple[int, list[bytes]]", client.scan(cursor, ANY_ROWS + b"*", KEYS_PER_CALL)
        )
        ends += cursor == 0
        tables = _by_table(keys)
        unsure = {uid for uid in tables if not used.get(uid)}
        used |= known(unsure) if unsure else {}
        unknown |= unsure - used.keys()
        for uid, those in tables.items():
            if not used.get(uid, True):
                removed += _removed(client, uid, those)
            if not used.get(uid):
                continue
            marker = cast("bytes | None", client.get(marker_key(uid)))
            if not marker or (told := read_marker(marker)) is None:
                continue
            if (hops := told.hops) is not None:
                trimmed += _trimmed(
                    client, [key for key in those if key.startswith(EVENTS)], hops, at
                )
            elif (ttl := told.ttl) is not None:
                rows = [key for key in those if key.startswith(ROWS)]
                names = [ticket_key(uid), marker_key(uid), *rows]
                given += _evaluated(client, names, [marker, ttl // _MILLISECOND, *times])
        pacer.wait(len(keys))
    return Walked(given, removed, frozenset(unknown), trimmed)


def _trimmed(
    client: redis.Redis, keys: Sequence[bytes], hops: tuple[int, int], at: datetime
) -> int:
    """Take away what no window reaches, nor a reader's whose clock is up to a hop behind."""
    hop, longest = hops
    oldest = (to_us(at) - longest) // hop - 1
    return cast("int", client.eval(TRIM_HOPS, len(keys), *keys, oldest)) if keys else 0


def _by_table(keys: Sequence[bytes]) -> dict[str, list[bytes]]:
    tables = defaultdict[str, list[bytes]](list)
    for key in keys:
        if (uid := uid_of(key)) is not None:
            tables[uid].append(key)
    return tables


def _removed(client: redis.Redis, uid: str, keys: Sequence[bytes]) -> int:
    """Remove rows, and in the same step what says that all are there or will be.

    Should the table be in use after all, its readers are told that it is not loaded, a load under
    way ends unmarked, and the next writes all rows.
    """
    with client.pipeline() as step:
        step.delete(marker_key(uid), ticket_key(uid))
        step.unlink(*keys)
        return cast("int", step.execute()[1])


def _evaluated(client: redis.Redis, keys: list[bytes], arguments: list[bytes | int]) -> int:
    try:
        return cast("int", client.evalsha(_EXPIRE_SHA, len(keys), *keys, *arguments))
    except redis.exceptions.NoScriptError:
        return cast("int", client.eval(EXPIRE, len(keys), *keys, *arguments))
