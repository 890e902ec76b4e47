"""What a sweep sees to of datasets: workers that died, messages that were lost, what is left."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from materialization.edges import dataset_files
from materialization.requests.lost import is_unheard, lease_is_over
from serving.choices import LIVE_WORK, WorkStatus
from serving.datasets import asking, checks, holding, making, verifying
from serving.datasets.edges import dataset_stores
from serving.datasets.files import remove_unneeded
from serving.datasets.working import MOST_ATTEMPTS, end, failed
from serving.models import Dataset, DatasetCheck

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.db.models import QuerySet

#: How long a file may be there before the row that names it is.
WRITTEN_WITHIN = timedelta(days=1)


def see_to_datasets(*, at: datetime) -> None:
    """Queue again what a worker died over, and wake one for what waits."""
    rows = Dataset.objects.select_related("project", "requested_by")
    _see_to(rows, wake=asking.wake, tell=_tell_dataset, at=at)


def see_to_checks(*, at: datetime) -> None:
    """Queue again the checks that a worker died over, and wake one for those that wait."""
    rows = DatasetCheck.objects.select_related("dataset__project", "requested_by")
    _see_to(rows, wake=checks.wake, tell=verifying.tell, at=at)


def tidy_up(*, at: datetime) -> None:
    """Let go what no dataset has any more: holds, and files that were written in vain."""
    holding.end_orphans()
    remove_unneeded(dataset_files(), before=at - WRITTEN_WITHIN)


def _tell_dataset(dataset: Dataset, at: datetime) -> None:
    making.tell(dataset, dataset_stores(), at)


def _see_to(
    rows: QuerySet[Any],
    *,
    wake: Callable[[Any], None],
    tell: Callable[[Any, datetime], None],
    at: datetime,
) -> None:
    live = rows.filter(status__in=LIVE_WORK)
    is_dead = lease_is_over(at)
    for dead in live.filter(is_dead, status=WorkStatus.RUNNING):
        unchanged = dead.owned().filter(is_dead)
        if dead.attempt >= MOST_ATTEMPTS:
            said = f"its worker died {dead.attempt} times (last: {dead.worker})."
            end(dead, failed(said, "worker_died"), at, tell=tell, among=unchanged)
        elif unchanged.update(status=WorkStatus.QUEUED, enqueued_at=at, lease_expires_at=None):
            wake(dead)
    lost = live.filter(is_unheard(at), status=WorkStatus.QUEUED)
    for waiting in lost:
        if lost.filter(pk=waiting.pk).update(enqueued_at=at):
            wake(waiting)


#: What a sweep sees to, in order.
DUTIES = (see_to_datasets, see_to_checks, tidy_up)
