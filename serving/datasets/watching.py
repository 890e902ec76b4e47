"""What a sweep sees to of datasets: workers that died, messages that were lost, what is over."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from materialization.edges.stores import dataset_files
from serving.datasets import asking, checks, holding, making, verifying
from serving.datasets.edges import dataset_stores
from serving.datasets.ending import end_expired
from serving.datasets.files import remove_unneeded
from serving.models import Dataset, DatasetCheck
from serving.sweeping import WRITTEN_WITHIN, look_through
from serving.working import see_to

if TYPE_CHECKING:
    from datetime import datetime


def see_to_datasets(*, at: datetime) -> None:
    """Queue again what a worker died over, and wake one for what waits."""
    rows = Dataset.objects.select_related("project", "requested_by")
    see_to(rows, wake=asking.wake, tell=_tell_dataset, at=at)


def see_to_checks(*, at: datetime) -> None:
    """Queue again the checks that a worker died over, and wake one for those that wait."""
    rows = DatasetCheck.objects.select_related("dataset__project", "requested_by")
    see_to(rows, wake=checks.wake, tell=verifying.tell, at=at)


def see_to_ends(*, at: datetime) -> None:
    """End what was to be kept until now."""
    end_expired(keeper=dataset_files(), at=at)


def tidy_up(*, at: datetime) -> None:
    """Let go what no dataset has any more: holds, and files that were written in vain."""
    look_through("files of datasets", partial(_look, at), at=at)


def _look(at: datetime) -> None:
    holding.end_orphans()
    remove_unneeded(dataset_files(), before=at - WRITTEN_WITHIN)


def _tell_dataset(dataset: Dataset, at: datetime) -> None:
    making.tell(dataset, dataset_stores(), at)


#: What a sweep sees to, in order.
DUTIES = (see_to_datasets, see_to_checks, see_to_ends, tidy_up)
