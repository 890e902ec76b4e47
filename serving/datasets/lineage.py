"""What datasets have of features, for the lineage of a project and the packet of a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry import lineage
from registry.lineage import Key
from registry.spec.references import Reference
from serving.choices import WorkStatus
from serving.models import DatasetPart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.models import Project

KIND = "dataset"


def register() -> None:
    lineage.register(KIND, links)


def links(project: Project, view: str | None) -> Iterator[tuple[Reference, Key]]:
    """Yield each feature that a dataset of the project has, by the version that it was of."""
    parts = DatasetPart.objects.filter(dataset__project=project, dataset__status=WorkStatus.DONE)
    if view is not None:
        parts = parts.filter(version__feature_view__name=view)
    named = "version__major", "version__minor", "version__patch"
    columns = "dataset__name", "dataset__number", "version__feature_view__name", "features"
    rows = parts.order_by("dataset", "position").values_list(*columns, *named)
    for name, number, of, features, major, minor, patch in rows:
        for feature in features:
            yield Reference(of, f"{major}.{minor}.{patch}", feature), Key(KIND, f"{name}@{number}")
