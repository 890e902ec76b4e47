"""What datasets have of features and sources: for the lineage of a project, the packet of a change.

There are ever more of them: of each name the newest is in it, with how many are older.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Count, Max

from registry import lineage, rows_kept
from registry.lineage import Link
from registry.lineage_graph import Key
from registry.rows_kept import read_columns
from registry.spec.references import Reference
from serving.choices import WorkStatus
from serving.datasets.request import NAME
from serving.models import Dataset, DatasetPart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet

    from registry.models import Project
    from registry.rows_kept import KeptRows

KIND = "dataset"


def register() -> None:
    lineage.register(KIND, links)
    rows_kept.register(KIND, frames)


def links(project: Project, view: str | None, named: str) -> Iterator[Link]:
    """Yield each feature that a dataset of the project has, by the version that it was of.

    Of each name that of the newest with rows: of those that have a feature of the view, where one
    is given. The one that is ``named`` is among them, also if it is older or was ended.
    """
    there = Dataset.objects.filter(project=project, status=WorkStatus.DONE)
    if view is not None:
        there = there.filter(parts__version__feature_view__name=view)
    older = _newest(there, project, named)
    parts = DatasetPart.objects.filter(dataset__in=older)
    if view is not None:
        parts = parts.filter(version__feature_view__name=view)
    numbers = "version__major", "version__minor", "version__patch"
    columns = "dataset", "dataset__name", "dataset__number", "dataset__status"
    of = "version__feature_view__name", "features"
    rows = parts.order_by("dataset", "position").values_list(*columns, *of, *numbers)
    for pk, name, number, status, view_name, features, *version in rows:
        facts = {"status": status, "older": older[pk]}
        for feature in features:
            reference = Reference(view_name, ".".join(map(str, version)), feature)
            yield Link(reference, Key(KIND, f"{name}@{number}"), facts)


def frames(project: Project, source: str | None, named: str) -> Iterator[KeptRows]:
    """Yield the queries that gave the frames of the project's datasets.

    Of each name that of the newest with rows: of those over the source, where one is given. The one
    that is ``named`` is among them, as above.
    """
    there = Dataset.objects.filter(project=project, status=WorkStatus.DONE)
    if source is not None:
        there = there.filter(request__entity_query__source=source)
    older = _newest(there, project, named)
    asked = Dataset.objects.filter(pk__in=older).exclude(query="").order_by("pk")
    for pk, name, number, status, columns in asked.values_list(
        "pk", "name", "number", "status", "query_columns"
    ):
        facts = {"status": status, "older": older[pk]}
        yield read_columns(columns, Key(KIND, f"{name}@{number}"), facts)


def _newest(there: QuerySet[Dataset], project: Project, named: str) -> dict[int, int]:
    """Return the newest of each name, each with how many are older, and the one that is named."""
    newest = (
        there.order_by().values("name").annotate(newest=Max("pk"), count=Count("pk", distinct=True))
    )
    older = {each["newest"]: each["count"] - 1 for each in newest}
    dataset = find(project, named)
    if dataset is not None and dataset.status in (WorkStatus.DONE, WorkStatus.ENDED):
        older.setdefault(dataset.pk, 0)
    return older


def find(project: Project, name: str) -> Dataset | None:
    """Return the dataset that a lineage calls ``churn@3``."""
    title, _, number = name.partition("@")
    # A name that none can have is not asked of the database, which takes not every text.
    is_number = number.isascii() and number.isdecimal() and len(number) < 10
    if not (is_number and NAME.fullmatch(title)):
        return None
    return Dataset.objects.filter(project=project, name=title, number=int(number)).first()
