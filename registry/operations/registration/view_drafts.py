"""From a feature view's definition to a draft: resolved against what is registered, and checked.

Not for the draft itself (``drafts``) or for its number (``operations.lifecycle.numbers``).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec

from registry.looking import AsRegistered
from registry.mask_keys import identity_for, wants_key
from registry.newest import newest_of
from registry.operations.lifecycle.numbers import VersionTaken, VersionTooLow
from registry.operations.registration.clashes import clashes
from registry.operations.registration.drafts import decide_draft
from registry.operations.registration.meant import registered_in, stored_in
from registry.operations.registration.reads import find_reads
from registry.refused_ahead import refused_ahead
from registry.source_places import Places
from registry.spec.checks import canonical
from registry.spec.encodes import not_over
from registry.spec.joins import JoinedSource
from registry.spec.model import FeatureViewSpec
from registry.spec.references import parse_reference
from registry.spec.row_sql import check_expression
from registry.spec.transforms import transform_of
from registry.spec.version_spec import VersionSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from registry.models import DataSource, Entity, Project
    from registry.operations.registration.applied import Application, Applied
    from registry.operations.registration.meant import Known
    from registry.operations.registration.standing import Standing
    from registry.reading.parsing import Definition
    from registry.reading.yaml_documents import Path
    from registry.source_places import Placed
    from registry.spec.model import EntitySpec
    from registry.spec.sources.kinds import Source
    from registry.spec.view_reads import ReadVersion

Found = tuple["Path", str]


class Parts(NamedTuple):
    """The registered objects a view is resolved against."""

    source: DataSource
    joined: list[DataSource]
    entities: list[Entity]
    standing: Standing
    reads: tuple[ReadVersion, ...] = ()

    @property
    def editor_ids(self) -> set[int]:
        """Everybody who ever wrote any of them."""
        editors = self.standing.editor_ids
        parts = (self.source, *self.joined, *self.entities)
        return {pk for part in parts for pk in editors.get((type(part), part.name), ())}

    def resolve(self, view: FeatureViewSpec) -> VersionSpec:
        entities = [entity.spec for entity in self.entities]
        mask_key = self.standing.mask_key if wants_key(view) else ""
        sources = (self.source, *self.joined)
        own, *joined = (self.standing.places.of(each.spec) for each in sources)
        return resolved(view, own, entities, mask_key, joined, reads=self.reads)


def decide_feature_view(application: Application, definition: Definition) -> Applied | None:
    """Decide on one view's draft; on problems add them to the application and return None."""
    view = cast("FeatureViewSpec", definition.spec)
    if view.name in application.refused_views:
        return None
    reads = find_reads(view, application.project, registered_in(application.standing))
    missing = [*_missing_parts(application, view), *_at_fault(application, view, reads.problems)]
    if missing or reads.problems:
        _refuse(application, definition, missing)
        return None
    view = reads.view
    parts = parts_of(application.standing, view, reads.versions)
    spec = parts.resolve(view)
    (report,) = application.look(specs=[spec], project=application.project)
    found = [*clashes(spec), *report.problems]
    ahead = not_over(spec.features, application.at)
    found += [(("features", place, "encode", "fit", "to"), said) for place, said in ahead]
    spec = spec.taken(schema=report.schema, code=report.code, joined=report.joined)
    applied = None
    if based := base_problems(application.standing, spec):
        found += based
    else:
        # Also where problems were found, to find those of the number; nothing is stored then.
        try:
            applied = decide_draft(application, spec, editor_ids=parts.editor_ids)
            applied.warnings += [
                *reads.warnings,
                *report.warnings,
                *_columns_more(application.standing, spec),
                *_ahead(application.standing, spec),
            ]
            applied.waits_for = reads.waits_for
            applied.looked_at = not isinstance(report, AsRegistered)
            if not applied.looked_at and applied.change != "unchanged":
                message = "somebody changed it at the same time; send the definitions again."
                found.append((("name",), message))
        except (VersionTaken, VersionTooLow) as exc:
            found.append((("version",), exc.message))
    if found:
        shown = report.examples if report.examples and application.shows(spec) else {}
        _refuse(application, definition, found, shown)
    return applied


def _at_fault(
    application: Application, view: FeatureViewSpec, problems: list[Found]
) -> list[Found]:
    """Leave out what is wrong with reading a view that is refused itself."""
    refused = application.refused_views
    names = [parse_reference(read.features[0]).view for read in view.views]
    return [each for each in problems if names[int(each[0][1])] not in refused]


def _refuse(
    application: Application,
    definition: Definition,
    found: list[Found],
    examples: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Note problems of a view where they stand; those of its source with the source, if sent."""
    view = cast("FeatureViewSpec", definition.spec)
    application.refused_views.add(view.name)
    sent = application.sources.get(view.source)
    for path, message in found:
        example = examples.get(message, "")
        if path[0] != "source" or len(path) == 1:
            application.refuse(definition.problem(path, message, example))
        elif sent is not None:
            application.refuse(sent.problem(path[1:], message, example))
        else:
            what = f"data source {view.source!r}, {path[1]}: {message}"
            application.refuse(definition.problem(("source",), what, example))


def _name_problems(standing: Standing, view: FeatureViewSpec) -> Iterator[Found]:
    """A name means one kind of view for ever: readers of one would get the other."""
    newest = newest_of(standing.versions.get(view.name, ()))
    if newest is not None and not newest.spec.transform.is_stored:
        yield ("name",), f"{view.name!r} is computed at the request; take another name."


def _missing_parts(application: Application, view: FeatureViewSpec) -> list[Found]:
    entities, sources = application.standing.entities, application.standing.sources
    missing = [*_name_problems(application.standing, view)]
    missing += [
        (("entities", index), f"there is no entity {name!r}.{application.hint(name, entities)}")
        for index, name in enumerate(view.entities)
        if name not in entities
    ]
    if view.source not in sources:
        hint = application.hint(view.source, sources)
        missing.append((("source",), f"there is no data source {view.source!r}.{hint}"))
    for index, join in enumerate(view.sources):
        if join.name not in sources:
            message = (
                f"there is no data source {join.name!r}.{application.hint(join.name, sources)}"
            )
            missing.append((("sources", index, "name"), message))
    return missing


def parts_of(standing: Standing, view: FeatureViewSpec, reads: tuple[ReadVersion, ...]) -> Parts:
    entities = [standing.entities[name] for name in view.entities]
    joined = [standing.sources[join.name] for join in view.sources]
    return Parts(standing.sources[view.source], joined, entities, standing, reads)


def resolve(
    view: FeatureViewSpec,
    source: Source,
    entities: Sequence[EntitySpec],
    *,
    project: Project,
    joined: Sequence[Source] = (),
    known: Known | None = None,
) -> VersionSpec:
    """Return the version a view means in ``project`` now; see ``resolved``.

    Without what it reads of other views where that cannot be read: whoever decides says so. What
    that is, is looked up in ``known``; in what is stored, where that is not given.
    """
    reads = find_reads(view, project, known or stored_in(project))
    own, *others = map(Places(project).of, (source, *joined))
    mask_key = identity_for(view, project)
    return resolved(reads.view, own, entities, mask_key, others, reads=reads.versions)


def resolved(
    view: FeatureViewSpec,
    placed: Placed,
    entities: Sequence[EntitySpec],
    mask_key: str,
    joined: Sequence[Placed] = (),
    *,
    reads: tuple[ReadVersion, ...] = (),
) -> VersionSpec:
    """Return the version a view means: its transform canonical, all that it embeds embedded."""
    transform = transform_of(view).canonical(view.source)
    if transform.key is not None:
        view = msgspec.structs.replace(view, **{transform.key: getattr(transform, transform.key)})
    if view.where is not None:
        view = msgspec.structs.replace(view, where=check_expression(view.where))
    features = (
        each if each.sql is None else msgspec.structs.replace(each, sql=check_expression(each.sql))
        for each in view.features
    )
    view = msgspec.structs.replace(view, features=tuple(features))
    return VersionSpec(
        view=msgspec.structs.replace(view, checks=canonical(view.checks)),
        source=placed.source,
        entities=tuple(entities),
        root_identity=placed.identity,
        mask_key=mask_key,
        reads=reads,
        joined=tuple(JoinedSource(source=s, root_identity=identity) for s, identity in joined),
    )


def _columns_more(standing: Standing, spec: VersionSpec) -> list[str]:
    """Say which columns the source has beside those it had when the last version took it."""
    base = standing.base_of(spec)
    if base is None or base.spec.schema is None or spec.schema is None:
        return []
    had, now = ({s.source.name: s.schema for s in each.joined} for each in (base.spec, spec))
    had[spec.view.source], now[spec.view.source] = base.spec.schema, spec.schema
    said = []
    for name in sorted(had.keys() & now.keys()):
        before, after = had[name], now[name]
        more = sorted(after.types.keys() - before.types.keys()) if before and after else []
        said += [f"{name} has columns it had not at {base}: {', '.join(more)}"] if more else []
    return said


def _ahead(standing: Standing, spec: VersionSpec) -> list[str]:
    return refused_ahead(spec, (each for view in standing.versions.values() for each in view))


def base_problems(standing: Standing, spec: VersionSpec) -> list[Found]:
    if spec.view.based_on is None or standing.base_of(spec) is not None:
        return []
    message = f"{spec.view.name} has no submitted version {spec.view.based_on!r} to base this on."
    return [(("based_on",), message)]
