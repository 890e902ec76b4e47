"""Asking for a dataset to be computed again. Not for doing so: ``verifying`` does, in a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction

from lib.commits import once_committed
from lib.errors import Conflict
from registry import access, audit
from registry.choices import Right
from serving import tasks
from serving.choices import LIVE_WORK
from serving.datasets.reading import require_made
from serving.models import DatasetCheck

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from serving.models import Dataset


#: How many checks of one project's datasets may wait: each reads all bytes of the tables again.
MOST_WAITING = 20


class TooManyChecksWaiting(Conflict):
    code = "too_many_checks_waiting"


def request_check(*, dataset: Dataset, actor: User, at: datetime) -> DatasetCheck:
    """Queue a check of a dataset; one that is under way is returned instead.

    It shows no values, so it takes no grant.

    :raises ActionNotPermitted: the actor may not read one of its views offline.
    :raises DatasetNotMade: there is nothing to compare with.
    :raises TooManyChecksWaiting: the project has ``MOST_WAITING`` already.
    """
    for part in dataset.parts.select_related("version__feature_view__project"):
        access.require(actor, Right.READ_OFFLINE, part.version.feature_view)
    require_made(dataset)
    live = DatasetCheck.objects.filter(dataset=dataset, status__in=LIVE_WORK)
    if (under_way := live.first()) is not None:
        return under_way
    project = dataset.project
    waiting = DatasetCheck.objects.filter(dataset__project=project, status__in=LIVE_WORK).count()
    if waiting >= MOST_WAITING:
        raise TooManyChecksWaiting(
            f"{waiting} checks of datasets of {project} wait for a worker; ask again when some are"
            " over."
        )
    try:
        with transaction.atomic():
            check = DatasetCheck.objects.create(
                dataset=dataset, requested_by=actor, requested_at=at, enqueued_at=at
            )
            audit.record(actor=actor, verb="dataset.check_requested", subject=dataset, at=at)
            wake(check)
            return check
    except IntegrityError:
        return live.get()  # somebody else was a moment earlier


def wake(check: DatasetCheck) -> None:
    """Wake a worker once the transaction is in; the sweep repeats it if the message is lost."""
    what = f"waking a worker for {check}"
    once_committed(what, tasks.verify_dataset.delay, check_id=check.pk)
