"""Looking at what lies in an online store, and putting single entities right. [pure]

Not for reading as readers do or for loading: ``online_protocol.OnlineStore`` has both, and this.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    import pyarrow as pa

    from materialization.stores.events import EventLayout
    from materialization.stores.layout import TableLayout

#: How long memory keeps a row after its TTL: time for a late reader to see OUTSIDE_MAX_AGE.
GRACE = timedelta(days=1)


class OnlineInspection(Protocol):
    """The rows of a table, loaded or not, by the bytes of their keys.

    Every method raises ``lib.errors.Unavailable`` when the store does not answer.
    """

    def rows_at(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the bytes of the row under each key, whether its table is loaded or not."""
        ...

    def keys_of(self, uid: str) -> Iterator[list[bytes]]:
        """Give the keys of a table's rows in pieces, some perhaps twice.

        Those that are there all the while are among them. Pieces may be empty: they are the turns
        of a long search, between which whoever asks may wait.
        """
        ...

    def some_keys_of(self, uid: str, count: int) -> list[bytes]:
        """Return up to ``count`` keys of a table's rows, by chance; fewer where few are found."""
        ...

    def correct(
        self,
        layout: TableLayout,
        batch: pa.RecordBatch,
        seen: Sequence[bytes | None],
        *,
        ttl: timedelta | None,
        at: datetime,
        grace: timedelta = GRACE,
    ) -> int:
        """Put each row of the batch where what was ``seen`` is still there; return how many were.

        ``seen`` is what ``rows_at`` gave, a row each: what was written since is newer, and stays.
        Comparing and writing are one step a row. ``batch``, ``ttl`` and ``at`` as for ``write``.
        """
        ...

    def remove(self, keys: Sequence[bytes], seen: Sequence[bytes | None]) -> int:
        """Remove the rows that are still what was ``seen``; return how many."""
        ...

    def told_at(self, keys: Sequence[bytes]) -> list[bytes]:
        """Return what tells all events under each key from any others; empty: there are none."""
        ...

    def exchange(
        self,
        layout: EventLayout,
        batches: Iterable[pa.RecordBatch],
        seen: Mapping[bytes, bytes],
        *,
        ttl: timedelta | None,
        at: datetime,
        grace: timedelta = GRACE,
    ) -> list[bytes]:
        """Give the entities with these tags the events of the batches, in place of all they have.

        ``seen`` is what ``told_at`` gave of each: one that has others by now is left alone, so that
        nothing that came since is lost. Comparing and exchanging are one step an entity: readers
        see the ones or the others. Who has none in the batches has none then. Returns the tags of
        those that were exchanged. ``batches``, ``ttl`` and ``at`` as for ``write``.
        """
        ...
