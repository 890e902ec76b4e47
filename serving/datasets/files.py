"""The files of a dataset: its entity frame, and its rows, as Parquet.

Not for where they lie: a ``FileKeeper`` keeps them by these names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from lib.errors import Conflict
from materialization.stores.kept_files import KeptFileUnavailable
from serving.choices import WorkStatus
from serving.historical.plain_columns import first_line, plain
from serving.historical.typed_columns import BadEntityFrame
from serving.models import Dataset

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from materialization.stores.kept_files import FileKeeper, Kept


class DatasetDamaged(Conflict):
    """A file of a dataset is not the one that was written."""

    code = "dataset_damaged"


def frame_name(uid: str) -> str:
    return f"{uid}/frame.parquet"


def rows_name(dataset: Dataset) -> str:
    return f"{dataset.uid}/rows-{dataset.written_by}.parquet"


def write_frame(keeper: FileKeeper, uid: str, frame: pa.Table) -> Kept:
    """Keep an entity frame; columns in some packing are unpacked.

    :raises BadEntityFrame: Parquet cannot hold one of its columns; names it.
    """
    columns = [plain(column) for column in frame.columns]
    return _write(keeper, frame_name(uid), pa.table(columns, names=frame.column_names))


def write_rows(
    keeper: FileKeeper, dataset: Dataset, rows: pa.Table, look: Callable[[str], None]
) -> Kept:
    """Keep the rows of a dataset, once ``look`` has seen the file."""
    name = rows_name(dataset)
    with keeper.writing(name) as path:
        pq.write_table(rows, path, compression="zstd")
        look(path)
    return keeper.state(name)


def read_frame(keeper: FileKeeper, dataset: Dataset) -> pa.Table:
    """Return the frame as it was sent.

    :raises DatasetDamaged: it is another. :raises KeptFileUnavailable: it cannot be read.
    """
    name = frame_name(dataset.uid)
    if keeper.state(name).sha256 != dataset.frame_sha256:
        raise DatasetDamaged(f"the entity frame of {dataset} is not the one that was sent.")
    return _read(keeper, name)


def read_rows(keeper: FileKeeper, dataset: Dataset) -> pa.Table:
    """:raises KeptFileUnavailable: they cannot be read."""
    return _read(keeper, rows_name(dataset))


def needed_names(dataset: Dataset) -> frozenset[str]:
    """Return the files that a dataset which is over needs: of one that failed, none."""
    if dataset.status != WorkStatus.DONE:
        return frozenset()
    return frozenset({frame_name(dataset.uid), rows_name(dataset)})


def remove_others(keeper: FileKeeper, dataset: Dataset) -> None:
    """Remove what attempts wrote of a dataset that is over, but for what it needs."""
    written = [f"{dataset.uid}/rows-{each}.parquet" for each in range(1, dataset.attempt + 1)]
    for name in {*written, frame_name(dataset.uid)} - needed_names(dataset):
        keeper.remove(name)


def remove_unneeded(keeper: FileKeeper, *, before: datetime) -> None:
    """Remove files that no row names, and nobody has written to since ``before``.

    Of what is under way everything stays; else drafts of workers that died go, and what was written
    by one that had lost the dataset. Of a dataset that this database does not know a lone frame
    goes, whose asking failed; rows never do: the store may be another database's.
    """
    names = keeper.unchanged_since(before)
    rows = Dataset.objects.only("uid", "status", "written_by")
    found = {dataset.uid: dataset for dataset in rows} if names else {}
    with_rows = {_uid_of(name) for name in names if "/rows-" in name}
    for name in names:
        dataset = found.get(_uid_of(name))
        if dataset is None:
            is_needed = _uid_of(name) in with_rows
        else:
            is_needed = dataset.is_live or name in needed_names(dataset)
        if not is_needed:
            keeper.remove(name)


def _uid_of(name: str) -> str:
    return name.partition("/")[0]


def _write(keeper: FileKeeper, name: str, table: pa.Table) -> Kept:
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


def _read(keeper: FileKeeper, name: str) -> pa.Table:
    with keeper.open(name) as opened:
        try:
            return pq.read_table(opened)
        except (pa.ArrowException, OSError) as exc:
            raise KeptFileUnavailable(f"{name} cannot be read: {first_line(exc)}.") from exc
