"""The files of a job: its entity frame while it is made, then its answer, as Parquet.

Not for where they lie: a ``FileKeeper`` keeps them by these names.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from materialization.stores.kept_files import KeptFileUnavailable
from serving.choices import WorkStatus
from serving.historical.plain_columns import first_line
from serving.kept_frames import frame_name
from serving.models import HistoricalJob
from serving.sweeping import WRITTEN_WITHIN, remove_but

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta

    from materialization.stores.kept_files import FileKeeper


def answer_name(job: HistoricalJob) -> str:
    return f"{job.uid}/answer-{job.written_by}.parquet"


def frame_pieces(keeper: FileKeeper, job: HistoricalJob, rows: int) -> Iterator[pa.Table]:
    """Yield the frame as it was sent, so many rows at a time; of one without rows itself.

    :raises KeptFileUnavailable: it cannot be read.
    """
    name = frame_name(job.uid)
    with keeper.open(name) as opened:
        try:
            file = pq.ParquetFile(opened)
            if not file.metadata.num_rows:
                yield file.schema_arrow.empty_table()
            for batch in file.iter_batches(batch_size=rows):
                yield pa.Table.from_batches([batch])
        except (pa.ArrowException, OSError) as exc:
            raise KeptFileUnavailable(f"{name} cannot be read: {first_line(exc)}.") from exc


def frame_size(keeper: FileKeeper, job: HistoricalJob) -> int:
    """Return the bytes of the frame, which is there until the job is over; 0: it has none.

    :raises KeptFileUnavailable: it cannot be read.
    """
    if job.request["all_entities"] is not None:
        return 0
    with keeper.open(frame_name(job.uid)) as opened:
        return opened.seek(0, os.SEEK_END)


def needed_names(job: HistoricalJob) -> frozenset[str]:
    """Return the files that a job which nobody works at any more needs."""
    return frozenset({answer_name(job)}) if job.status == WorkStatus.DONE else frozenset()


def remove_others(keeper: FileKeeper, job: HistoricalJob) -> None:
    """Remove what was written of a job that is over, but for what it needs."""
    written = [f"{job.uid}/answer-{each}.parquet" for each in range(1, job.attempt + 1)]
    for name in {*written, frame_name(job.uid)} - needed_names(job):
        keeper.remove(name)


def remove_unneeded(keeper: FileKeeper, *, at: datetime, kept_for: timedelta) -> None:
    """Remove files that no job needs, and what no job ever was of.

    What this database does not know may be another's: it stays for as long as a job's file does.
    """

    def old(names: Sequence[str]) -> list[str]:
        unchanged = set(keeper.unchanged_since(at - WRITTEN_WITHIN - kept_for))
        return [name for name in names if name in unchanged]

    rows = HistoricalJob.objects.only("uid", "status", "written_by")
    remove_but(needed_names, keeper, rows, before=at, unknown=old)
