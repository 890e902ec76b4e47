"""Deciding on entities and data sources: created, updated or left as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from registry.models import DataSource, Entity
from registry.operations.registration.applied import Applied
from registry.operations.registration.looking_ahead import bare_version
from registry.operations.registration.storing import CatalogChange
from registry.spec.fingerprints import canonical_json, text_fingerprint

if TYPE_CHECKING:
    from registry.operations.registration.applied import Application
    from registry.reading.parsing import Definition
    from registry.spec.sources.kinds import Source


def decide_entity(application: Application, definition: Definition) -> Applied:
    return _decide(Entity, application.standing.entities, application, definition)


def decide_data_source(application: Application, definition: Definition) -> Applied:
    """Decide on a data source; what is wrong with its files is a problem of its own lines."""
    application.sources[definition.spec.name] = definition
    bare = bare_version(cast("Source", definition.spec), application.project)
    (report,) = application.look(specs=[bare], project=application.project)
    shown = report.examples if report.examples and application.shows(bare) else {}
    for path, message in report.problems:
        example = shown.get(message, "")
        application.refuse(definition.problem(path[1:], message, example))
    applied = _decide(DataSource, application.standing.sources, application, definition)
    applied.warnings += report.warnings
    return applied


def _decide(
    model: type[Entity] | type[DataSource],
    rows: dict[str, Any],
    application: Application,
    definition: Definition,
) -> Applied:
    """Compare a definition with the row of its name, and let that say it from now on."""
    spec = definition.spec
    content = canonical_json(spec)
    row = rows.get(spec.name)
    before = row.spec_json if row else None
    if before == content:
        return Applied(definition.kind, spec.name, "unchanged", said=text_fingerprint(content))
    project, at = application.project, application.at
    created_at = row.created_at if row else at
    # Another instance: what one of them made of its spec is kept with it.
    rows[spec.name] = model(
        pk=row.pk if row else None,
        project=project,
        name=spec.name,
        description=spec.description,
        owner=spec.owner,
        tags=spec.tags,
        spec_json=content,
        created_at=created_at,
        updated_at=at,
        updated_by=application.actor,
    )
    application.standing.editor_ids[model, spec.name] |= application.editor_ids
    application.changes.append(CatalogChange(rows[spec.name], before, set(application.editor_ids)))
    change = "updated" if row else "created"
    return Applied(definition.kind, spec.name, change, said=text_fingerprint(content))
