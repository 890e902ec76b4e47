"""Storing entities and data sources: created, updated or left as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from registry import audit
from registry.models import DataSource, Entity
from registry.operations.registration.applied import Applied
from registry.operations.registration.looking_ahead import bare_version
from registry.spec.fingerprints import canonical_json

if TYPE_CHECKING:
    from registry.operations.registration.applied import Application
    from registry.reading.parsing import Definition
    from registry.spec.sources import Source


def store_entity(application: Application, definition: Definition) -> Applied:
    return _store(Entity, application, definition, verb="entity")


def store_data_source(application: Application, definition: Definition) -> Applied:
    """Store a data source; what is wrong with its files is a problem of its own lines."""
    application.sources[definition.spec.name] = definition
    bare = bare_version(cast("Source", definition.spec), application.project)
    (report,) = application.look(specs=[bare], project=application.project)
    for path, message in report.problems:
        application.refuse(definition.problem(path[1:], message))
    applied = _store(DataSource, application, definition, verb="data_source")
    applied.warnings += report.warnings
    return applied


def _store(
    model: type[Entity] | type[DataSource],
    application: Application,
    definition: Definition,
    *,
    verb: str,
) -> Applied:
    spec = definition.spec
    content = canonical_json(spec)
    found = model.objects.filter(project=application.project, name=spec.name).first()
    before = found.spec_json if found else None
    if before == content:
        return Applied(definition.kind, spec.name, "unchanged")
    columns = {
        "description": spec.description,
        "owner": spec.owner,
        "tags": spec.tags,
        "spec_json": content,
        "updated_at": application.at,
        "updated_by": application.actor,
    }
    stored, created = model.objects.update_or_create(
        project=application.project,
        name=spec.name,
        defaults=columns,
        create_defaults=columns | {"created_at": application.at},
    )
    stored.editors.add(*application.editor_ids)
    change = "created" if created else "updated"
    audit.record(
        actor=application.actor,
        verb=f"{verb}.{change}",
        subject=stored,
        before=before,
        after=content,
        at=application.at,
    )
    return Applied(definition.kind, spec.name, change)
