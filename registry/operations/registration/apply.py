"""Registering definitions: plan what a set of them changes, and store it as drafts.

Not for what submitting or reviewing a draft does (``operations.lifecycle``). Everything a request
brings is stored in one transaction, or nothing is.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from django.db import transaction

from registry import access, audit, epoch
from registry.choices import Kind, Right
from registry.operations.lifecycle.reviews import submit_version
from registry.operations.registration.applied import Application, Applied
from registry.operations.registration.catalog_objects import store_data_source, store_entity
from registry.operations.registration.feature_services import store_feature_service
from registry.operations.registration.looking_ahead import look_ahead
from registry.operations.registration.on_demand import store_on_demand_view
from registry.operations.registration.view_drafts import dependent_views, store_feature_view
from registry.reading.parsing import InvalidDefinitions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.looking import Looking
    from registry.models import Project
    from registry.operations.registration.view_drafts import Moved
    from registry.reading.parsing import Definition

STORES: dict[Kind, Callable[[Application, Definition], Applied | None]] = {
    Kind.ENTITY: store_entity,
    Kind.DATA_SOURCE: store_data_source,
    Kind.FEATURE_VIEW: store_feature_view,
    Kind.ON_DEMAND_FEATURE_VIEW: store_on_demand_view,
    Kind.FEATURE_SERVICE: store_feature_service,
}
#: What versions carry a copy of: changing one makes drafts of the views that use it.
EMBEDDED = (Kind.ENTITY, Kind.DATA_SOURCE)


def apply_definitions(
    definitions: list[Definition],
    *,
    project: Project,
    actor: User,
    at: datetime,
    look: Looking,
    editor_ids: frozenset[int] = frozenset(),
    dry_run: bool = False,
    submit: bool = False,
    look_all: bool = False,
) -> list[Applied]:
    """Store ``definitions`` (or, with ``dry_run``, say what storing them would change).

    ``editor_ids`` count as editors beside the actor: whoever made the token they came with.
    ``look_all``: look at the sources also of views that are registered as they are sent.
    :raises ActionNotPermitted: the actor may not register definitions here.
    :raises InvalidDefinitions: listing every problem with its place; nothing is stored.
    """
    access.require(actor, Right.ADD_FEATUREVIEW, project)
    look = look_ahead(definitions, project=project, look=look, submit=submit, look_all=look_all)
    application = Application(project, actor, editor_ids | {actor.pk}, at, look)
    # One registration a project at a time: the epoch's lock keeps a plan true until it is stored.
    with audit.act(), _rolled_back() if dry_run else epoch.change(project.pk):
        access.require_still(actor, Right.ADD_FEATUREVIEW, project)
        changes = _apply(application, definitions)
        if application.problems:
            raise InvalidDefinitions(application.problems)
        if submit:
            _submit(application, changes)
    return changes


@contextmanager
def _rolled_back() -> Iterator[None]:
    """Run a transaction that leaves nothing behind."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def _apply(application: Application, definitions: list[Definition]) -> list[Applied]:
    changes: list[Applied] = []
    moved: Moved = {}
    for definition in definitions:
        applied = STORES[definition.kind](application, definition)
        if applied is None:
            continue
        changes.append(applied)
        if definition.kind in EMBEDDED and applied.change == "updated":
            moved[definition.kind, definition.spec.name] = definition
    named = {each.spec.name for each in definitions if each.kind is Kind.FEATURE_VIEW}
    return changes + dependent_views(application, moved, already=named)


def _submit(application: Application, changes: list[Applied]) -> None:
    for applied in changes:
        if applied.draft is None:
            continue
        version = submit_version(
            version=applied.draft,
            actor=application.actor,
            at=application.at,
            look=application.look,
            editor_ids=application.editor_ids,
        )
        applied.version, applied.state = version.number, version.state
