"""Grouping the rows of a written index by cells, and measuring how many a search must look at.

Not for searching by them: ``cells`` does. Centres are found by k-means, of a sample; how far a
search goes is what the nearest of vectors of the table itself take, against a look at all.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from materialization.vectors.cells import Cells, Reach
from materialization.vectors.index_file import IndexFile
from materialization.vectors.metrics import METRICS, orders
from materialization.vectors.writing import IndexTooLarge, rewrite

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)
#: The share of the nearest that a search is to find, and up to how many hits it is measured for.
TARGET, HITS = 0.95, (10, 100, 1000)
#: Vectors that are asked about: by half of them the reach is chosen, by the others measured.
ASKED = 256
#: Cells pay where they hold at most one in so many of all.
PAYS = 4
#: Rows that centres are found of, for each; and the bytes of all of them.
PER_CELL, SAMPLE_BYTES = 64, 128 << 20
ROUNDS = 8
#: Numbers of products that are held at once.
_AT_ONCE = 1 << 22
#: Between these lengths squares and products are well within 32 bits.
_LEAST, _MOST = 1e-15, 1e15


def group_by_cells(
    path: str, features: Sequence[str], *, from_rows: int, most_bytes: int
) -> dict[str, Any]:
    """Group the rows of an index by cells where it has ``from_rows``; return what ``told`` says.

    The file is written anew in its place, with the rows of each cell of the first feature together;
    where it would have more than ``most_bytes`` with them it stays as it is, and has none.
    """
    with Path(path).open("rb") as opened:
        index = IndexFile(opened)
    if index.rows < from_rows:
        return {}
    random = np.random.default_rng(8)  # the same file of the same rows
    found = {name: _grouped(index, name, random, from_rows) for name in features}
    kept = {name: each for name, each in found.items() if each is not None}
    cells = {name: each.cells for name, each in kept.items()}
    if kept:
        places = _places(index.rows, next(iter(kept.values())).order)
        back = np.empty_like(places)
        back[places] = np.arange(len(places))
        orders = {name: back[each.order] for name, each in [*kept.items()][1:]}
        try:
            rewrite(index, path, places, cells, orders, most_bytes=most_bytes)
        except IndexTooLarge as exc:
            log.warning("searched without cells, with which %s", exc.message)
            return {}
    return {name: each.told() for name, each in cells.items()}


class _Grouped(NamedTuple):
    """Cells, and their rows as the places of these have them."""

    cells: Cells
    order: np.ndarray


def _places(rows: int, order: np.ndarray) -> np.ndarray:
    """Return all rows, those of ``order`` first: others have no vector that can be found."""
    others = np.ones(rows, bool)
    others[order] = False
    return np.concatenate([order, np.flatnonzero(others)])


def _grouped(
    index: IndexFile, feature: str, random: np.random.Generator, from_rows: int
) -> _Grouped | None:
    """Return the cells of a feature; None: too few have it, or looking at all is as good."""
    lengths = index.lengths(feature)
    usable = np.flatnonzero(np.isfinite(lengths))
    if len(usable) < from_rows or not _LEAST < lengths[usable].max() < _MOST:
        return None
    centres = _centres(index, feature, usable, random)
    homes = _homes(index, feature, usable, centres)
    order = usable[np.argsort(homes, kind="stable")]
    starts = np.concatenate([[0], np.cumsum(np.bincount(homes, minlength=len(centres)))])
    usual = float(np.median(lengths[usable]))
    cells = Cells(centres, starts, {}, usual=usual)
    grouped = _Grouped(cells, order)
    cells.reaches = _reaches(index, feature, grouped, lengths, random)
    return grouped if any(cells.reaches.values()) else None


def _centres(
    index: IndexFile, feature: str, usable: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Return the means of the groups that k-means finds in a sample."""
    count = 2 * math.isqrt(len(usable))
    size = index.vectors(feature, usable[:1]).nbytes
    most = max(count, min(PER_CELL * count, SAMPLE_BYTES // size, len(usable)))
    sample = index.vectors(feature, np.sort(random.choice(usable, most, replace=False)))
    centres = sample[random.choice(most, count, replace=False)]
    for _ in range(ROUNDS):
        homes = _nearest_of(sample, centres)
        order = np.argsort(homes, kind="stable")
        sizes = np.bincount(homes, minlength=count)
        full = np.flatnonzero(sizes)
        sums = np.add.reduceat(sample[order], (np.cumsum(sizes) - sizes)[full], axis=0)
        centres[full] = sums / sizes[full, None].astype(np.float32)
        empty = np.flatnonzero(sizes == 0)
        centres[empty] = sample[random.choice(most, len(empty), replace=False)]
    return centres


def _nearest_of(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Return which centre each is nearest to, by the straight line."""
    halves = np.einsum("ij,ij->i", centres, centres) / 2
    step = max(1, _AT_ONCE // len(centres))
    found = [
        np.argmax(vectors[begin : begin + step] @ centres.T - halves, axis=1)
        for begin in range(0, len(vectors), step)
    ]
    return np.concatenate(found)


def _homes(index: IndexFile, feature: str, usable: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.concatenate([_nearest_of(part, centres) for part in index.parts(feature, usable)])


def _reaches(
    index: IndexFile,
    feature: str,
    grouped: _Grouped,
    lengths: np.ndarray,
    random: np.random.Generator,
) -> dict[str, tuple[Reach, ...]]:
    """Return how far searches go by each metric; nothing where that is to look at most of all."""
    cells, order = grouped
    near = order[lengths[order] > 0]  # nothing is near a vector without a direction
    if len(near) <= HITS[0]:
        return {}
    asked = np.sort(random.choice(near, min(ASKED, len(near)), replace=False))
    queries = index.vectors(feature, asked)
    is_asked = random.permutation(len(asked)) % 2 == 0
    home = np.empty(index.rows, np.int64)
    home[order] = np.repeat(np.arange(len(cells.centres)), np.diff(cells.starts))
    sizes, found = np.diff(cells.starts), {}
    for metric, nearest in _nearest(index, feature, lengths, asked, queries).items():
        before = np.empty((len(asked), len(sizes)), np.int64)
        for place, query in enumerate(queries):
            cell = cells.nearest_first(metric, query)
            before[place, cell] = np.cumsum(sizes[cell]) - sizes[cell]
        needed = np.take_along_axis(before, home[nearest], axis=1)
        found[metric] = tuple(
            reach
            for k in HITS
            if k <= needed.shape[1]
            and (reach := _reach(k, needed[is_asked, :k], needed[~is_asked, :k])).rows * PAYS
            <= len(order)
        )
    return found


def _reach(k: int, chosen: np.ndarray, others: np.ndarray) -> Reach:
    """Return the least that finds the target of ``chosen``, and what it finds of the others.

    Twice as many as hits at least: with too few of them a search looks at all.
    """
    needed = np.sort(chosen, axis=None)
    rows = max(2 * k, int(needed[math.ceil(TARGET * needed.size) - 1]) + 1)
    return Reach(k, rows, round(float((others < rows).mean()), 4))


class _Best(NamedTuple):
    """The nearest so far, of each question."""

    far: np.ndarray
    rows: np.ndarray

    def joined(self, far: np.ndarray, rows: np.ndarray, most: int) -> _Best:
        far = np.concatenate([self.far, far], axis=1)
        rows = np.concatenate([self.rows, np.broadcast_to(rows, (len(far), len(rows)))], axis=1)
        if far.shape[1] <= most:
            return _Best(far, rows)
        best = np.argpartition(far, most - 1, axis=1)[:, :most]
        return _Best(np.take_along_axis(far, best, 1), np.take_along_axis(rows, best, 1))


def _nearest(
    index: IndexFile,
    feature: str,
    lengths: np.ndarray,
    asked: np.ndarray,
    queries: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return the rows nearest to each question by each metric, by looking at all but itself."""
    usable = np.flatnonzero(np.isfinite(lengths))
    # By the angle those of no length come last, as what is not a number does.
    most = min(HITS[-1], int((lengths > 0).sum()) - 1)
    nothing = np.empty((len(asked), 0))
    best = dict.fromkeys(METRICS, _Best(nothing, nothing.astype(np.int64)))
    start = 0
    for part in index.parts(feature, usable):
        rows = usable[start : start + len(part)]
        start += len(part)
        products = queries @ part.T
        for metric in METRICS:
            far = orders(metric, products, lengths[rows].astype(np.float32))
            far[asked[:, None] == rows] = np.inf
            best[metric] = best[metric].joined(far, rows, most)
    return {
        metric: np.take_along_axis(each.rows, np.argsort(each.far, axis=1), 1)
        for metric, each in best.items()
    }
