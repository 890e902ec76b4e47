"""Storing what a registration decided, in as few statements as there are kinds of rows.

Not for deciding: the modules of each kind do, without a lock. Whoever calls holds the project and
has made sure that what was decided on still stands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from registry import audit, locks
from registry.choices import State
from registry.models import (
    AuditEntry,
    DataSource,
    Entity,
    Feature,
    FeatureService,
    FeatureServiceMember,
    FeatureServiceVersion,
    FeatureView,
    FeatureViewVersion,
    VersionEditor,
)
from registry.trail.told.definitions import require_parts_as_told

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.contrib.auth.models import User
    from django.db.models import Model

T = TypeVar("T")
#: What an update of an entity or a source writes.
CATALOG_COLUMNS = ("description", "owner", "tags", "spec_json", "updated_at", "updated_by")


@dataclass
class CatalogChange:
    """An entity or a source as it will be, and what it said before (None: it is new)."""

    row: Entity | DataSource
    before: str | None
    editor_ids: set[int]

    @property
    def said(self) -> tuple[str, Model, str | None, str]:
        noun = "entity" if isinstance(self.row, Entity) else "data_source"
        verb = f"{noun}.{'created' if self.before is None else 'updated'}"
        return verb, self.row, self.before, self.row.spec_json


@dataclass
class DraftChange:
    """A draft as it will be, and what it said before; ``content`` are its columns that change."""

    row: FeatureViewVersion
    before: str | None
    editor_ids: set[int]
    content: dict[str, Any]

    @property
    def said(self) -> tuple[str, Model, str | None, str]:
        verb = f"feature_view_version.{'drafted' if self.before is None else 'edited'}"
        return verb, self.row, self.before, self.row.spec_json


@dataclass
class ServiceChange:
    """A service's next version with its members, and what the current one says."""

    row: FeatureServiceVersion
    before: str | None
    members: list[FeatureServiceMember]

    @property
    def said(self) -> tuple[str, Model, str | None, str]:
        verb = f"feature_service.{'created' if self.before is None else 'updated'}"
        return verb, self.row.feature_service, self.before, self.row.spec_json


Change = CatalogChange | DraftChange | ServiceChange


def store(
    changes: list[Change],
    *,
    actor: User,
    at: datetime,
    submitting: Iterable[FeatureViewVersion] = (),
) -> None:
    """Write the changes and their entries, inside the caller's change of the project.

    The drafts that the caller will submit are held from here on: the trail comes after them.
    :raises StateChanged: a draft is none any more.
    :raises DefinitionNotAsTold: what a draft is made of was changed past the trail.
    """
    for model in (Entity, DataSource):
        _store_catalog(model, [c for c in _of(CatalogChange, changes) if type(c.row) is model])
    _store_drafts(list(_of(DraftChange, changes)), at)
    _store_services(list(_of(ServiceChange, changes)))
    locks.hold(FeatureViewVersion.objects.filter(pk__in=[each.pk for each in submitting]))
    # Last, since everybody who records anything waits for the trail.
    audit.append([_entry(each, actor, at) for each in changes])
    require_parts_as_told([each.row for each in _of(DraftChange, changes)])


def _of(kind: type[T], changes: list[Change]) -> Iterable[T]:
    return (each for each in changes if isinstance(each, kind))


def _entry(change: Change, actor: User, at: datetime) -> AuditEntry:
    verb, subject, before, after = change.said
    return audit.make_entry(
        actor=actor, verb=verb, subject=subject, before=before, after=after, at=at
    )


def _store_catalog(model: Any, changes: list[CatalogChange]) -> None:
    model.objects.bulk_create([each.row for each in changes if each.row.pk is None])
    for each in changes:
        if each.before is not None:
            each.row.save(update_fields=CATALOG_COLUMNS)
    editors = model.editors.through
    one = f"{model._meta.model_name}_id"
    editors.objects.bulk_create(
        [
            editors(**{one: each.row.pk, "user_id": user_id})
            for each in changes
            for user_id in sorted(each.editor_ids)
        ],
        ignore_conflicts=True,
    )


def _store_drafts(changes: list[DraftChange], at: datetime) -> None:
    new = [each.row for each in changes if each.row.pk is None]
    FeatureView.objects.bulk_create(
        [row.feature_view for row in new if row.feature_view.pk is None]
    )
    FeatureViewVersion.objects.bulk_create(new)
    edited = [each for each in changes if each.before is not None]
    for each in edited:
        each.row.move(expected=State.DRAFT, to=State.DRAFT, **each.content)
    Feature.objects.filter(version__in=[each.row.pk for each in edited]).delete()
    Feature.objects.bulk_create(
        feature for each in changes for feature in searchable_features(each.row)
    )
    VersionEditor.objects.bulk_create(
        [
            VersionEditor(version=each.row, user_id=user_id, first_at=at)
            for each in changes
            for user_id in sorted(each.editor_ids)
        ],
        ignore_conflicts=True,
    )


def searchable_features(version: FeatureViewVersion) -> Iterable[Feature]:
    """Return the rows to search by, which say what the spec says."""
    return (
        Feature(
            version=version,
            name=feature.name,
            type=feature.type,
            sensitivity=feature.sensitivity,
            description=feature.description,
            position=position,
        )
        for position, feature in enumerate(version.spec.features)
    )


def _store_services(changes: list[ServiceChange]) -> None:
    services = [each.row.feature_service for each in changes]
    FeatureService.objects.bulk_create([each for each in services if each.pk is None])
    FeatureServiceVersion.objects.bulk_create([each.row for each in changes])
    for each in changes:
        for position, member in enumerate(each.members):
            member.service_version, member.position = each.row, position
        service = each.row.feature_service
        FeatureService.objects.filter(pk=service.pk).update(current=each.row)
    FeatureServiceMember.objects.bulk_create(member for each in changes for member in each.members)
