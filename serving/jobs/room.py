"""Whether there is room for another job, and for how much of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Sum

from lib.errors import Conflict
from materialization.runner.heartbeat import LeaseLost
from registry import locks
from serving.choices import LIVE_WORK, WorkStatus
from serving.models import HistoricalJob

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from serving.jobs.bounds import JobBounds

#: Those that have files, or will.
WITH_FILES = (*LIVE_WORK, WorkStatus.DONE)


class TooManyJobs(Conflict):
    code = "too_many_historical_jobs"


class NoRoomForJobs(Conflict):
    code = "no_room_for_historical_jobs"


def require_room(actor: User, bounds: JobBounds, *, besides: HistoricalJob | None = None) -> None:
    """Return if there may be another job, which is ``besides`` once it is there, with its frame.

    :raises TooManyJobs, NoRoomForJobs: saying how many there are, and what to do.
    """
    there = HistoricalJob.objects.filter(status__in=WITH_FILES, requested_by=actor)
    mine = there.exclude(pk=besides.pk).count() if besides else there.count()
    if mine >= bounds.most_of_one:
        raise TooManyJobs(
            f"you have {mine} historical jobs that wait, are made or can be downloaded; one person"
            f" has at most {bounds.most_of_one} (HISTORICAL_JOBS_MAX_OF_ONE). Cancel one that you"
            " need no more: that removes its file."
        )
    if room_left(bounds) <= 0:
        raise NoRoomForJobs(
            f"the files of historical jobs have no more room in the {bounds.all_mb:,} MB that they"
            " may take (HISTORICAL_JOBS_MAX_MB). Ask again when some are cancelled or removed."
        )


def note_size(job: HistoricalJob, bounds: JobBounds, *, frame: int, answer: int, rows: int) -> int:
    """Say how far a job is; return the room for its answer, which is less where it has not all.

    One job after the other: what fits is noted with the asking, so of two that grow side by side
    the earlier has the room. What does not fit takes none from the others.

    :raises LeaseLost: the job was cancelled, or another attempt has it.
    """
    with transaction.atomic():
        locks.hold(HistoricalJob.objects.filter(status__in=LIVE_WORK).only("pk"))
        room = max(min(bounds.job_mb << 20, room_left(bounds, without=job) - frame), 0)
        size = {"size": frame + answer} if answer <= room else {}
        if not job.owned().update(rows_done=rows, **size):
            raise LeaseLost("it was cancelled, or another attempt has it")
    return room


def room_left(bounds: JobBounds, *, without: HistoricalJob | None = None) -> int:
    """Return how many bytes the files of all jobs may still take; 0: none."""
    there = HistoricalJob.objects.filter(status__in=WITH_FILES)
    if without is not None:
        there = there.exclude(pk=without.pk)
    taken = int(there.aggregate(taken=Sum("size"))["taken"] or 0)
    return max((bounds.all_mb << 20) - taken, 0)
