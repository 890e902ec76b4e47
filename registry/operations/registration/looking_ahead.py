"""Looking at the files of what is sent before anything is locked: disks are slow.

Not for reading files: ``registry.looking`` says who does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from registry.choices import Kind
from registry.looking import NothingSeen
from registry.models import DataSource, Entity
from registry.operations.registration.view_drafts import resolve
from registry.spec.fingerprints import canonical_json
from registry.spec.model import EntitySpec, FeatureViewSpec
from registry.spec.sources import Source, SourceSpec

if TYPE_CHECKING:
    from registry.looking import Look, Looking
    from registry.models import Project
    from registry.reading.parsing import Definition
    from registry.spec.model import VersionSpec


def bare_version(source: Source, project: Project) -> VersionSpec:
    """Return a version of nothing but a source: a look at it sees the files and the times."""
    view = FeatureViewSpec(name=source.name, entities=(), source=source.name, features=())
    return resolve(view, source, (), project=project)


def look_ahead(definitions: list[Definition], *, project: Project, look: Looking) -> Looking:
    """Look at each view's source as the view would read it now; the look returned remembers.

    A view that names what is not there is left out: storing it says so. A source that no view of
    the request reads is looked at by itself.
    """
    seen: dict[str, Look] = {}

    def remembering(*, spec: VersionSpec, project: Project) -> Look:
        key = canonical_json(spec)
        if key not in seen:
            seen[key] = look(spec=spec, project=project)
        return seen[key]

    known = _Known(definitions, project)
    read = set()
    for definition in definitions:
        if definition.kind is Kind.FEATURE_VIEW:
            spec = known.version_spec(cast("FeatureViewSpec", definition.spec))
            if spec is not None:
                remembering(spec=spec, project=project)
                read.add(spec.rows_from.name)
    for definition in definitions:
        if isinstance(definition.spec, SourceSpec):
            spec = bare_version(cast("Source", definition.spec), project)
            if spec.rows_from.name in read:
                seen[canonical_json(spec)] = NothingSeen()
            else:
                remembering(spec=spec, project=project)
    return remembering


class _Known:
    """Sources and entities by name: as they are sent, else as they are registered."""

    def __init__(self, definitions: list[Definition], project: Project) -> None:
        self._project = project
        registered = {"project": project}
        self._sources = {each.name: each.spec for each in DataSource.objects.filter(**registered)}
        self._entities = {each.name: each.spec for each in Entity.objects.filter(**registered)}
        for definition in definitions:
            if isinstance(definition.spec, SourceSpec):
                self._sources[definition.spec.name] = cast("Source", definition.spec)
            elif isinstance(definition.spec, EntitySpec):
                self._entities[definition.spec.name] = definition.spec

    def version_spec(self, view: FeatureViewSpec) -> VersionSpec | None:
        source = self._sources.get(view.source)
        entities = [self._entities[name] for name in view.entities if name in self._entities]
        if source is None or len(entities) < len(view.entities):
            return None
        return resolve(view, source, entities, project=self._project)
