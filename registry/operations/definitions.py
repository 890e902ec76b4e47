"""Registering definitions: plan what a set of them changes, and store it as drafts.

Not for reviews. Everything a request brings is stored in one transaction, or nothing is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from registry import access, audit, epoch
from registry.choices import Kind
from registry.models import Project
from registry.operations.applied import Application, Applied
from registry.operations.catalog_objects import store_data_source, store_entity
from registry.operations.feature_services import store_feature_service
from registry.operations.reviews import submit_version
from registry.operations.view_drafts import dependent_views, store_feature_view
from registry.parsing import InvalidDefinitions

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.parsing import Definition
    from registry.probe import Probe


def apply_definitions(
    definitions: list[Definition],
    *,
    project: Project,
    actor: User,
    at: datetime,
    probe: Probe,
    editor_ids: frozenset[int] = frozenset(),
    dry_run: bool = False,
    submit: bool = False,
) -> list[Applied]:
    """Store ``definitions`` (or, with ``dry_run``, say what storing them would change).

    :raises ActionNotPermitted: the actor may not register definitions here.
    :raises InvalidDefinitions: listing every problem with its place; nothing is stored.
    """
    access.require(actor, "add_featureview", project)
    application = Application(project, actor, editor_ids | {actor.pk}, at, probe)
    with audit.act(), transaction.atomic():
        # One registration a project at a time: plans stay true until they are stored.
        Project.objects.select_for_update().get(pk=project.pk)
        with epoch.change(*([] if dry_run else [project.pk])):
            changes = _apply(application, definitions)
            if application.problems:
                raise InvalidDefinitions(application.problems)
            if submit:
                _submit(application, changes)
        if dry_run:
            transaction.set_rollback(True)
    return changes


def _apply(application: Application, definitions: list[Definition]) -> list[Applied]:
    stores = {
        Kind.ENTITY: store_entity,
        Kind.DATA_SOURCE: store_data_source,
        Kind.FEATURE_VIEW: store_feature_view,
        Kind.FEATURE_SERVICE: store_feature_service,
    }
    changes: list[Applied] = []
    moved: set[str] = set()
    named = {
        definition.spec.name for definition in definitions if definition.kind is Kind.FEATURE_VIEW
    }
    for definition in definitions:
        applied = stores[definition.kind](application, definition)
        if applied is None:
            continue
        changes.append(applied)
        if definition.kind in (Kind.ENTITY, Kind.DATA_SOURCE) and applied.change == "updated":
            moved.add(definition.spec.name)
    return changes + dependent_views(application, moved, already=named)


def _submit(application: Application, changes: list[Applied]) -> None:
    for applied in changes:
        if applied.draft is None:
            continue
        version = submit_version(
            version=applied.draft,
            actor=application.actor,
            at=application.at,
            probe=application.probe,
            editor_ids=application.editor_ids,
        )
        applied.version, applied.state = version.number, version.state
