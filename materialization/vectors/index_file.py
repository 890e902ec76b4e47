"""The file a search looks through: of each entity its tag, event time, vectors and scalars.

An Arrow file that processes map and share. Not for values that anybody is answered: whoever
searches reads those from the online store, and so a file that lags misses rows and invents none.
Nor for writing one (``writing``).
"""

from __future__ import annotations

import mmap
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa

from lib.errors import Unavailable
from materialization.vectors.cells import Cells
from materialization.vectors.conditions import met
from materialization.vectors.metrics import distances

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from materialization.stores.layout import TableLayout
    from materialization.vectors.conditions import Condition

#: Numbers of vectors that are looked at together: they are copied to be computed with.
_AT_ONCE = 1 << 21
#: Rows in a row that are rather looked at one by one than copied together.
_RUN = 32
TAG, EVENT_MICROS, CELLS = "tag", "event", "cells of"
#: What stands after the rows of cells.
NOBODY = -1


class IndexNotMapped(Unavailable):
    code = "vector_index_not_mapped"


class Products(NamedTuple):
    """Of some rows of an index the products with a vector, and how long they are."""

    rows: np.ndarray
    products: np.ndarray
    lengths: np.ndarray


def vector_features(layout: TableLayout) -> dict[str, int]:
    """Return the features of a table that can be searched, and how many numbers each has."""
    pairs = zip(layout.features, layout.types, strict=True)
    return {name: kind.length for name, kind in pairs if kind.kind == "vector"}


def length_of(feature: str) -> str:
    return f"length {feature}"


def order_of(feature: str) -> str:
    return f"order {feature}"


def column_of(feature: str) -> str:
    """Return what a feature's column is called: no feature can take ours."""
    return f"feature {feature}"


class IndexFile:
    """A file that was written so, mapped; positions are its rows, from 0."""

    def __init__(self, opened: BinaryIO) -> None:
        """Map an open file; closing that, or removing it, does no harm afterwards.

        :raises ArrowException, ValueError: it is not what ``write_index`` wrote.
        :raises IndexNotMapped: this process has no room for it.
        """
        try:
            self._map = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as exc:
            raise IndexNotMapped(f"the index cannot be mapped: {exc.strerror}.") from exc
        reader = pa.ipc.open_file(pa.py_buffer(self._map))
        read = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        # Without the bytes of the cells, which batches would keep.
        self.schema = reader.schema.remove_metadata()
        self._batches = [
            pa.RecordBatch.from_arrays(each.columns, schema=self.schema) for each in read
        ]
        sizes = [batch.num_rows for batch in self._batches]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        #: Feature → its rows by cells, where there are.
        self.cells = dict(self._cells(*each) for each in (reader.schema.metadata or {}).items())

    def _cells(self, name: bytes, written: bytes) -> tuple[str, Cells]:
        """:raises ValueError: they were written otherwise, or are of rows that there are not."""
        before, ours, feature = name.decode().partition(f"{CELLS} ")
        if before or not ours:
            raise ValueError(f"{name!r} is not how cells are written")
        order = order_of(feature)
        if order not in self.schema.names:
            return feature, Cells.from_bytes(written, rows_between=None)
        for batch in self._batches:
            rows = batch.column(order).to_numpy()
            if rows.min() < NOBODY or rows.max() >= self.rows:
                raise ValueError(f"cells of {feature} have rows that there are not")
        return feature, Cells.from_bytes(written, rows_between=partial(self._between, order))

    def _between(self, column: str, first: int, last: int) -> np.ndarray:
        """Return the numbers of a column from one row to another."""
        found, index = [np.empty(0, np.int64)], int(np.searchsorted(self._starts, first, "right"))
        while first < last:
            start = int(self._starts[index - 1])
            found.append(
                self._batches[index - 1].column(column).to_numpy()[first - start : last - start]
            )
            first, index = first + len(found[-1]), index + 1
        return np.concatenate(found)

    @property
    def rows(self) -> int:
        return int(self._starts[-1])

    def eligible(
        self, conditions: Sequence[Condition], *, oldest_micros: int | None
    ) -> np.ndarray | None:
        """Return of each row whether it met the conditions and had not expired; None: all did."""
        if not conditions and oldest_micros is None:
            return None
        found = []
        for batch in self._batches:
            keep = np.ones(batch.num_rows, bool)
            if oldest_micros is not None:
                keep &= batch.column(EVENT_MICROS).to_numpy() >= oldest_micros
            for condition in conditions:
                keep &= met(batch.column(column_of(condition.feature)), condition)
            found.append(keep)
        return np.concatenate(found) if found else np.empty(0, bool)

    def distances(
        self, feature: str, metric: str, query: np.ndarray, rows: np.ndarray | None
    ) -> np.ndarray:
        """Return how far each of ``rows``, or each of all, is; not a number where it is nowhere."""
        found = [distances(metric, vectors, query) for vectors in self.parts(feature, rows)]
        return np.concatenate(found) if found else np.empty(0, np.float64)

    def products(
        self, feature: str, query: np.ndarray, rows: np.ndarray | None
    ) -> Iterator[Products]:
        """Yield the products with the query, added up with 32 bits: fast, and nearly so."""
        query = query.astype(np.float32)
        for batch, start, some in self._pieces(feature, rows):
            with np.errstate(over="ignore", invalid="ignore"):
                found = np.einsum("ij,j->i", _vectors(batch, feature)[some], query)
            where = np.arange(some.start, some.stop) if isinstance(some, slice) else some
            lengths = batch.column(length_of(feature)).to_numpy()[some]
            yield Products(start + where, found.astype(np.float64), lengths)

    def lengths(self, feature: str) -> np.ndarray:
        """Return how long each is; not a number where there is no vector that can be found."""
        found = [batch.column(length_of(feature)).to_numpy() for batch in self._batches]
        return np.concatenate(found) if found else np.empty(0, np.float64)

    def tags(self, rows: np.ndarray) -> list[bytes]:
        """Return whose each of ``rows`` is."""
        found: list[bytes] = []
        for row in rows.tolist():
            index = int(np.searchsorted(self._starts, row, "right")) - 1
            found.append(self._batches[index].column(TAG)[row - int(self._starts[index])].as_py())
        return found

    def batch_of(self, rows: np.ndarray) -> pa.RecordBatch:
        """Return ``rows``, in whatever order they are named."""
        order = np.argsort(rows, kind="stable")
        edges = np.searchsorted(rows[order], self._starts)
        taken = [
            batch.take(pa.array(rows[order[first:last]] - start))
            for batch, start, first, last in zip(
                self._batches, self._starts, edges[:-1], edges[1:], strict=False
            )
            if first < last
        ]
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return pa.concat_batches(taken).take(pa.array(back))

    def vectors(self, feature: str, rows: np.ndarray) -> np.ndarray:
        """Return the vectors of ``rows``, which are in order, as rows of a matrix."""
        return np.concatenate(list(self.parts(feature, rows)))

    def parts(self, feature: str, rows: np.ndarray | None) -> Iterator[np.ndarray]:
        """Yield the vectors of ``rows``, which are in order, a bearable number at a time."""
        for batch, _, some in self._pieces(feature, rows):
            yield _vectors(batch, feature)[some]

    def _pieces(
        self, feature: str, rows: np.ndarray | None
    ) -> Iterator[tuple[pa.RecordBatch, int, slice | np.ndarray]]:
        """Yield in which batch some of ``rows`` lie, what its first is called, and where there."""
        step = max(1, _AT_ONCE // self.schema.field(column_of(feature)).type.list_size)
        edges = self._starts if rows is None else np.searchsorted(rows, self._starts)
        for index in np.flatnonzero(np.diff(edges)).tolist():
            batch, start = self._batches[index], int(self._starts[index])
            runs: list[slice | np.ndarray] = [slice(0, batch.num_rows)]
            if rows is not None:
                runs = _runs(rows[edges[index] : edges[index + 1]] - start)
            for run in runs:
                if isinstance(run, slice):
                    for begin in range(run.start, run.stop, step):
                        yield batch, start, slice(begin, min(begin + step, run.stop))
                else:
                    for begin in range(0, len(run), step):
                        yield batch, start, run[begin : begin + step]


def _vectors(batch: pa.RecordBatch, feature: str) -> np.ndarray:
    """Return those of a batch, as they lie in the file."""
    column = batch.column(column_of(feature))
    found: np.ndarray = column.flatten().to_numpy()
    return found.reshape(batch.num_rows, column.type.list_size)


def _runs(rows: np.ndarray) -> list[slice | np.ndarray]:
    """Return where some rows lie: slices where many follow each other, else each by itself."""
    ends = np.flatnonzero(np.diff(rows) != 1) + 1
    if len(rows) < _RUN * (len(ends) + 1):
        return [rows]
    return [slice(int(run[0]), int(run[-1]) + 1) for run in np.split(rows, ends)]
