"""What a sweep sees to of datasets: workers that died, and messages that were lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from materialization.requests.lost import is_unheard, lease_is_over
from serving.choices import LIVE_WORK, WorkStatus
from serving.datasets import asking, checks, making, verifying
from serving.datasets.edges import dataset_stores
from serving.datasets.working import MOST_ATTEMPTS, end, failed
from serving.models import Dataset, DatasetCheck

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.db.models import QuerySet


def see_to_datasets(*, at: datetime) -> None:
    """Queue again what a worker died over, and wake one for what waits."""
    rows = Dataset.objects.select_related("project", "requested_by")
    _see_to(rows, wake=asking.wake, tell=_tell_dataset, at=at)


def see_to_checks(*, at: datetime) -> None:
    """Queue again the checks that a worker died over, and wake one for those that wait."""
    rows = DatasetCheck.objects.select_related("dataset__project", "requested_by")
    _see_to(rows, wake=checks.wake, tell=verifying.tell, at=at)


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
DUTIES = (see_to_datasets, see_to_checks)
