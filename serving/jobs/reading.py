"""Which jobs somebody is told of, and the file of one, as often as its asker wants it.

Not for HTTP (``api``) nor for making it (``making``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from lib.errors import Conflict, Forbidden, Gone, NotFound
from registry.scopes import told_whole
from serving.choices import WorkStatus
from serving.jobs.files import answer_name
from serving.jobs.making import plan_of, require_reader
from serving.models import HistoricalJob, HistoricalJobPart

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User
    from django.db.models import QuerySet

    from materialization.stores.kept_files import FileKeeper
    from registry.models import Project


class JobNotFound(NotFound):
    code = "historical_job_not_found"


class JobOfAnother(Forbidden):
    code = "historical_job_of_another"


class JobNotMade(Conflict):
    code = "historical_job_not_made"


class JobRemoved(Gone):
    code = "historical_job_removed"


def jobs_of(project: Project, user: User | AnonymousUser) -> QuerySet[HistoricalJob]:
    """Return the jobs that somebody is told of, newest first: whose they are, and how far.

    Whoever came with a token for certain views is told of those that have no others.
    """
    found = HistoricalJob.objects.filter(project=project).select_related("project", "requested_by")
    parts = HistoricalJobPart.objects.filter(job__project=project)
    return told_whole(user, found, parts, of="job")


def get_job(project: Project, user: User | AnonymousUser, job_id: int) -> HistoricalJob:
    """:raises JobNotFound: there is none that they are told of."""
    job = jobs_of(project, user).filter(pk=job_id).first()
    if job is None:
        raise JobNotFound(
            f"{project} has no historical job {job_id}; those that are over are forgotten after"
            " 30 days."
        )
    return job


def open_answer(*, job: HistoricalJob, actor: User, keeper: FileKeeper, at: datetime) -> BinaryIO:
    """Open the Parquet file of a job.

    :raises JobOfAnother, ActionNotPermitted, GrantNeeded, JobNotMade, JobRemoved: as
        ``require_answer``.
    :raises KeptFileUnavailable: its file cannot be read.
    """
    require_answer(job=job, actor=actor, at=at)
    return keeper.open(answer_name(job))


def require_answer(*, job: HistoricalJob, actor: User, at: datetime) -> None:
    """Return if somebody may have the file of a job, and it was made and is kept.

    It is its asker's: columns of the frame are nobody else's business. What they may read is asked
    as of now.

    :raises JobOfAnother: the actor did not ask for it.
    :raises ActionNotPermitted, GrantNeeded: the actor may not read it any more.
    :raises JobNotMade: it is not there yet, or could not be made. :raises JobRemoved: not any more.
    """
    if job.requested_by_id != actor.pk:
        raise JobOfAnother(
            f"{job} was asked for by {job.requested_by.get_username()}, with a frame of their own;"
            " ask for one yourself."
        )
    require_reader(job, actor, plan_of(job), at=at)
    _require_there(job, at)


def _require_there(job: HistoricalJob, at: datetime) -> None:
    """:raises JobNotMade, JobRemoved: as ``open_answer``; they say why."""
    if job.is_there(at):
        return
    if job.is_live:
        raise JobNotMade(f"{job} is {job.status}; ask again when it is done.")
    if job.status == WorkStatus.FAILED:
        raise JobNotMade(f"{job} could not be made: {job.error}")
    why = "was cancelled" if job.status == WorkStatus.CANCELLED else "was kept for its time"
    raise JobRemoved(f"{job} {why}, and its file is removed. Ask for it anew.")
