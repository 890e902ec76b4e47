"""Which datasets somebody is told of, and the rows of one, as often as they are asked for.

Not for HTTP (``api``) nor for making them (``asking``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from django.db import transaction

from lib.errors import Conflict, NotFound, did_you_mean
from registry import access, audit
from registry.choices import Right
from registry.grants import Grants
from registry.scopes import views_of
from serving.choices import WorkStatus
from serving.datasets.files import rows_name
from serving.models import Dataset, DatasetPart

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User
    from django.db.models import QuerySet

    from materialization.stores.kept_files import FileKeeper
    from registry.models import Project


class DatasetNotFound(NotFound):
    code = "dataset_not_found"


class DatasetNotMade(Conflict):
    code = "dataset_not_made"


def datasets_of(project: Project, user: User | AnonymousUser) -> QuerySet[Dataset]:
    """Return the datasets that somebody is told of, newest first.

    Whoever came with a token for certain views is told of those that have no others.
    """
    found = Dataset.objects.filter(project=project).select_related("project", "requested_by")
    if (views := views_of(user)) is None:
        return found
    others = DatasetPart.objects.exclude(version__feature_view__name__in=views)
    return found.exclude(pk__in=others.filter(dataset__project=project).values("dataset"))


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
    """:raises DatasetNotMade: a worker is not done with it, or could not make it; says why."""
    if dataset.status == WorkStatus.FAILED:
        raise DatasetNotMade(
            f"{dataset} could not be made: {dataset.error} Ask for its next version."
        )
    if dataset.status != WorkStatus.DONE:
        raise DatasetNotMade(f"{dataset} is {dataset.status}; ask again when it is done.")


def open_rows(
    *, dataset: Dataset, actor: User | AnonymousUser, keeper: FileKeeper, at: datetime
) -> BinaryIO:
    """Open the Parquet file of a dataset's rows, and record that it was asked for.

    What may be read is asked as of now: rights end, and so do grants.

    :raises ActionNotPermitted: the actor may not read one of its views offline.
    :raises GrantNeeded: the actor has no grant for a feature that is sensitive; names it.
    :raises DatasetNotMade: it is not there. :raises KeptFileUnavailable: its file is not.
    """
    parts = list(dataset.parts.select_related("version__feature_view__project"))
    for part in parts:
        access.require(actor, Right.READ_OFFLINE, part.version.feature_view)
    read = [(part.version, feature) for part in parts for feature in part.features]
    Grants(actor, at=at).require(read)
    require_made(dataset)
    opened = keeper.open(rows_name(dataset))
    with transaction.atomic():
        data = {"rows": dataset.rows, "manifest_hash": dataset.manifest_hash}
        audit.record(actor=actor, verb="dataset.downloaded", subject=dataset, data=data, at=at)
    return opened
