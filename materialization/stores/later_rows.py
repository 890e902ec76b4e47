"""Pushed rows whose time has not come: kept aside in Redis, and merged when it has.

A row waits until it is both true and known. It is in its table's log meanwhile, as all pushed rows
are. Not for pushing (``push_log``), nor for what a run does with such rows of a source.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from lib.connections import translated
from lib.instants import to_us
from materialization.stores.layout import KEYS_PER_CALL, header_numbers
from materialization.stores.merging import MERGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    import pyarrow as pa
    import redis

    from materialization.stores.layout import TableLayout

#: The names of the tables of which rows may wait.
LATER = b"a:waiting"
#: Rows that are visible so soon are held to no bound: clocks differ.
SOON = timedelta(seconds=10)


def later_key(uid: str) -> bytes:
    """Return where a table's rows wait, by the microsecond at which each is visible."""
    return b"a:later:" + uid.encode()


#: Forgets that rows of a table wait, if none does.
EMPTIED = "return redis.call('EXISTS', KEYS[1]) == 0 and redis.call('SREM', KEYS[2], ARGV[1]) or 0"


def later_than(batch: pa.RecordBatch, at: datetime) -> Iterator[tuple[int, int]]:
    """Yield the places of rows that are not visible at an instant, and when they are."""
    visible = np.maximum(*header_numbers(batch, ("event_timestamp", "created_timestamp")))
    for place in np.flatnonzero(visible > to_us(at)).tolist():
        yield place, int(visible[place])


class RedisLaterRows:
    """The rows of one Redis that wait; methods raise ``Unavailable`` when it does not answer."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def keep(self, layout: TableLayout, batches: Iterable[pa.RecordBatch], *, at: datetime) -> int:
        """Have stored rows wait that are not visible yet; return how many do."""
        kept = 0
        for batch in batches:
            later = dict(later_than(batch, at))
            if not later:
                continue
            keys, rows = layout.arrow_keys(batch).to_pylist(), layout.arrow_rows(batch).to_pylist()
            aside = {_packed(keys[place], rows[place]): when for place, when in later.items()}
            with translated():
                self._redis.sadd(LATER, layout.uid)
                self._redis.zadd(later_key(layout.uid), cast("Any", aside))
            kept += len(later)
        return kept

    def tables(self) -> list[str]:
        """Return the names of the tables of which rows may wait."""
        with translated():
            return sorted(each.decode() for each in cast("set[bytes]", self._redis.smembers(LATER)))

    def waiting(self, uid: str) -> int:
        with translated():
            return int(self._redis.zcard(later_key(uid)))

    def forget(self, uid: str) -> None:
        """Let go of what waits for a table that nobody reads."""
        with translated():
            self._redis.unlink(later_key(uid))
            self._redis.srem(LATER, uid)

    def bring(self, uid: str, *, at: datetime) -> int:
        """Merge a table's rows whose time has come; return how many had waited.

        Who dies in between leaves them where they are: what is merged twice is there once.
        """
        key, brought = later_key(uid), 0
        with translated():
            merge = self._redis.register_script(MERGE)
            while True:
                due = cast(
                    "list[bytes]",
                    self._redis.zrangebyscore(key, "-inf", to_us(at), start=0, num=KEYS_PER_CALL),
                )
                if not due:
                    break
                pairs = [_unpacked(each) for each in due]
                merge(keys=[each for each, _ in pairs], args=[row for _, row in pairs])
                self._redis.zrem(key, *due)
                brought += len(due)
            self._redis.eval(EMPTIED, 2, key, LATER, uid)
        return brought


def _packed(key: bytes, row: bytes) -> bytes:
    return b"%d:" % len(key) + key + row


def _unpacked(aside: bytes) -> tuple[bytes, bytes]:
    size, _, rest = aside.partition(b":")
    return rest[: int(size)], rest[int(size) :]
