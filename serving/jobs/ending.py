"""The end of a job before or at its time: cancelled by somebody, or its hours are over."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import transaction

from lib.commits import once_committed
from lib.errors import Conflict
from registry import access, audit
from registry.choices import Right
from serving.choices import LIVE_WORK, WorkStatus
from serving.jobs.files import remove_others
from serving.jobs.room import WITH_FILES
from serving.models import HistoricalJob

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from materialization.stores.kept_files import FileKeeper

#: How long the row of a job that is over says what became of it; the trail says it for ever.
ROWS_STAY = timedelta(days=30)


class JobIsOver(Conflict):
    code = "historical_job_is_over"


def may_cancel(job: HistoricalJob, user: User | AnonymousUser) -> bool:
    """Return whether it is theirs, or they see to what the workers of the project do."""
    return _is_theirs(job, user) or access.can(user, Right.MATERIALIZE_FEATUREVIEW, job.project)


def _is_theirs(job: HistoricalJob, user: User | AnonymousUser) -> bool:
    """Return whether they asked for it, and came with what it takes to ask."""
    if job.requested_by_id != user.pk:
        return False
    parts = job.parts.select_related("version__feature_view__project")
    return all(access.can(user, Right.READ_OFFLINE, part.version.feature_view) for part in parts)


def cancel_job(
    *, job: HistoricalJob, actor: User, keeper: FileKeeper, at: datetime
) -> HistoricalJob:
    """End a job now; a worker that has it stops after its piece. What it made is removed.

    :raises ActionNotPermitted: it is another's, and the actor does not run the project's work.
    :raises JobIsOver: there is nothing of it any more.
    """
    if not _is_theirs(job, actor):
        access.require(actor, Right.MATERIALIZE_FEATUREVIEW, job.project)
    with transaction.atomic():
        if not _end(job, WorkStatus.CANCELLED, keeper, at):
            job.refresh_from_db()
            raise JobIsOver(f"{job} is {job.status} already.")
        audit.record(actor=actor, verb="historical_job.cancelled", subject=job, at=at)
    return job


def end_expired(keeper: FileKeeper, *, at: datetime) -> None:
    """Remove the files whose hours are over, and rows that nobody looks at any more."""
    kept = HistoricalJob.objects.filter(status=WorkStatus.DONE, expires_at__lte=at)
    for job in kept.select_related("project"):
        with transaction.atomic():
            if _end(job, WorkStatus.ENDED, keeper, at):
                audit.record(actor=None, verb="historical_job.expired", subject=job, at=at)
    over = HistoricalJob.objects.exclude(status__in=WITH_FILES)
    over.filter(requested_at__lt=at - ROWS_STAY).delete()


def _end(job: HistoricalJob, status: WorkStatus, keeper: FileKeeper, at: datetime) -> bool:
    """Write that it is over, if it was not; its files go once that is in."""
    there = HistoricalJob.objects.filter(pk=job.pk)
    ended: dict[str, Any] = {"status": status, "lease_expires_at": None, "size": 0}
    if status == WorkStatus.CANCELLED:
        ended["expires_at"] = None
    if not (
        there.filter(status__in=LIVE_WORK).update(**ended, finished_at=at)
        or there.filter(status=WorkStatus.DONE).update(**ended)
    ):
        return False
    job.refresh_from_db()
    once_committed(f"removing files of {job}", remove_others, keeper=keeper, job=job)
    return True
