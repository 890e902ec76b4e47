"""What the trail last said of entities, data sources and services, and which rows say otherwise.

Not for versions (``versions``) or accounts (``accounts``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.errors import Conflict
from registry import audit
from registry.models import AuditEntry, DataSource, Entity

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from registry.models import FeatureViewVersion


class DefinitionNotAsTold(Conflict):
    code = "definition_not_as_told"


def last_said(kind: str, keys: Collection[str]) -> dict[str, Any]:
    """Return what the last entry of each of these objects says that it is, by key."""
    entries = AuditEntry.objects.filter(subject_type=kind, subject_id__in=list(keys))
    return {entry.subject_id: entry.after for entry in entries.order_by("pk")}


def not_as_told(rows: Iterable[Entity | DataSource]) -> Iterator[Entity | DataSource]:
    """Yield those whose definition is not the one that somebody last wrote."""
    by_kind: dict[str, dict[str, Entity | DataSource]] = {}
    for row in rows:
        by_kind.setdefault(str(row._meta.model_name), {})[str(row.pk)] = row
    for kind, known in by_kind.items():
        told = last_said(kind, known)
        for pk, row in known.items():
            if told.get(pk) != audit.plain(row.spec_json):
                yield row


def require_parts_as_told(versions: Collection[FeatureViewVersion]) -> None:
    """Return if what these drafts are made of is what somebody wrote, who is known by that.

    Asked when they are stored, for they keep a copy, whatever the rows say afterwards.
    :raises DefinitionNotAsTold: an entity or source was changed past the trail; says which.
    """
    if not versions:
        return
    project = next(iter(versions)).feature_view.project_id
    views = [version.spec.view for version in versions]
    entities = {name for view in views for name in view.entities}
    sources = {view.source for view in views if view.source}
    sources |= {join.name for view in views for join in view.sources}
    rows: tuple[Entity | DataSource, ...] = (
        *Entity.objects.filter(project=project, name__in=entities),
        *DataSource.objects.filter(project=project, name__in=sources),
    )
    for row in not_as_told(rows):
        noun = "entity" if isinstance(row, Entity) else "data source"
        raise DefinitionNotAsTold(
            f"{noun} {row.name} is not what somebody last wrote: it was changed past the trail."
            " Nothing is made of it. Apply its definition as it should be, then repeat; manage.py"
            " verify_audit says more."
        )
