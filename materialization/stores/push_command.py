"""One push as it is sent to Redis: what it brings, and the keys and arguments of the script.

Not for sending it (``push_log``) or for what Redis does with it (``push_scripts``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lib.instants import to_us
from materialization.stores import expiring
from materialization.stores.events import EventLayout
from materialization.stores.later_rows import LATER, SOON, later_key, later_than
from materialization.stores.layout import counter_key, log_key
from materialization.stores.stretches import said_stretch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta

    import pyarrow as pa

    from materialization.stores.layout import TableLayout
    from materialization.stores.stretches import Stretch

#: The names of the tables whose logs may have entries.
LOGGED = b"a:pushed"
#: For how long an answer is known by its idempotency key.
REMEMBERED_MS = 24 * 3600 * 1000


class PushedRows(NamedTuple):
    """Rows for one table: its stored columns but for the sequence, which the log gives.

    ``draw`` gives a block of the table's sequences; ``ttl`` is the longest of its versions. Rows of
    a stretch are taken where the table stands at its beginning, and then it stands at its end.
    """

    layout: TableLayout | EventLayout
    rows: pa.RecordBatch
    ttl: timedelta | None
    draw: Callable[[int], range]
    stretch: Stretch | None = None


class Once(NamedTuple):
    """What makes a call that is repeated count once: ``answer`` is kept under ``key``."""

    key: bytes
    answer: bytes


class MostWaiting(NamedTuple):
    """How many pushes, and bytes, one table's log takes; how many of its rows wait at most."""

    entries: int
    size: int
    later: int = 1_000_000


class Seen(NamedTuple):
    """What a push was prepared by: epochs by their keys, as one server process had them."""

    epochs: dict[bytes, bytes]
    server: str


class PushCommand:
    """What is sent to Redis, packed once however often it is sent."""

    def __init__(
        self,
        tables: Sequence[PushedRows],
        *,
        at: datetime,
        once: Once | None,
        most: MostWaiting,
        grace: timedelta,
        epochs: Mapping[bytes, bytes],
    ) -> None:
        self._at, self._grace = at, grace
        self._waiting = [0] * len(tables)
        self._keys: list[Any] = [LOGGED, once.key if once else b"", LATER, *epochs]
        said: list[Any] = []
        of_rows: list[bytes] = []
        rows: list[Any] = []
        for place, table in enumerate(tables):
            layout, batch = table.layout, table.rows
            self._keys += [counter_key(layout.uid), log_key(layout.uid)]
            said += [layout.uid, batch.num_rows, batch.serialize().to_pybytes()]
            if isinstance(layout, EventLayout):
                each = layout.packed(batch, at=at, ttl=table.ttl, grace=grace)
                said += [each.oldest, *said_stretch(table.stretch)]
                of_rows += each.keys
                kept = zip(*each[1:6], strict=True)
                rows += [part for row in kept for part in row]
                continue
            said += [b"", *said_stretch(table.stretch)]
            of_rows += layout.arrow_keys(batch).to_pylist()
            rows += self._plain(place, table, layout)
        self._keys += [*of_rows, *(later_key(table.layout.uid) for table in tables)]
        answer = once.answer if once else b""
        heads = [len(tables), answer, REMEMBERED_MS, *most, to_us(at), len(epochs)]
        self._arguments = [*heads, *epochs.values(), *said, *rows, *self._waiting]

    def _plain(self, place: int, table: PushedRows, layout: TableLayout) -> list[bytes]:
        """Return of each row what stands before its sequence, behind it, and when it ends.

        Or, of one that is not visible yet, when it is: behind a ``w``.
        """
        batch, at = table.rows, self._at
        before, after = (part.to_pylist() for part in layout.arrow_parts(batch))
        ends = expiring.expiries(batch, table.ttl, at, self._grace) or [b""] * batch.num_rows
        soon = to_us(at + SOON)
        for row, visible in later_than(batch, at):
            ends[row] = b"w%d" % visible
            self._waiting[place] += visible > soon
        return [each for row in zip(before, after, ends, strict=True) for each in row]

    def words(self, server: str) -> list[Any]:
        return [len(self._keys), *self._keys, server, *self._arguments]
