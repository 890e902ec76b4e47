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

#: Candidates that one look takes, of which a search has two where cells have too few hits; and
#: numbers of vectors that are read at once.
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


def nearest_hits(
    looked: Looked,
    nearest: Scan,
    index: IndexFile,
    rows_of: Callable[[Sequence[bytes]], Sequence[list[Any]]],
    *,
    k: int,
    width: int,
) -> Hits:
    """Return the nearest ``k``, of rows that have ``width`` numbers in vectors each.

    ``rows_of`` is asked for the rows of candidates as far as needed. All that is nearer than the
    last candidate was looked at, so that hits up to there are settled; those that moved behind it
    wait for more candidates.
    """
    at_once = max(1, MOST_NUMBERS // width)
    most = min(MOST_CANDIDATES, max(STEPS * at_once, k + SPARE))
    hits: list[Hit] = []
    told: set[bytes] = set()
    seen, step = 0, k + k // 4 + SPARE
    while True:
        step = min(step, at_once, most - seen)
        candidates = nearest.first(seen + step)
        tags = index.tags(candidates.rows[seen:])
        # Who has a row that waits for its time is there twice.
        new = [tag for tag in dict.fromkeys(tags) if tag not in told]
        told.update(new)
        hits += looked.hits(new, rows_of(new))
        hits = sorted(hits, key=_order)[:k]
        if len(tags) < step:
            return Hits(hits, is_complete=True)
        seen += step
        edge = float(candidates.distances[-1])
        if len(hits) == k and hits[-1].distance <= edge + _ROUNDING * max(1.0, abs(edge)):
            return Hits(hits, is_complete=True)
        if seen >= most:
            return Hits(hits, is_complete=False)
        step = seen


def _order(hit: Hit) -> tuple[float, bytes]:
    return hit.distance, hit.tag


def keys_of(entity: EntityKey, tag: bytes) -> dict[str, Any]:
    """Return the join keys behind a tag, ready for JSON."""
    values = entity.values(tag) or ()
    return {
        name: value if (ready := encoder(kind)) is None else ready(value)
        for name, kind, value in zip(entity.names, entity.types, values, strict=True)
    }
