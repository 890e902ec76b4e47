"""What a sweep sees to of jobs: workers that died, messages that were lost, hours that are over."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from materialization.edges.stores import job_files
from serving.jobs import asking, ending, making
from serving.jobs.edges import job_bounds, job_stores
from serving.jobs.files import remove_unneeded
from serving.models import HistoricalJob
from serving.sweeping import look_through
from serving.working import see_to

if TYPE_CHECKING:
    from datetime import datetime


def see_to_jobs(*, at: datetime) -> None:
    """Queue again what a worker died over, and wake one for what waits."""
    rows = HistoricalJob.objects.select_related("project", "requested_by")
    see_to(rows, wake=asking.wake, tell=_tell, at=at)


def tidy_up(*, at: datetime) -> None:
    """Remove the files whose time is over, and those that were written in vain."""
    ending.end_expired(job_files(), at=at)
    kept_for = job_bounds().kept_for
    look = partial(remove_unneeded, job_files(), at=at, kept_for=kept_for)
    look_through("files of jobs", look, at=at)


def _tell(job: HistoricalJob, at: datetime) -> None:
    making.tell(job, job_stores(), at)


#: What a sweep sees to, in order.
DUTIES = (see_to_jobs, tidy_up)
