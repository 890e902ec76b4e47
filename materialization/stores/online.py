"""The online store in one Redis: each entity's newest row, and the marker that says all are there.

Not for the bytes of keys and rows (``layout``), for merging rows (``merging``) or choosing them.
"""

from __future__ import annotations

import secrets
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import msgspec
import redis

from lib.connections import server_of, translated
from lib.decoding import msgpack_reader
from lib.round_trips import round_trip
from materialization.stores import expiring, merging
from materialization.stores.event_merging import merge_events
from materialization.stores.events import EventLayout, UnreadableEvents, events_of, is_seen_later
from materialization.stores.hop_scripts import KEEP_KNOWN, READ
from materialization.stores.inspecting import RedisInspection
from materialization.stores.inspection import GRACE
from materialization.stores.layout import (
    KEYS_PER_CALL,
    TableLayout,
    any_prefix,
    counter_key,
    decode_rows,
    marker_key,
    ticket_key,
)
from materialization.stores.online_commands import packed, read_events, rest_of
from materialization.stores.online_protocol import (
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

    import pyarrow as pa

    from materialization.stores.events import KnownHop

#: The part of a load's ticket that Redis keeps; after it stand the server process it is kept in,
#: and how many keys that had evicted.
TOKEN_BYTES, SERVER_BYTES = 8, 40
#: Of so many questions the keys that no entity decides are remembered.
MOST_FIXED = 1024
#: Under any other policy Redis drops values when memory is short, and a read answers NOT_FOUND.
#: Managed servers that hide their configuration answer nothing, which is let pass.
KEEPING_POLICIES = {"noeviction", "unknown"}

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
_decode_marker = msgpack_reader(Marker)


@lru_cache(maxsize=1024)  # each read meets those of its tables, and they change with a load only
def _read_marker(found: bytes) -> Marker | None:
    """Return a marker; None where it cannot be read: a table that is not loaded is loaded again."""
    try:
        return _decode_marker(found)
    except msgspec.DecodeError:
        return None


class RedisOnlineStore(RedisInspection):
    """The values of one Redis. Takes a layout and Arrow, knows no models.

    What each method promises stands in ``online_protocol.OnlineStore``; every one raises
    RedisUnavailable when Redis does not answer, or does not do what is asked.
    """

    def __init__(
        self, client: redis.Redis, *, epoch_keys: Callable[[int, Sequence[str]], list[bytes]]
    ) -> None:
        """``epoch_keys`` says under which keys of this Redis a project's and its views' are."""
        super().__init__(client)
        self._epoch_keys = epoch_keys
        # Every read has them, and they are the same for each of a plan.
        self._fixed_keys = lru_cache(maxsize=MOST_FIXED)(self._made_fixed_keys)

    def _made_fixed_keys(
        self, project_id: int, views: tuple[str, ...], uids: tuple[str, ...]
    ) -> tuple[bytes, ...]:
        """Return the keys of the epochs, then of the tables' markers."""
        return (*self._epoch_keys(project_id, views), *map(marker_key, uids))

    def write(
        self,
        layout: TableLayout | EventLayout,
        batches: Iterable[pa.RecordBatch],
        *,
        ttl: timedelta | None,
        at: datetime,
        grace: timedelta = GRACE,
        share: float = 1.0,
    ) -> WriteResult:
        with translated():
            if isinstance(layout, EventLayout):
                return merge_events(self._redis, layout, batches, ttl=ttl, at=at, grace=grace)
            return merging.merge(
                self._redis, layout, batches, ttl=ttl, at=at, grace=grace, share=share
            )

    def read(
        self,
        project_id: int,
        views: Sequence[str],
        tables: Sequence[tuple[TableLayout | EventLayout, Sequence[bytes | None]]],
        *,
        now: int = 0,
    ) -> OnlineRows:
        plain = [each for each in tables if isinstance(each[0], TableLayout)]
        fixed = self._fixed_keys(project_id, tuple(views), tuple([each.uid for each, _ in plain]))
        keys, epochs = [*fixed], len(fixed) - len(plain)
        for each, tags in plain:
            keys += each.keys(tags)
        # However often an entity is asked for, its events are read once.
        own = [(a, list(dict.fromkeys(tags))) for a, tags in tables if isinstance(a, EventLayout)]
        found, events, server = self._read_all(packed(b"MGET", *keys), own, now)
        rows: list[StoredRows | None] = []
        end = epochs + len(plain)
        markers = iter(found[epochs:])
        for layout, tags in tables:
            if isinstance(layout, EventLayout):
                rows.append(_stored_events(next(events), layout, tags))
                continue
            start, end = end, end + len(tags)
            rows.append(_stored_rows(next(markers), found[start:end], layout))
        return OnlineRows(tuple(found[:epochs]), server, rows)

    def _read_all(
        self, rows: bytes, own: list[tuple[EventLayout, list[bytes | None]]], now: int
    ) -> tuple[list[Any], Iterator[Any], str]:
        """Return what the command ``rows`` answers, each table's events, and who answered."""
        if not own:
            (found,), server = self._get([rows])
            return found, iter(()), server
        (found, *answers), server = self._get([rows, *[read_events(*each, now) for each in own]])
        is_whole = any(is_seen_later(each, now) for answer in answers for each in answer[1:])
        if is_whole:
            # Windows are as of then, and begin and end elsewhere than was asked for.
            whole = [read_events(*each, now, whole=True) for each in own]
            (found, *answers), server = self._get([rows, *whole])
        return found, rest_of(self._get, own, answers, now, is_whole=is_whole), server

    def _get(self, commands: list[bytes]) -> tuple[list[list[Any]], str]:
        """Return what each command answers, in one round trip, and which server said so.

        Goes to the connection itself: the pool's own layers cost as much as the reading.
        """
        with translated():
            pool: Any = self._redis.connection_pool
            connection = pool.borrow()
            try:
                answers = self._asked(connection, commands)
            except BaseException:
                # Whoever gets it from the pool looks first whether something is unread.
                pool.release(connection)
                raise
            server = server_of(connection)
            pool.give_back(connection)
            return answers, server

    def _asked(self, connection: Any, commands: list[bytes]) -> list[list[Any]]:
        try:
            return self._with_script(connection, commands)
        except redis.ConnectionError:
            # A connection that lay idle while Redis restarted is dead; a new one may not be, and
            # the server that it finds may have no scripts.
            connection.disconnect()
        return self._with_script(connection, commands)

    def _with_script(self, connection: Any, commands: list[bytes]) -> list[list[Any]]:
        try:
            return round_trip(connection, commands)
        except redis.exceptions.NoScriptError:
            self._redis.script_load(READ)
        return round_trip(connection, commands)

    def keep_known(self, layout: EventLayout, hops: Sequence[KnownHop]) -> None:
        keys = layout.keys([each.tag for each in hops])
        arguments: list[bytes] = []
        for each in hops:
            arguments += [b"%d" % each.hop, each.header, each.known]
        with translated():
            self._redis.eval(KEEP_KNOWN, len(keys), *keys, *arguments)

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
        hops: tuple[int, int] | None = None,
    ) -> bool:
        """Set the marker, unless Redis lost the ticket or restarted: rows may be lost then."""
        token, rest = ticket[:TOKEN_BYTES], ticket[TOKEN_BYTES:]
        server, evicted = rest[:SERVER_BYTES], int(rest[SERVER_BYTES:])
        marker = Marker(generation, as_of, sequence, ttl, evicted, hops)
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
                marker = _read_marker(found) if found else None
                if found and marker is not None and marker.evicted != evicted:
                    unmarked.append(uid)
                    self._redis.eval(UNMARK, 1, marker_key(uid), found)
        return unmarked

    def claim_expiry(self, *, every: timedelta) -> bool:
        with translated():
            return expiring.claim(self._redis, every)

    def expire(
        self,
        *,
        known: Callable[[set[str]], dict[str, bool]],
        at: datetime,
        pace: float,
        grace: timedelta = GRACE,
    ) -> Walked:
        with translated():
            return expiring.expire(
                self._redis, _read_marker, known=known, at=at, pace=pace, grace=grace
            )

    def drop(self, uid: str) -> int:
        dropped = 0
        with translated():
            self._redis.delete(marker_key(uid), ticket_key(uid), counter_key(uid))
            found = self._redis.scan_iter(match=any_prefix(uid) + b"*", count=KEYS_PER_CALL)
            for keys in _chunks(found, KEYS_PER_CALL):
                dropped += self._redis.unlink(*keys)
        return dropped


def _stored_events(
    answer: tuple[bytes | None, dict[bytes | None, list[Any]]],
    layout: EventLayout,
    tags: Sequence[bytes | None],
) -> StoredRows | None:
    marker, found = answer
    told = _read_marker(marker) if marker else None
    if told is None:
        return None
    try:
        entities = {tag: events_of(tag, each, layout) for tag, each in found.items()}
    except UnreadableEvents:
        return StoredRows(told.generation, told.as_of, [], is_readable=False)
    return StoredRows(told.generation, told.as_of, [entities[tag] for tag in tags])


def _stored_rows(
    marker: bytes | None, blobs: list[bytes | None], layout: TableLayout
) -> StoredRows | None:
    told = _read_marker(marker) if marker else None
    if told is None:
        return None
    try:
        rows = decode_rows(blobs, missing=layout.missing)
    except msgspec.DecodeError:
        return StoredRows(told.generation, told.as_of, [], is_readable=False)
    is_readable = not rows or set(map(len, rows)) == {layout.width}
    return StoredRows(told.generation, told.as_of, rows, is_readable)


def _chunks(keys: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for key in keys:
        chunk.append(key)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
