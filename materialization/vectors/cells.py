"""Cells: vectors grouped around centres, so that a search looks at those of the nearest few.

Not for forming them (``grouping``). Who lies in a far cell and is near all the same is missed: how
many are found was measured when the file was written, and each search says it.
"""

from __future__ import annotations

import io
import zipfile
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from materialization.vectors.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Reach(NamedTuple):
    """For up to ``k`` hits: cells are looked at until they hold ``rows``.

    ``recall`` is the share of the right ones that were found so, of questions that had no say in
    how many rows it takes.
    """

    k: int
    rows: int
    recall: float


class Near(NamedTuple):
    """Rows that may be near, in order, and the share of the right ones that such have."""

    rows: np.ndarray
    recall: float


class Cells:
    """The cells of one feature: places from a start to the next are those of one's rows."""

    def __init__(
        self,
        centres: np.ndarray,
        starts: np.ndarray,
        reaches: Mapping[str, tuple[Reach, ...]],
        *,
        usual: float,
        rows_between: Callable[[int, int], np.ndarray] | None = None,
    ) -> None:
        """``reaches``: metric → how far it takes, by ``k``; none where cells do not pay.

        ``usual`` is how long a vector is. ``rows_between`` gives the rows at some places; None:
        they lie in that order.
        """
        self.centres, self.starts = centres, starts
        self.reaches, self.usual = reaches, usual
        self._rows_between = rows_between
        self._squares = np.einsum("ij,ij->i", centres, centres)

    def nearest_first(self, metric: str, query: np.ndarray) -> np.ndarray:
        """Return the cells by how near they are to a vector: the straight line to their centres.

        Which is also who is near by the angle, from a vector of the usual length: those of a wide
        cell are nearer than its centre, which is shorter the wider it is.
        """
        own = float(np.linalg.norm(query))
        scale = 1.0 if metric == "l2" or not own else self.usual / own
        products = np.einsum("ij,j->i", self.centres, query) * np.float32(scale)
        return np.argsort(self._squares - 2 * products, kind="stable")

    def rows_of(self, cell: int) -> np.ndarray:
        """Return the rows of one cell."""
        first, last = self.starts[cell : cell + 2].tolist()
        if self._rows_between is None:
            return np.arange(first, last)
        return self._rows_between(first, last)

    def near(
        self, metric: str, query: np.ndarray, *, k: int, eligible: np.ndarray | None
    ) -> Near | None:
        """Return the ``eligible`` rows of the cells that ``k`` hits take; None: of all.

        A row that is not eligible does not count: the fewer are, the farther it looks.
        """
        reach = next((each for each in self.reaches.get(metric, ()) if each.k >= k), None)
        if reach is None:
            return None
        cells = self.nearest_first(metric, query)
        sizes = np.diff(self.starts) if eligible is None else self._eligible_in(eligible)
        before = np.cumsum(sizes[cells]) - sizes[cells]
        taken = cells[before < reach.rows]
        if len(taken) == len(cells):
            return None
        rows = np.sort(np.concatenate([self.rows_of(each) for each in taken]))
        return Near(rows if eligible is None else rows[eligible[rows]], reach.recall)

    def _eligible_in(self, eligible: np.ndarray) -> np.ndarray:
        """Return how many of each cell are."""
        last = int(self.starts[-1])
        kept = (
            eligible[:last] if self._rows_between is None else eligible[self._rows_between(0, last)]
        )
        return np.array([np.count_nonzero(kept[a:b]) for a, b in pairwise(self.starts.tolist())])

    def told(self) -> dict[str, Any]:
        """Return what people are told of them: how many they are, and the reach by metric."""
        reaches = {
            metric: [each._asdict() for each in found] for metric, found in self.reaches.items()
        }
        return {"cells": len(self.centres), "reaches": reaches}

    def to_bytes(self) -> bytes:
        """Return what ``from_bytes`` reads."""
        into = io.BytesIO()
        arrays: dict[str, Any] = {
            "centres": self.centres,
            "starts": self.starts,
            "usual": np.array(self.usual),
        }
        arrays |= {f"reach {name}": np.array(found) for name, found in self.reaches.items()}
        np.savez(into, **arrays)
        return into.getvalue()

    @classmethod
    def from_bytes(
        cls, written: bytes, *, rows_between: Callable[[int, int], np.ndarray] | None
    ) -> Cells:
        """:raises ValueError: that is not what ``to_bytes`` wrote."""
        try:
            return cls._read(written, rows_between)
        except (zipfile.BadZipFile, EOFError, KeyError) as exc:
            raise ValueError("there are no cells in it") from exc

    @classmethod
    def _read(cls, written: bytes, rows_between: Callable[[int, int], np.ndarray] | None) -> Cells:
        with np.load(io.BytesIO(written), allow_pickle=False) as found:
            reaches = {
                metric: tuple(
                    Reach(int(k), int(rows), float(recall))
                    for k, rows, recall in found[f"reach {metric}"].reshape(-1, 3).tolist()
                )
                for metric in METRICS
            }
            usual = float(found["usual"])
            centres, starts = found["centres"], found["starts"]
            return cls(centres, starts, reaches, usual=usual, rows_between=rows_between)
