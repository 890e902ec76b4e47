"""How far a job is, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from serving.choices import WorkStatus

if TYPE_CHECKING:
    from serving.models import HistoricalJob


def progress_of(job: HistoricalJob) -> str:
    """Say how far a job is: never empty, and without a value of anybody's data."""
    if job.status == WorkStatus.QUEUED:
        return "waits for a worker" if not job.attempt else "waits for its next attempt"
    if job.status == WorkStatus.RUNNING:
        of = "" if job.rows is None else f" of {job.rows:,}"
        return f"{job.rows_done:,}{of} rows are done"
    return _OVER[WorkStatus(job.status)].format(rows=job.rows_done)


_OVER = {
    WorkStatus.DONE: "{rows:,} rows, to be downloaded until it expires",
    WorkStatus.FAILED: "could not be made",
    WorkStatus.CANCELLED: "was cancelled; nothing of it is kept",
    WorkStatus.ENDED: "was kept for its time; its file is removed",
}
