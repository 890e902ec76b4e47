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
from serving.historical.plain_columns import first_line
from serving.kept_frames import frame_name
from serving.models import Dataset
from serving.sweeping import remove_but, uid_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from materialization.stores.kept_files import FileKeeper, Kept


class DatasetDamaged(Conflict):
    """A file of a dataset is not the one that was written."""

    code = "dataset_damaged"


def rows_name(dataset: Dataset) -> str:
    return f"{dataset.uid}/rows-{dataset.written_by}.parquet"


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
    """Remove files that no dataset needs, and nobody has written to since ``before``.

    Of a dataset that this database does not know a lone frame goes, whose asking failed; rows never
    do: the store may be another database's.
    """

    def lone_frames(names: Sequence[str]) -> Iterator[str]:
        with_rows = {uid_of(name) for name in names if "/rows-" in name}
        return (name for name in names if uid_of(name) not in with_rows)

    rows = Dataset.objects.only("uid", "status", "written_by")
    remove_but(needed_names, keeper, rows, before=before, unknown=lone_frames)


def _read(keeper: FileKeeper, name: str) -> pa.Table:
    with keeper.open(name) as opened:
        try:
            return pq.read_table(opened)
        except (pa.ArrowException, OSError) as exc:
            raise KeptFileUnavailable(f"{name} cannot be read: {first_line(exc)}.") from exc
