"""Writing the file that searches look through (``index_file``), and again with its cells together.

Not for which rows it has: whoever loads a table gives them.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.errors import Unavailable
from materialization.stores.columns import EVENT
from materialization.vectors.conditions import COMPARABLE
from materialization.vectors.index_file import (
    CELLS,
    EVENT_MICROS,
    NOBODY,
    TAG,
    column_of,
    length_of,
    order_of,
    vector_features,
)
from materialization.vectors.metrics import lengths_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from materialization.stores.layout import TableLayout
    from materialization.vectors.cells import Cells
    from materialization.vectors.index_file import IndexFile

#: Rows of one batch of the file.
BATCH_ROWS = 16_384


class IndexTooLarge(Unavailable):
    """Never retried with success before the limit or the table is another."""

    code = "vector_index_too_large"


class Written(NamedTuple):
    """What of a table is in a file; ``vectors``: of each feature, how many can be found."""

    rows: int
    vectors: dict[str, int]


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
        [(TAG, pa.binary()), (EVENT_MICROS, pa.int64())]
        + [(column_of(name), pa.list_(pa.float32(), length)) for name, length in lengths.items()]
        + [(length_of(name), pa.float64()) for name in lengths]
        + [(column_of(name), kind) for name, kind in scalars]
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
    orders: Mapping[str, np.ndarray],
    *,
    most_bytes: int,
) -> None:
    """Write an index again with its ``rows`` in this order, and with cells.

    ``orders`` has their rows, as these are called then, of cells in which they lie otherwise.
    ``path`` may be its own: what is mapped stays, and what is there until the new one is whole.

    :raises IndexTooLarge: the file would have more than ``most_bytes``; what was there still is.
    """
    schema = pa.schema(
        [*index.schema, *((order_of(feature), pa.int64()) for feature in orders)],
        {f"{CELLS} {feature}".encode(): each.to_bytes() for feature, each in cells.items()},
    )
    whole = [
        np.pad(order, (0, len(rows) - len(order)), constant_values=NOBODY)
        for order in orders.values()
    ]
    beside = Path(f"{path}.cells")
    try:
        with _written(str(beside), schema, most_bytes) as write:
            for start in range(0, len(rows), BATCH_ROWS):
                batch = index.batch_of(rows[start : start + BATCH_ROWS])
                order = [pa.array(each[start : start + BATCH_ROWS]) for each in whole]
                write(pa.RecordBatch.from_arrays([*batch.columns, *order], schema=schema))
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
