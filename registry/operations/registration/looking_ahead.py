"""Looking at the files of what is sent before anything is locked: disks are slow.

Not for reading files: ``registry.looking`` says who does.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, cast

from registry.choices import Kind, State
from registry.looking import AsRegistered, NothingSeen
from registry.models import DataSource, Entity, FeatureView
from registry.operations.registration.meant import sent_in
from registry.operations.registration.view_drafts import resolve
from registry.queries import base_version
from registry.spec.fingerprints import canonical_json, content_fingerprint
from registry.spec.model import EntitySpec, FeatureViewSpec
from registry.spec.sources.base import SourceSpec
from registry.spec.sources.kinds import Source
from registry.spec.version_spec import VersionSpec

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from registry.looking import Look, Looking
    from registry.models import Project
    from registry.operations.registration.meant import Known
    from registry.reading.parsing import Definition


def bare_version(source: Source, project: Project) -> VersionSpec:
    """Return a version of nothing but a source: a look at it sees the files and the times."""
    view = FeatureViewSpec(name=source.name, entities=(), source=source.name, features=())
    return resolve(view, source, (), project=project)


def look_ahead(
    definitions: list[Definition],
    *,
    project: Project,
    look: Looking,
    submit: bool = False,
    look_all: bool = False,
) -> Looking:
    """Look at each view's source as the view would read it now; the look returned remembers.

    What is registered as it is sent is left alone, and reported ``AsRegistered``: its runs say when
    the source is another. What calls an installed function is looked at: that may be another. With
    ``submit`` drafts are looked at all the same, for a submission tells what there is now; with
    ``look_all`` everything is. A view that names what is not there is left out: storing it says so.
    A source that no view of the request reads is looked at by itself.
    """
    known = _Known(definitions, project)
    seen: dict[str, Look] = {}
    wanted: dict[str, VersionSpec] = {}
    read: set[str] = set()
    for definition in definitions:
        if definition.kind is Kind.FEATURE_VIEW:
            spec = known.version_spec(cast("FeatureViewSpec", definition.spec))
            if spec is not None:
                read |= {source.name for source in spec.all_sources}
                kept = None if look_all else _as_registered(spec, project, submit=submit)
                _note(spec, kept, seen, wanted)
    for definition in definitions:
        if isinstance(definition.spec, SourceSpec):
            spec = bare_version(cast("Source", definition.spec), project)
            told = spec.rows_from.name in read or not (look_all or known.is_new(definition.spec))
            _note(spec, NothingSeen() if told else None, seen, wanted)

    def remembering(
        *, specs: Sequence[VersionSpec], project: Project, unseen: Collection[int] = ()
    ) -> Sequence[Look]:
        new = {canonical_json(spec): spec for spec in specs if canonical_json(spec) not in seen}
        if new:
            hidden = {canonical_json(specs[place]) for place in unseen}
            places = {place for place, text in enumerate(new) if text in hidden}
            reports = look(specs=list(new.values()), project=project, unseen=places)
            seen.update(zip(new, reports, strict=True))
        return [seen[canonical_json(spec)] for spec in specs]

    if wanted:
        remembering(specs=list(wanted.values()), project=project)
    return remembering


def _note(
    spec: VersionSpec, kept: Look | None, seen: dict[str, Look], wanted: dict[str, VersionSpec]
) -> None:
    if kept is None:
        wanted[canonical_json(spec)] = spec
    else:
        seen[canonical_json(spec)] = kept


def _as_registered(spec: VersionSpec, project: Project, *, submit: bool) -> AsRegistered | None:
    """Return the report of a version that says the same but for its schema; None: there is none."""
    view = FeatureView.objects.filter(project=project, name=spec.view.name).first()
    if view is None or spec.transform.is_installed:
        return None
    unfinished = view.versions.filter(state__in=(State.DRAFT, State.IN_REVIEW)).order_by("-id")
    base = base_version(view, spec)
    for version in (*unfinished, *([base] if base else [])):
        registered = version.spec
        if content_fingerprint(registered.untaken) == content_fingerprint(spec):
            looked = submit and version.state == State.DRAFT
            return None if looked else _kept(registered)
    return None


def _kept(registered: VersionSpec) -> AsRegistered:
    joined = tuple(side.schema for side in registered.joined if side.schema is not None)
    return AsRegistered(schema=registered.schema, code=registered.code, joined=joined)


class _Known:
    """Sources, entities and views by name: as they are sent, else as they are registered."""

    def __init__(self, definitions: list[Definition], project: Project) -> None:
        self._project = project
        registered = {"project": project}
        self._sources = {each.name: each.spec for each in DataSource.objects.filter(**registered)}
        self._registered = dict(self._sources)
        self._views: list[FeatureViewSpec] = []
        self._entities = {each.name: each.spec for each in Entity.objects.filter(**registered)}
        for definition in definitions:
            if isinstance(definition.spec, SourceSpec):
                self._sources[definition.spec.name] = cast("Source", definition.spec)
            elif isinstance(definition.spec, EntitySpec):
                self._entities[definition.spec.name] = definition.spec
            elif isinstance(definition.spec, FeatureViewSpec):
                self._views.append(definition.spec)

    def is_new(self, source: SourceSpec) -> bool:
        """Tell whether a source is not registered as it is sent."""
        return self._registered.get(source.name) != source

    @cached_property
    def _reads(self) -> Known:
        return sent_in(self._project, {each.name: self._bare(each) for each in self._views})

    def _bare(self, view: FeatureViewSpec) -> VersionSpec:
        """Return as much of a view as whoever reads it is checked against."""
        entities = (self._entities[name] for name in view.entities if name in self._entities)
        return VersionSpec(
            view=view, source=self._sources.get(view.source), entities=tuple(entities)
        )

    def version_spec(self, view: FeatureViewSpec) -> VersionSpec | None:
        source = self._sources.get(view.source)
        entities = [self._entities[name] for name in view.entities if name in self._entities]
        joined = [self._sources[each.name] for each in view.sources if each.name in self._sources]
        if source is None or len(entities) < len(view.entities) or len(joined) < len(view.sources):
            return None
        known = self._reads if view.views else None
        spec = resolve(view, source, entities, project=self._project, joined=joined, known=known)
        return spec if len(spec.reads) == len(view.views) else None
