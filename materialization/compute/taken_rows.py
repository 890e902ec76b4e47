"""Of the rows found for an entity row the one that is taken, as batches come in their order.

Not for finding them (``point_in_time_sql``): few are found for one, and mostly one, so settling
ties here spares the engine to sort every row by all that could settle them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from materialization.compute.point_in_time_sql import ROW, SETTLING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray


def taken_rows(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Give of the rows with one number in ``ROW``, by which they come, the one that is taken.

    That is the greatest by ``SETTLING``.
    """
    held: pa.RecordBatch | None = None
    for batch in batches:
        coming = batch
        if not coming.num_rows:
            continue
        if held is not None:
            if _number(held, held.num_rows - 1) == _number(coming, 0):
                last = held.num_rows - 1
                coming = pa.concat_batches([held.slice(last), coming])
                held = held.slice(0, last)
            if held.num_rows:
                yield held
        held = _settled(coming)
    if held is not None:
        yield held


def _number(batch: pa.RecordBatch, place: int) -> Any:
    return batch[ROW][place].as_py()


def _settled(batch: pa.RecordBatch) -> pa.RecordBatch:
    rows = _numbers(batch, ROW)
    if not (rows[1:] == rows[:-1]).any():
        return batch
    order = np.lexsort([*(_numbers(batch, name) for name in reversed(SETTLING)), rows])
    ordered = rows[order]
    is_last = np.append(ordered[1:] != ordered[:-1], True)  # noqa: FBT003
    return batch.take(pa.array(order[is_last]))


def _numbers(batch: pa.RecordBatch, name: str) -> NDArray[np.int64]:
    column = batch[name].cast(pa.int64())
    # What was not found is alone in its row: what stands there decides nothing.
    filled = column.fill_null(0)
    numbers: NDArray[np.int64] = filled.to_numpy(zero_copy_only=False)
    return numbers
