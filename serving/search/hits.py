"""From candidates to hits: their rows of now, how far those are, and which of them count.

An index says who may be near. A row that is gone, expired, elsewhere by now or no longer what was
asked for is no hit, and one that moved is as far as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from materialization.stores.packing import unpacker
from materialization.vectors.conditions import meets
from materialization.vectors.metrics import distances
from serving.values import encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from materialization.stores.layout import EntityKey, TableLayout
    from materialization.vectors.conditions import Condition
    from materialization.vectors.index_file import IndexFile
    from materialization.vectors.scan import Scan

#: Candidates that one search looks at, and numbers of vectors that it reads at once.
MOST_CANDIDATES, MOST_NUMBERS = 10_000, 2_000_000
#: Of wide rows so many times what is read at once.
STEPS = 5
#: How many more candidates than hits are read at first.
SPARE = 8
#: What two ways to add the same numbers may differ by.
_ROUNDING = 1e-9


class Hit(NamedTuple):
    """An entity that is near; ``row`` is as ``StoredRows`` has it."""

    distance: float
    tag: bytes
    row: list[Any]


class Hits(NamedTuple):
    """``is_complete``: no others were left unseen that may be nearer, or be hits at all."""

    found: list[Hit]
    is_complete: bool


class Looked(NamedTuple):
    """What is looked for in a table: near which vector, and what else has to hold."""

    layout: TableLayout
    position: int
    metric: str
    query: np.ndarray
    conditions: tuple[Condition, ...]
    oldest_micros: int | None
    #: Whose vector it is, if anybody's: it is no hit of its own.
    own: bytes | None

    def hits(self, tags: Sequence[bytes], rows: Sequence[list[Any]]) -> list[Hit]:
        """Return those of these rows that count, each with how far it is."""
        layout, there = self.layout, []
        tests = [
            (layout.position(each.feature), unpacker(each.type), each) for each in self.conditions
        ]
        for tag, row in zip(tags, rows, strict=True):
            if tag != self.own and self._is_live(row) and all(_holds(row, *test) for test in tests):
                there.append((tag, row))
        if not there:
            return []
        vectors = np.array([row[self.position] for _, row in there], np.float64)
        far = distances(self.metric, vectors, self.query)
        return [
            Hit(distance, tag, row)
            for distance, (tag, row) in zip(far.tolist(), there, strict=True)
            if np.isfinite(distance)
        ]

    def _is_live(self, row: list[Any]) -> bool:
        event = row[0]
        is_there = event is not None and row[self.position] is not None
        return is_there and (self.oldest_micros is None or event >= self.oldest_micros)


def _holds(
    row: list[Any], position: int, unpack: Callable[[Any], Any] | None, condition: Condition
) -> bool:
    value = row[position]
    return meets(condition, value if value is None or unpack is None else unpack(value))


class Finder:
    """Finds the nearest ``k`` hits, of rows that have ``width`` numbers in vectors each.

    ``rows_of`` is asked for the rows of candidates as far as needed, once of each.
    """

    def __init__(
        self,
        looked: Looked,
        index: IndexFile,
        rows_of: Callable[[Sequence[bytes]], Sequence[list[Any]]],
        *,
        k: int,
        width: int,
    ) -> None:
        self._looked, self._index, self._rows_of, self._k = looked, index, rows_of, k
        self._at_once = max(1, MOST_NUMBERS // width)
        self._left = min(MOST_CANDIDATES, max(STEPS * self._at_once, k + SPARE))
        self._hits: list[Hit] = []
        self._told: set[bytes] = set()
        self._seen: list[np.ndarray] = []

    def look(self, nearest: Scan) -> Hits:
        """Go on, with candidates of a further look, from those that were looked at before.

        All that is nearer than the last candidate was looked at, so that hits up to there are
        settled; those that moved behind it wait for more candidates.
        """
        if self._seen:
            nearest.leave_out(np.concatenate(self._seen))
        seen, step = 0, self._k + self._k // 4 + SPARE
        while step := min(step, self._at_once, self._left):
            candidates = nearest.first(seen + step)
            rows = candidates.rows[seen:]
            self._take(rows)
            if len(rows) < step:
                return Hits(self._hits, is_complete=True)
            seen += step
            if self._is_settled(float(candidates.distances[-1])):
                return Hits(self._hits, is_complete=True)
            step = seen
        return Hits(self._hits, is_complete=False)

    def _take(self, rows: np.ndarray) -> None:
        self._seen.append(rows)
        self._left -= len(rows)
        # Who has a row that waits for its time is there twice.
        new = [tag for tag in dict.fromkeys(self._index.tags(rows)) if tag not in self._told]
        self._told.update(new)
        found = self._looked.hits(new, self._rows_of(new))
        self._hits = sorted([*self._hits, *found], key=_order)[: self._k]

    def _is_settled(self, edge: float) -> bool:
        """Return whether no candidate from ``edge`` on can be nearer than the last hit."""
        off = _ROUNDING * max(1.0, abs(edge))
        return len(self._hits) == self._k and self._hits[-1].distance <= edge + off


def _order(hit: Hit) -> tuple[float, bytes]:
    return hit.distance, hit.tag


def keys_of(entity: EntityKey, tag: bytes) -> dict[str, Any]:
    """Return the join keys behind a tag, ready for JSON."""
    values = entity.values(tag) or ()
    return {
        name: value if (ready := encoder(kind)) is None else ready(value)
        for name, kind, value in zip(entity.names, entity.types, values, strict=True)
    }
