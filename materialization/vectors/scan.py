"""The nearest by looking at all: simply right, and quick enough for some ten million numbers.

One product a vector, with 32 bits, tells how far each is but for an error that is bounded. Whoever
may be among the nearest by that is computed again with 64 bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from materialization.vectors.metrics import COSINE, orders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from materialization.vectors.index_file import IndexFile

#: What a sum of N products with 32 bits is off by at most, of the lengths' product, is N of these:
#: half of it for the rounding of each product and sum, in whatever order; the rest is for ours.
_UNIT = 2.0**-22
#: The same of numbers that were added up with 64 bits.
_EXACT = 1e-12


class Candidates(NamedTuple):
    """Rows of the index, the nearest first, and how far each was when the index was built.

    A candidate is no hit: whoever searches looks at its row of now.
    """

    rows: np.ndarray
    distances: np.ndarray


def scans(  # noqa: PLR0913
    index: IndexFile,
    *,
    feature: str,
    metric: str,
    query: np.ndarray,
    eligible: np.ndarray | None,
    k: int,
    exact: bool,
) -> Iterator[tuple[Scan, float | None]]:
    """Yield looks at the ``eligible`` rows, each further than the one before, and their recall.

    First at the nearest cells, where there are such; at last at all, which has a recall of None.
    """
    cells = None if exact else index.cells.get(feature)
    near = cells and cells.near(metric, query, k=k, eligible=eligible)
    if near:
        scan = Scan(index, feature=feature, metric=metric, query=query, rows=near.rows)
        yield scan, near.recall
    rows = None if eligible is None else np.flatnonzero(eligible)
    yield Scan(index, feature=feature, metric=metric, query=query, rows=rows), None


class Scan:
    """The answer to one question, taken as far as it is needed: each vector is looked at once."""

    def __init__(
        self,
        index: IndexFile,
        *,
        feature: str,
        metric: str,
        query: np.ndarray,
        rows: np.ndarray | None,
    ) -> None:
        """``rows`` are those that may be found, in order; None: all."""
        self._index, self._asked = index, (feature, metric, query)
        most = index.rows if rows is None else len(rows)
        self._rows = np.empty(most, np.int64)
        self._least, self._most = np.empty(most), np.empty(most)
        end = 0
        for where, products, lengths in index.products(feature, query, rows):
            usable = np.isfinite(lengths) & ((lengths > 0) | (metric != COSINE))
            here = slice(end, end := end + int(np.count_nonzero(usable)))
            self._rows[here] = where[usable]
            bounds = _bounds(metric, products[usable], lengths[usable], query)
            self._least[here], self._most[here] = bounds
        self._rows, self._least, self._most = self._rows[:end], self._least[:end], self._most[:end]

    def leave_out(self, rows: np.ndarray) -> None:
        """Find these no more: an earlier look had them."""
        others = ~np.isin(self._rows, rows)
        self._rows = self._rows[others]
        self._least, self._most = self._least[others], self._most[others]

    def first(self, count: int) -> Candidates:
        """Return the nearest ``count``, fewer where no more there are; more later begin alike.

        Of equal ones those of earlier rows come first.
        """
        rows = self._rows
        if count < len(rows):
            edge = np.partition(self._most, count - 1)[count - 1]
            rows = rows[self._least <= edge]
        feature, metric, query = self._asked
        exact = self._index.distances(feature, metric, query, rows)
        order = np.lexsort((rows, exact))[:count]
        return Candidates(rows[order], exact[order])


def _bounds(
    metric: str, products: np.ndarray, lengths: np.ndarray, query: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return between which numbers each distance is, on a scale that orders as it does."""
    own = float(np.sqrt(np.sum(query.astype(np.float64) ** 2)))
    off = len(query) * _UNIT * lengths * own + np.finfo(np.float32).tiny * len(query)
    # Too large a sum for 32 bits says nothing: whoever has one is computed again.
    off = np.where(np.isfinite(products), off, np.inf)
    products = np.where(np.isfinite(products), products, 0.0)
    far = orders(metric, products, lengths)
    if metric == COSINE:
        off = off / lengths
    elif metric == "l2":
        off = 2 * off + _EXACT * (lengths**2 + own**2)
    return far - off, far + off
