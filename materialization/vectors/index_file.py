"""The file a search looks through: of each entity its tag, event time, vectors and scalars.

An Arrow file that processes map and share. Not for values that anybody is answered: whoever
searches reads those from the online store, and so a file that lags misses rows and invents none.
"""

from __future__ import annotations

import mmap
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.errors import Unavailable
from materialization.stores.columns import EVENT
from materialization.vectors.cells import Cells
from materialization.vectors.conditions import COMPARABLE, met
from materialization.vectors.metrics import distances, lengths_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from materialization.stores.layout import TableLayout
    from materialization.vectors.conditions import Condition

#: Rows of one batch of the file.
BATCH_ROWS = 16_384
#: Numbers of vectors that are looked at together: they are copied to be computed with.
_AT_ONCE = 1 << 21
#: Rows in a row that are rather looked at one by one than copied together.
_RUN = 32
_TAG, _EVENT, _CELLS = "tag", "event", "cells"


class IndexTooLarge(Unavailable):
    """Never retried with success before the limit or the table is another."""

    code = "vector_index_too_large"


class IndexNotMapped(Unavailable):
    code = "vector_index_not_mapped"


class Written(NamedTuple):
    """What of a table is in a file; ``vectors``: of each feature, how many can be found."""

    rows: int
    vectors: dict[str, int]


def vector_features(layout: TableLayout) -> dict[str, int]:
    """Return the features of a table that can be searched, and how many numbers each has."""
    pairs = zip(layout.features, layout.types, strict=True)
    return {name: kind.length for name, kind in pairs if kind.kind == "vector"}


def write_index(
    path: str, layout: TableLayout, batches: Iterable[pa.RecordBatch], *, most_bytes: int
) -> Written:
    """Write the newest rows of a table, of ``stored_schema``, as they come.

    :raises IndexTooLarge: the file would have more than ``most_bytes``.
    """
    lengths = vector_features(layout)
    scalars = [
        (name, kind.arrow)
        for name, kind in zip(layout.features, layout.types, strict=True)
        if kind.kind in COMPARABLE
    ]
    schema = pa.schema(
        [(_TAG, pa.binary()), (_EVENT, pa.int64())]
        + [(_column(name), pa.list_(pa.float32(), length)) for name, length in lengths.items()]
        + [(_length_of(name), pa.float64()) for name in lengths]
        + [(_column(name), kind) for name, kind in scalars]
    )
    rows, vectors = 0, dict.fromkeys(lengths, 0)
    with _written(path, schema, most_bytes) as write:
        for batch in batches:
            events = pc.cast(batch.column(EVENT), pa.int64())
            columns = [layout.entity.arrow_tags(batch), events]
            far = []
            for name, length in lengths.items():
                numbers = _matrix(batch.column(name), length)
                columns.append(
                    pa.FixedSizeListArray.from_arrays(pa.array(numbers.reshape(-1)), length)
                )
                far.append(lengths_of(numbers))
                vectors[name] += int(np.isfinite(far[-1]).sum())
            columns += map(pa.array, far)
            columns += [batch.column(name) for name, _ in scalars]
            whole = pa.RecordBatch.from_arrays(columns, schema=schema)
            for start in range(0, whole.num_rows, BATCH_ROWS):
                write(whole.slice(start, BATCH_ROWS))
            rows += batch.num_rows
    return Written(rows, vectors)


def rewrite(
    index: IndexFile,
    path: str,
    rows: np.ndarray,
    cells: Mapping[str, Cells],
    *,
    most_bytes: int,
) -> None:
    """Write an index again with its ``rows`` in this order, and with cells.

    ``path`` may be its own: what is mapped stays, and what is there until the new one is whole.

    :raises IndexTooLarge: the file would have more than ``most_bytes``; what was there still is.
    """
    schema = index.schema.with_metadata(
        {f"{_CELLS} {feature}".encode(): each.to_bytes() for feature, each in cells.items()}
    )
    beside = Path(f"{path}.cells")
    try:
        with _written(str(beside), schema, most_bytes) as write:
            for start in range(0, len(rows), BATCH_ROWS):
                batch = index.batch_of(rows[start : start + BATCH_ROWS])
                write(pa.RecordBatch.from_arrays(batch.columns, schema=schema))
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def _written(
    path: str, schema: pa.Schema, most_bytes: int
) -> Iterator[Callable[[pa.RecordBatch], None]]:
    """Give what writes batches to a file.

    :raises IndexTooLarge: it has more than ``most_bytes``; its end counts, where the schema is
        again, with cells.
    """
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, schema) as writer:

        def write(batch: pa.RecordBatch) -> None:
            writer.write_batch(batch)
            _require_room(sink.tell(), most_bytes)

        yield write
    _require_room(Path(path).stat().st_size, most_bytes)


def _require_room(size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise IndexTooLarge(
            f"the vectors of the table take more than {most_bytes >> 20:,} MB"
            " (SEARCH_INDEX_MAX_MB). Have whoever runs the server raise it, or serve fewer or"
            " shorter vectors."
        )


def _matrix(column: pa.Array, length: int) -> np.ndarray:
    """Return vectors as rows of float32; one that is null is not a number in all of them."""
    found = np.full((len(column), length), np.nan, np.float32)
    is_there = column.is_valid().to_numpy(zero_copy_only=False)
    items = column.drop_null().flatten().to_numpy(zero_copy_only=False)
    found[is_there] = items.astype(np.float32, copy=False).reshape(-1, length)
    return found


def _length_of(feature: str) -> str:
    return f"length {feature}"


def _column(feature: str) -> str:
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
        self._batches = [reader.get_batch(index) for index in range(reader.num_record_batches)]
        sizes = [batch.num_rows for batch in self._batches]
        self._starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        self.schema = reader.schema
        #: Feature → its rows by cells, where there are.
        self.cells = {
            name.decode().removeprefix(f"{_CELLS} "): Cells.from_bytes(written)
            for name, written in (reader.schema.metadata or {}).items()
        }
        self._lengths: dict[str, np.ndarray] = {}

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
                keep &= batch.column(_EVENT).to_numpy() >= oldest_micros
            for condition in conditions:
                keep &= met(batch.column(_column(condition.feature)), condition)
            found.append(keep)
        return np.concatenate(found) if found else np.empty(0, bool)

    def distances(
        self, feature: str, metric: str, query: np.ndarray, rows: np.ndarray | None
    ) -> np.ndarray:
        """Return how far each of ``rows``, or each of all, is; not a number where it is nowhere."""
        found = [distances(metric, vectors, query) for vectors in self.parts(feature, rows)]
        return np.concatenate(found) if found else np.empty(0, np.float64)

    def products(self, feature: str, query: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        """Return the product of each with the query, added up with 32 bits: fast, and nearly so."""
        query = query.astype(np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            found = [np.einsum("ij,j->i", vectors, query) for vectors in self.parts(feature, rows)]
        return np.concatenate(found).astype(np.float64) if found else np.empty(0, np.float64)

    def lengths(self, feature: str, rows: np.ndarray | None) -> np.ndarray:
        """Return how long each is; not a number where there is no vector that can be found."""
        whole = self._lengths.get(feature)
        if whole is None:
            found = [batch.column(_length_of(feature)).to_numpy() for batch in self._batches]
            whole = np.concatenate(found) if found else np.empty(0, np.float64)
            self._lengths[feature] = whole
        return whole if rows is None else whole[rows]

    def tags(self, rows: np.ndarray) -> list[bytes]:
        """Return whose each of ``rows`` is."""
        found: list[bytes] = []
        for row in rows.tolist():
            index = int(np.searchsorted(self._starts, row, "right")) - 1
            found.append(self._batches[index].column(_TAG)[row - int(self._starts[index])].as_py())
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
        for start, batch in zip(self._starts[:-1].tolist(), self._batches, strict=True):
            column = batch.column(_column(feature))
            whole = column.flatten().to_numpy().reshape(batch.num_rows, column.type.list_size)
            runs = [whole]
            if rows is not None:
                first, last = np.searchsorted(rows, [start, start + batch.num_rows])
                runs = _runs(whole, rows[first:last] - start)
            step = max(1, _AT_ONCE // column.type.list_size)
            for run in runs:
                for begin in range(0, len(run), step):
                    yield run[begin : begin + step]


def _runs(whole: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
    """Return some rows: as they lie where many follow each other, else a copy of them."""
    ends = np.flatnonzero(np.diff(rows) != 1) + 1
    if len(rows) < _RUN * (len(ends) + 1):
        return [whole[rows]]
    return [whole[run[0] : run[-1] + 1] for run in np.split(rows, ends)]
