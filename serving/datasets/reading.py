"""Which datasets somebody is told of, and the rows of one, as often as they are asked for.

Not for HTTP (``api``) nor for making them (``asking``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from lib.errors import Conflict, Gone, NotFound, did_you_mean
from lib.instants import timestamp
from materialization.stores.kept_files import KeptFileUnavailable
from registry import access
from registry.choices import Right
from registry.grants import Grants
from registry.scopes import told_whole
from serving.choices import WorkStatus
from serving.datasets.files import rows_name
from serving.models import Dataset, DatasetPart
from serving.stored_queries import require_frame

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User
    from django.db.models import QuerySet

    from materialization.stores.kept_files import FileKeeper
    from registry.models import Project


class DatasetNotFound(NotFound):
    code = "dataset_not_found"


class DatasetNotMade(Conflict):
    code = "dataset_not_made"


class DatasetEnded(Gone):
    code = "dataset_ended"


def datasets_of(project: Project, user: User | AnonymousUser) -> QuerySet[Dataset]:
    """Return the datasets that somebody is told of, newest first.

    Whoever came with a token for certain views is told of those that have no others.
    """
    found = Dataset.objects.filter(project=project).select_related(
        "project", "requested_by", "ended_by"
    )
    parts = DatasetPart.objects.filter(dataset__project=project)
    return told_whole(user, found, parts, of="dataset")


def get_dataset(project: Project, user: User | AnonymousUser, name: str, number: int) -> Dataset:
    """:raises DatasetNotFound: there is none that they are told of; names the nearest."""
    found = datasets_of(project, user)
    dataset = found.filter(name=name, number=number).first()
    if dataset is not None:
        return dataset
    numbers = sorted(found.filter(name=name).values_list("number", flat=True))
    if numbers:
        raise DatasetNotFound(f"{name} has no version {number}; its newest is {numbers[-1]}.")
    names = set(found.values_list("name", flat=True)[:1000])
    raise DatasetNotFound(f"{project} has no dataset {name!r}.{did_you_mean(name, names)}")


def require_made(dataset: Dataset) -> None:
    """Return if there are rows of it.

    :raises DatasetNotMade: a worker is not done with it, or could not make it; says why.
    :raises DatasetEnded: there were, until somebody ended it; says who, when and why.
    """
    if dataset.status == WorkStatus.FAILED:
        raise DatasetNotMade(
            f"{dataset} could not be made: {dataset.error} Ask for its next version."
        )
    if dataset.status == WorkStatus.ENDED:
        by = f" by {dataset.ended_by.get_username()}" if dataset.ended_by else ""
        raise DatasetEnded(
            f"{dataset} was ended{by} at {timestamp(dataset.ended_at)} ({dataset.end_reason}): its"
            " rows are removed, its manifest stays. Ask for its next version."
        )
    if dataset.status != WorkStatus.DONE:
        raise DatasetNotMade(f"{dataset} is {dataset.status}; ask again when it is done.")


def require_readable(
    parts: Iterable[DatasetPart],
    user: User | AnonymousUser,
    *,
    at: datetime,
    came_as_own: bool = False,
) -> None:
    """Return if somebody may read all values that these parts have, now; see ``Grants``.

    :raises ActionNotPermitted: not one of the views. :raises GrantNeeded: not one of the features.
    """
    read = []
    for part in parts:
        access.require(user, Right.READ_OFFLINE, part.version.feature_view)
        read += [(part.version, feature) for feature in part.features]
    Grants(user, at=at, came_as_own=came_as_own).require(read)


def open_rows(
    *, dataset: Dataset, actor: User | AnonymousUser, keeper: FileKeeper, at: datetime
) -> BinaryIO:
    """Open the Parquet file of a dataset's rows.

    :raises ActionNotPermitted, GrantNeeded, DatasetNotMade, DatasetEnded: as ``require_rows``.
    :raises KeptFileUnavailable: its file is not there.
    """
    require_rows(dataset=dataset, actor=actor, at=at)
    return _opened(dataset, keeper)


def require_rows(*, dataset: Dataset, actor: User | AnonymousUser, at: datetime) -> None:
    """Return if somebody may have a dataset's rows, and they were made and are kept.

    What may be read is asked as of now: rights end, and so do grants.

    :raises ActionNotPermitted: the actor may not read one of its views offline.
    :raises GrantNeeded: the actor has no grant for a feature that is sensitive; names it.
    :raises DatasetNotMade, DatasetEnded: it is not there.
    """
    parts = list(dataset.parts.select_related("version__feature_view__project"))
    require_readable(parts, actor, at=at)
    require_frame(dataset, actor, at=at)
    require_made(dataset)


def _opened(dataset: Dataset, keeper: FileKeeper) -> BinaryIO:
    try:
        return keeper.open(rows_name(dataset))
    except KeptFileUnavailable:
        dataset.refresh_from_db()
        require_made(dataset)  # somebody may have ended it just now
        raise
