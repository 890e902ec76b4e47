"""What an online store does: what it takes and gives, what is atomic. [pure]

Not for any one of them: ``online`` keeps rows in Redis, and ``materialization.edges.stores`` has
a table of each. Runs and reads know stores by their protocols only.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, NewType, Protocol

import msgspec

from lib.errors import Unavailable
from materialization.stores.inspection import GRACE, OnlineInspection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pyarrow as pa

    from materialization.stores.events import EventLayout, KnownHop
    from materialization.stores.layout import TableLayout

#: How long before their end rows are given their expiry: it takes room in memory while it waits.
EXPIRES_AHEAD = timedelta(days=4)

#: What a store left of a load that began; only the store that gave it can read it.
LoadTicket = NewType("LoadTicket", bytes)


class OnlineStoreEvicts(Unavailable):
    """It drops rows when memory is short, so that a missing one means nothing."""

    code = "online_store_evicts"


class WriteResult(NamedTuple):
    """``skipped`` rows met a row as new or newer."""

    written: int
    skipped: int


class RowsUnreadable(Unavailable):
    code = "rows_unreadable"

    def __init__(self, version: str) -> None:
        super().__init__(
            f"{version}: what the online store holds of an entity that is asked for cannot be read:"
            " it was changed there, or broke. Other entities and versions are answered. `manage.py"
            " compare` names it; see docs/runbook.md, Certificates.",
            version=version,
        )


class StoredRows(NamedTuple):
    """The rows of a loaded table, one an entity: ``[event µs, lag µs, sequence, feature, …]``.

    The lag is how long after its event a row was known. Features are as the layout orders them; all
    of a row is None where the entity has none. Of a table of events each is an ``EntityEvents``,
    and None where the entity never had any.
    """

    #: Which load they are all of at least. An older one than the database knows: the store went
    #: back, and what was written since is missing.
    generation: int
    #: The end of what the table covered then: how old its rows are taken to be.
    as_of: datetime
    rows: list[Any]
    #: False: under a key of theirs lies what none of our steps leaves, and there are no ``rows``.
    is_readable: bool = True


class OnlineRows(NamedTuple):
    """What one read found; ``tables`` are in the order asked.

    A table that is not loaded is None: what is stored of it may not be all there is.
    """

    #: The project's own epoch, then the views', in the order asked; None where one is lost.
    epochs: tuple[bytes | None, ...]
    #: Which server process answered. Another than before: what it holds may be of any time.
    server: str
    tables: list[StoredRows | None]


class Walked(NamedTuple):
    """What a walk through all rows did: how many were given an expiry, how many were removed.

    ``trimmed`` entities had events that no window reaches any more.

    ``unknown`` are the names of tables that nobody here knows: their rows were left alone.
    """

    given: int
    removed: int
    unknown: frozenset[str] = frozenset()
    trimmed: int = 0


class Marker(msgspec.Struct, frozen=True):
    """Says that a table's rows up to ``sequence`` are all in the online store, as of an instant."""

    #: Which load set it: the number of its run.
    generation: int
    as_of: datetime
    sequence: int
    #: For how long after their event rows are kept in memory at least; None: for ever.
    ttl: timedelta | None = None
    #: How many keys the server had dropped for want of memory when the load began.
    evicted: int = 0
    #: Of a table of events, how long a hop is and how far the longest window reaches, in µs.
    hops: tuple[int, int] | None = None


class OnlineStore(OnlineInspection, Protocol):
    """Each entity's newest row of each table, by the table's ``uid``.

    Every method raises ``lib.errors.Unavailable`` when the store does not answer; what was asked of
    it may then have happened or not, and may be asked again.
    """

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
        """Merge rows: the greatest by (event, created, sequence) stays, whatever the order.

        Batches have the join keys, ``event_timestamp``, ``created_timestamp``, ``__sequence`` and
        the features, in any order; a RecordBatchReader is read as it flows. Of a table of events
        each is kept beside the others of its entity, unless one of the same time corrects it.
        ``ttl`` is the longest of the versions that share the table, None when one never expires;
        memory is freed at ``max(event + ttl, at) + grace``, of rows for which that is more than
        ``EXPIRES_AHEAD`` away once ``expire`` has come by. Atomic for each row, not for the
        batch: a reader sees a row whole, old or new. Repeating a write changes nothing. ``share``
        of the time at most the store works for this write; the rest is for readers.

        :raises BadOnlineRows: a column is missing or mistyped, a key or time is null; what came
            before in the batches may be written.
        """
        ...

    def read(
        self,
        project_id: int,
        views: Sequence[str],
        tables: Sequence[tuple[TableLayout | EventLayout, Sequence[bytes | None]]],
        *,
        now: int = 0,
    ) -> OnlineRows:
        """Return epochs, and of each table the rows of the entities with these tags.

        Of a table of events, those that windows reach at ``now`` (µs).

        Tags are the layout's ``entity.tags(…)``; None gives the row of no entity. One round trip:
        epochs, markers and rows are what the store had after the call began, so that a change which
        ended before it is never missed.
        """
        ...

    def keep_known(self, layout: EventLayout, hops: Sequence[KnownHop]) -> None:
        """Keep what is known of hops beside their events, for reads whose windows hold them whole.

        Not of those whose events are others by now. What is kept goes with the next event there.
        """
        ...

    def begin_load(self, uid: str) -> LoadTicket:
        """Begin to write all of a table's rows; ``finish_load`` wants the ticket back.

        An earlier ticket of the table is worth nothing then.
        """
        ...

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
        """Mark the table loaded, unless the store may have lost rows since the ticket was given.

        Returns whether it is marked. Checking and marking are one step.

        :raises OnlineStoreEvicts: it may drop rows at any time; nothing is marked.
        """
        ...

    def marker(self, uid: str) -> Marker | None:
        """Return the marker of a loaded table; None: reads find it not loaded."""
        ...

    def markers(self, uids: Sequence[str]) -> list[Marker | None]:
        """Return the marker of each table, as ``marker`` does, in one round trip."""
        ...

    def unmark_evicted(self, uids: Sequence[str]) -> list[str]:
        """Unmark those tables whose rows the store may have dropped since they were loaded."""
        ...

    def claim_expiry(self, *, every: timedelta) -> bool:
        """Return whether ``expire`` is to be called: once in ``every``, to one of those who ask."""
        ...

    def expire(
        self,
        *,
        known: Callable[[set[str]], dict[str, bool]],
        at: datetime,
        pace: float,
        grace: timedelta = GRACE,
    ) -> Walked:
        """Have rows of loaded tables removed at ``max(event + ttl, at) + grace``.

        Those whose end is more than ``EXPIRES_AHEAD`` away are left to a later call, and tables
        that are being loaded too. Of names of tables ``known`` says, of those that there are,
        whether somebody may read or load them. If not, their rows are removed at once, loaded or
        not, and such a table is not loaded afterwards. ``pace`` is how many rows are looked at in
        a second.
        """
        ...

    def drop(self, uid: str) -> int:
        """Unmark a table, then remove its rows; return how many there were.

        A load that is under way ends unmarked.
        """
        ...
