"""Pushed rows in Redis: merged and logged in one step, until they are in the offline store.

Each table has a log, a stream whose entries are named by the sequence of their last row, and a
counter that gives sequences of a block the database drew for this server process. Not for checking
rows (``ingest``) or for the table they end up in (``offline``).
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import hiredis
import msgspec
import pyarrow as pa
import redis

from lib.connections import server_of, translated
from lib.errors import AssayError, Conflict, Unavailable
from lib.round_trips import round_trip
from materialization.stores.inspection import GRACE
from materialization.stores.layout import counter_key, log_key
from materialization.stores.log_standing import log_standing
from materialization.stores.push_command import LOGGED, PushCommand
from materialization.stores.push_scripts import (
    DRAINED,
    MOVE,
    PUSH,
    PUSH_SHA,
    RELEASE,
    SEED,
    TRIM,
)
from materialization.stores.stretches import Stretch, place_field, read_stretch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta

    from materialization.stores.log_standing import LogStanding
    from materialization.stores.push_command import MostWaiting, Once, PushedRows, Seen

#: What tells a table's commits of pushed rows, and what is staged for them, from those of runs.
TRANSACTION = "pushed"
#: For how long whoever drains a log is taken to be at it without saying so again.
DRAINING_MS = 30_000
#: How many sequences are drawn at once.
BLOCK = 1_000_000
#: A table's counter is made anew where Redis lost it, started again or has used its block up: of
#: each table once, and again where others did so meanwhile.
_MORE_ATTEMPTS = 2


class PushLogFull(Unavailable):
    code = "push_log_full"


class PushLogAhead(Unavailable):
    code = "push_log_ahead"


class HopFull(NamedTuple):
    """The row, of those of one table, for which its entity has no room in its hop."""

    table: int
    row: int


class NoRoomInHop(Exception):
    """An entity has as many events in one hop as are kept; nothing was taken."""

    def __init__(self, full: HopFull) -> None:
        super().__init__(full)
        self.full = full


class StreamMoved(Conflict):
    """A table stands elsewhere in a stream than where rows begin: they are not taken again."""

    code = "stream_moved"


class TooManyWait(Unavailable):
    code = "too_many_rows_wait"


class SeenNoMore(Exception):  # noqa: N818 - no fault of anybody's
    """What a push was prepared by has changed since; nothing was taken."""


class Taken(NamedTuple):
    """``written`` of the rows are the newest now; ``before``: what the key was answered before."""

    written: int
    before: bytes | None = None


class LogEntry(NamedTuple):
    """Rows of one push, with the sequence of the last of them, and where they were read if so."""

    last: int
    rows: int
    data: bytes
    stretch: Stretch | None = None

    @classmethod
    def read(cls, last: int, said: dict[bytes, bytes]) -> LogEntry:
        return cls(last, int(said[b"n"]), said[b"d"], read_stretch(said))

    @property
    def first(self) -> int:
        return self.last - self.rows + 1

    def batch(self, schema: pa.Schema) -> pa.RecordBatch:
        """Return the rows; ``schema`` is that of what was pushed."""
        return pa.ipc.read_record_batch(pa.py_buffer(self.data), schema)


class RedisPushLog:
    """The logs of one Redis; every method raises ``Unavailable`` when it does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def push(
        self,
        tables: Sequence[PushedRows],
        *,
        at: datetime,
        once: Once | None = None,
        most: MostWaiting,
        grace: timedelta = GRACE,
        seen: Seen | None = None,
    ) -> Taken:
        """Merge rows into the tables and append them to their logs, all of them or none.

        :raises SeenNoMore: what is ``seen`` is so no more, or of another server process.
        :raises TooManyWait: rows of the future that wait are as many as may.
        :raises PushLogFull: a table's log has ``most``, for nobody drains it.
        :raises NoRoomInHop: an entity has too many events of one time to keep another.
        :raises StreamMoved: a table stands elsewhere than where its stretch begins.
        :raises BadOnlineRows: a column is missing or mistyped, a key or a time is null.
        """
        epochs = seen.epochs if seen is not None else {}
        command = PushCommand(tables, at=at, once=once, most=most, grace=grace, epochs=epochs)
        for _ in range(len(tables) + _MORE_ATTEMPTS):
            with translated():
                server, (said, what, *row) = self._call(command, seen)
            if said == 0:
                return Taken(int(what))
            if said == 2:
                return Taken(0, bytes(what))
            if said == 5:
                raise NoRoomInHop(HopFull(int(what) - 1, int(row[0]) - 1))
            if said == 8:
                raise SeenNoMore
            if (refused := _refused(said, most)) is not None:
                raise refused
            table = tables[int(what) - 1]
            block = table.draw(BLOCK)
            self._seed(table.layout.uid, server, block)
        raise PushLogAhead(
            "the log of pushed rows and the database disagree about its numbers: one of them was"
            " restored from a copy. Nothing was taken. Send it again; whoever runs the server sees"
            " that both are of one time."
        )

    def _call(self, command: PushCommand, seen: Seen | None) -> tuple[str, list[Any]]:
        pool = self._redis.connection_pool
        connection: Any = pool.get_connection()
        try:
            if seen is not None and server_of(connection) != seen.server:
                raise SeenNoMore
            try:
                return self._sent(connection, command)
            except redis.exceptions.NoScriptError:
                connection.send_command("SCRIPT", "LOAD", PUSH)
                connection.read_response()
                return self._sent(connection, command)
        except SeenNoMore:
            raise
        except BaseException:
            connection.disconnect()
            raise
        finally:
            pool.release(connection)

    @staticmethod
    def _sent(connection: Any, command: PushCommand) -> tuple[str, list[Any]]:
        """Send it once: whether what was not answered was done, nobody here knows."""
        server = server_of(connection)
        # The client's own packing costs as much as the step itself.
        words = ("EVALSHA", PUSH_SHA, *command.words(server))
        return server, round_trip(connection, [hiredis.pack_command(cast("Any", words))])[0]

    def _seed(self, uid: str, server: str, block: range) -> None:
        with translated():
            self._redis.eval(SEED, 1, counter_key(uid), server, block.start - 1, block.stop - 1)

    def answered(self, key: bytes) -> bytes | None:
        """Return what is kept under the key of ``Once``; None: nothing was taken under it."""
        with translated():
            return cast("bytes | None", self._redis.get(key))

    def server(self) -> str:
        """Return which server process answers now."""
        with translated():
            return str(self._redis.info("server")["run_id"])

    def loaded_into(self, uid: str) -> str | None:
        """Return which server process the table was last loaded into on purpose."""
        with translated():
            found = cast("bytes | None", self._redis.hget(counter_key(uid), "loaded"))
        return found.decode() if found is not None else None

    def note_loaded(self, uid: str, server: str) -> None:
        with translated():
            self._redis.hset(counter_key(uid), "loaded", server)

    def logged(self) -> list[str]:
        """Return the names of the tables whose logs may have entries."""
        with translated():
            return sorted(
                each.decode() for each in cast("set[bytes]", self._redis.smembers(LOGGED))
            )

    @contextmanager
    def draining(self, uid: str) -> Iterator[bool]:
        """Give whether nobody else drains the table's log for as long as the block takes.

        Whoever dies is waited for ``DRAINING_MS``, and so is who does not say ``still_draining``.
        """
        key, token = _claim_key(uid), secrets.token_bytes(16)
        with translated():
            is_ours = bool(self._redis.set(key, token, nx=True, px=DRAINING_MS))
        try:
            yield is_ours
        finally:
            if is_ours:
                with suppress(Unavailable), translated():
                    self._redis.eval(RELEASE, 1, key, token)

    def still_draining(self, uid: str) -> None:
        with translated():
            self._redis.pexpire(_claim_key(uid), DRAINING_MS)

    def last(self, uid: str) -> int:
        """Return the sequence of the newest entry; 0 where there is none."""
        with translated():
            found: Any = self._redis.xrevrange(log_key(uid), count=1)
        return int(found[0][0].partition(b"-")[0]) if found else 0

    def entries(self, uid: str, *, after: int, until: int, count: int) -> list[LogEntry]:
        """Return the entries behind a sequence and up to another, in order."""
        between = {"min": f"({after}-0", "max": f"{until}-0"}
        with translated():
            found: Any = self._redis.xrange(log_key(uid), count=count, **between)
        return [LogEntry.read(int(name.partition(b"-")[0]), said) for name, said in found]

    def stands(self, uid: str, stream: str) -> int | None:
        """Return the place from which on a table's rows of a stream are not taken yet."""
        with translated():
            found = cast("bytes | None", self._redis.hget(counter_key(uid), place_field(stream)))
        return None if found is None else int(found)

    def move(self, uid: str, stream: str, *, begin: int | None, end: int) -> bool:
        """Have a table stand at ``end`` of a stream if it does at ``begin``; return whether."""
        said = "" if begin is None else begin
        with translated():
            done = self._redis.eval(MOVE, 1, counter_key(uid), place_field(stream), said, end)
        return bool(done)

    def trim(self, uid: str, *, until: int) -> None:
        """Forget the entries up to a sequence."""
        with translated():
            self._redis.eval(TRIM, 2, log_key(uid), LOGGED, uid, f"{until + 1}-0")

    def lag(self, uid: str) -> int:
        """Return how many entries wait."""
        with translated():
            return int(self._redis.xlen(log_key(uid)))

    def standing(self, uid: str) -> LogStanding:
        """Return what of a table's log waits, and what was stored of it last."""
        return log_standing(self._redis, uid)

    def note_drained(self, uid: str, rows: int) -> None:
        """Note that rows were stored now, for those who look."""
        with translated():
            self._redis.eval(DRAINED, 1, counter_key(uid), rows)


def _refused(said: int, most: MostWaiting) -> AssayError | None:
    """Return why nothing was taken for now; None where the table only lacks numbers."""
    if said == 7:
        return TooManyWait(
            f"{most.later:,} rows of one table wait for their time to come, or"
            f" {most.size >> 20} MB of them (PUSH_MAX_LATER, PUSH_MAX_WAITING_MB), and"
            " nothing of this push was taken; push rows once they are true."
        )
    if said == 6:
        return StreamMoved("others have read on since, or Redis came back as it was before")
    if said == 3:
        return PushLogFull(
            f"{most.entries:,} pushes to one table, or {most.size >> 20} MB of them, wait"
            " to be written to the offline store (PUSH_MAX_WAITING, PUSH_MAX_WAITING_MB),"
            " which is not getting on: see that workers run and the store takes rows."
            " Nothing of this one was taken; send it again later."
        )
    return None


def _claim_key(uid: str) -> bytes:
    return b"a:draining:" + uid.encode()


def remembered_key(*parts: str) -> bytes:
    """Return the key under which an answer is kept, of all that the caller said it by."""
    return b"a:once:" + hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:40].encode()
