"""The entity frame of what a worker makes, as Parquet, beside what is made of it.

Not for how long it stays: datasets keep it, jobs while they are made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from serving.historical.plain_columns import first_line, plain
from serving.historical.typed_columns import BadEntityFrame

if TYPE_CHECKING:
    from materialization.stores.kept_files import FileKeeper, Kept


def frame_name(uid: str) -> str:
    return f"{uid}/frame.parquet"


def write_frame(keeper: FileKeeper, uid: str, frame: pa.Table) -> Kept:
    """Keep an entity frame; columns in some packing are unpacked.

    :raises BadEntityFrame: Parquet cannot hold one of its columns; names it.
    """
    name, columns = frame_name(uid), [plain(column) for column in frame.columns]
    table = pa.table(columns, names=frame.column_names)
    with keeper.writing(name) as path:
        try:
            pq.write_table(table, path, compression="zstd")
        except pa.ArrowException as exc:
            raise _unwritable(table, exc) from exc
    return keeper.state(name)


def _unwritable(table: pa.Table, error: Exception) -> BadEntityFrame:
    """Name the column that Parquet has no form for."""
    for field in table.schema:
        try:
            pq.write_table(table.select([field.name]), pa.BufferOutputStream())
        except pa.ArrowException as exc:
            return BadEntityFrame(
                f"column {field.name!r} of type {field.type} cannot be kept as Parquet"
                f" ({first_line(exc)}); leave it out, or send it as text.",
                column=field.name,
            )
    return BadEntityFrame(f"the frame cannot be kept as Parquet: {first_line(error)}.")
