"""From a feature view's definition to a draft: resolved against what is registered, and checked.

Not for the draft itself (``drafts``) or for its number (``operations.lifecycle.numbers``).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec

from registry.choices import Kind, State
from registry.looking import AsRegistered
from registry.mask_keys import identity_for, wants_key
from registry.newest import newest_of
from registry.operations.lifecycle.numbers import VersionTaken, VersionTooLow
from registry.operations.registration.drafts import decide_draft
from registry.reading.check_rules import unknown_columns
from registry.source_places import Places
from registry.spec.checks import canonical
from registry.spec.encodes import not_over
from registry.spec.lineage import origins_of, row_columns
from registry.spec.model import FeatureViewSpec, VersionSpec
from registry.spec.row_sql import check_expression
from registry.spec.sources import RootedSource
from registry.spec.transforms import transform_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from registry.models import DataSource, Entity, FeatureViewVersion, FileRoot, Project
    from registry.operations.registration.applied import Application, Applied
    from registry.operations.registration.standing import Standing
    from registry.reading.parsing import Definition
    from registry.reading.yaml_documents import Path
    from registry.source_places import Placed
    from registry.spec.model import EntitySpec
    from registry.spec.sources import Source

Found = tuple["Path", str]
#: What an entity or data source is called, and where it was changed.
Moved = dict[tuple[Kind, str], "Definition"]


class Parts(NamedTuple):
    """The registered objects a view is resolved against."""

    source: DataSource
    entities: list[Entity]
    standing: Standing

    @property
    def editor_ids(self) -> set[int]:
        """Everybody who ever wrote any of them."""
        editors = self.standing.editor_ids
        parts = (self.source, *self.entities)
        return {pk for part in parts for pk in editors.get((type(part), part.name), ())}

    def resolve(self, view: FeatureViewSpec) -> VersionSpec:
        entities = [entity.spec for entity in self.entities]
        mask_key = self.standing.mask_key if wants_key(view) else ""
        return resolved(view, self.standing.places.of(self.source.spec), entities, mask_key)


def decide_feature_view(application: Application, definition: Definition) -> Applied | None:
    """Decide on one view's draft; on problems add them to the application and return None."""
    view = cast("FeatureViewSpec", definition.spec)
    if missing := _missing_parts(application, view):
        _refuse(application, definition, missing)
        return None
    parts = _parts(application.standing, view)
    spec = parts.resolve(view)
    (report,) = application.look(specs=[spec], project=application.project)
    found = [*_clashes(spec), *report.problems]
    ahead = not_over(spec.features, application.at)
    found += [(("features", place, "encode", "fit", "to"), said) for place, said in ahead]
    spec = spec.taken(schema=report.schema, code=report.code)
    applied = None
    if based := base_problems(application.standing, spec):
        found += based
    else:
        # Also where problems were found, to find those of the number; nothing is stored then.
        try:
            applied = decide_draft(application, spec, editor_ids=parts.editor_ids)
            applied.warnings += [*report.warnings, *_columns_more(application.standing, spec)]
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


def dependent_views(application: Application, moved: Moved, *, already: set[str]) -> list[Applied]:
    """Make drafts of the views that embed what changed and were not sent themselves."""
    changes: list[Applied] = []
    standing = application.standing
    for name in sorted(standing.views.keys() - already) if moved else ():
        newest = newest_of(standing.usable(name))
        uses = sorted(_embedded(newest) & moved.keys()) if newest else []
        if newest is not None and uses:
            changes += _follow(application, newest, {each: moved[each] for each in uses})
    return changes


def _follow(application: Application, newest: FeatureViewVersion, moved: Moved) -> list[Applied]:
    """Make the draft of ``newest`` anew, or say why what changed does not fit it."""
    spec, editor_ids = _as_of_now(application.standing, newest)
    if clashes := _clashes(spec):
        message = f"feature view {spec.view.name} uses it: {clashes[0][1]}"
        application.problems += [each.problem(("name",), message) for each in moved.values()]
        return []
    applied = decide_draft(application, spec, editor_ids=editor_ids)
    applied.because_of = sorted(name for _, name in moved)
    applied.warnings.append(f"uses {', '.join(applied.because_of)}, which changed")
    return [applied]


def views_over_root(application: Application, root: FileRoot) -> list[Applied]:
    """Make drafts of the views whose files lie under a root that is in another place now."""
    changes: list[Applied] = []
    for name in sorted(application.standing.views):
        newest = newest_of(application.standing.usable(name))
        source = newest.spec.source if newest is not None else None
        if newest is not None and isinstance(source, RootedSource) and source.root == root.name:
            spec, editor_ids = _as_of_now(application.standing, newest)
            changes.append(decide_draft(application, spec, editor_ids=editor_ids))
            changes[-1].warnings.append(f"root {root.name} is in another place now")
    return changes


def _as_of_now(standing: Standing, newest: FeatureViewVersion) -> tuple[VersionSpec, set[int]]:
    """Return what ``newest`` says with today's source, root and entities, and who wrote those."""
    view = msgspec.structs.replace(newest.spec.view, version=None)
    if newest.state != State.DRAFT:
        view = msgspec.structs.replace(view, based_on=None)
    parts = _parts(standing, view)
    return parts.resolve(view), parts.editor_ids


def _embedded(version: FeatureViewVersion) -> set[tuple[Kind, str]]:
    view = version.spec.view
    return {(Kind.DATA_SOURCE, view.source), *((Kind.ENTITY, name) for name in view.entities)}


def _missing_parts(application: Application, view: FeatureViewSpec) -> list[Found]:
    entities, sources = application.standing.entities, application.standing.sources
    missing: list[Found] = [
        (("entities", index), f"there is no entity {name!r}.{application.hint(name, entities)}")
        for index, name in enumerate(view.entities)
        if name not in entities
    ]
    if view.source not in sources:
        hint = application.hint(view.source, sources)
        missing.append((("source",), f"there is no data source {view.source!r}.{hint}"))
    return missing


def _parts(standing: Standing, view: FeatureViewSpec) -> Parts:
    entities = [standing.entities[name] for name in view.entities]
    return Parts(standing.sources[view.source], entities, standing)


def resolve(
    view: FeatureViewSpec, source: Source, entities: Sequence[EntitySpec], *, project: Project
) -> VersionSpec:
    """Return the version a view means in ``project`` now; see ``resolved``."""
    return resolved(view, Places(project).of(source), entities, identity_for(view, project))


def resolved(
    view: FeatureViewSpec, placed: Placed, entities: Sequence[EntitySpec], mask_key: str
) -> VersionSpec:
    """Return the version a view means: its transform canonical, source and entities embedded."""
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
    )


def _clashes(spec: VersionSpec) -> list[Found]:
    """Find what of the view does not fit its source and entities, whatever the rows hold."""
    return [
        *_name_clashes(spec),
        *_beside_function(spec),
        *unknown_columns(spec),
        *_unmasked_beside(spec),
    ]


def _name_clashes(spec: VersionSpec) -> list[Found]:
    """Find columns that would be one: engines fold the case of column names."""
    keys = [key.name.lower() for key in spec.join_keys]
    clashes: list[Found] = [
        (
            ("features", index, "name"),
            f"{feature.name!r} is a join key already; features and keys need names of their own.",
        )
        for index, feature in enumerate(spec.features)
        if feature.name in keys
    ]
    if len(set(keys)) < len(keys):
        message = f"two of these entities share a join key ({', '.join(keys)})."
        clashes.append((("entities",), message))
    return clashes


def _beside_function(spec: VersionSpec) -> list[Found]:
    """Find columns of a Python function that are called as what stands beside them in a row."""
    if spec.view.python is None:
        return []
    beside = {column.lower() for column in row_columns(spec)}
    return [
        (
            ("features", index, "column" if feature.column else "name"),
            f"{feature.source_column!r} is a join key or a time of the source, which stand beside"
            " what the function gives; have it give a column of another name.",
        )
        for index, feature in enumerate(spec.features)
        if feature.source_column.lower() in beside
    ]


def _unmasked_beside(spec: VersionSpec) -> list[Found]:
    """Find masked features whose values stand beside them as they are: as keys or times."""
    beside = {column.lower() for column in row_columns(spec)} if spec.has_masks else set()
    origins = origins_of(spec) if spec.has_masks else {}
    found: list[Found] = []
    for index, feature in enumerate(spec.features):
        if feature.mask is None:
            continue
        columns = {column.lower() for column in origins[feature.name].columns}
        if not columns:
            message = f"{feature.name} is made of no column; a mask is of values of the source."
            found.append((("features", index, "mask"), message))
        elif columns <= beside:
            message = (
                f"{feature.name}: {', '.join(sorted(columns))} stands in every row as it is, as a"
                " join key or a time; a mask hides nothing of it. Leave the feature out, or mask"
                " the column in the source itself."
            )
            found.append((("features", index, "mask"), message))
    return found


def _columns_more(standing: Standing, spec: VersionSpec) -> list[str]:
    """Say which columns the source has beside those it had when the last version took it."""
    base = standing.base_of(spec)
    if base is None or base.spec.schema is None or spec.schema is None:
        return []
    more = sorted(spec.schema.types.keys() - base.spec.schema.types.keys())
    return (
        [f"{spec.view.source} has columns it had not at {base}: {', '.join(more)}"] if more else []
    )


def base_problems(standing: Standing, spec: VersionSpec) -> list[Found]:
    if spec.view.based_on is None or standing.base_of(spec) is not None:
        return []
    message = f"{spec.view.name} has no submitted version {spec.view.based_on!r} to base this on."
    return [(("based_on",), message)]
