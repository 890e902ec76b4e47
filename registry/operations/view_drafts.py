"""From a feature view's definition to a draft: resolved, checked, compared, stored.

A draft embeds its source and entities. Not for numbers: ``reviews.submit_version`` assigns them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec

from registry import access, audit
from registry.change import classify
from registry.choices import ChangeClass, Kind, State
from registry.errors import did_you_mean
from registry.models import (
    DataSource,
    Entity,
    Feature,
    FeatureView,
    FeatureViewVersion,
    VersionEditor,
)
from registry.operations.applied import Applied
from registry.queries import latest_submitted, newest_version
from registry.row_sql import check_row_sql
from registry.spec import (
    FeatureViewSpec,
    VersionSpec,
    canonical_json,
    content_fingerprint,
    data_fingerprint,
    metadata_fingerprint,
)
from registry.versions import FIRST, Version, parse_version

if TYPE_CHECKING:
    from registry.change import Change
    from registry.operations.applied import Application
    from registry.parsing import Definition
    from registry.yaml_documents import Path


class Parts(NamedTuple):
    """The registered objects a view is resolved against."""

    source: DataSource
    entities: list[Entity]

    @property
    def editor_ids(self) -> set[int]:
        return {part.updated_by_id for part in (self.source, *self.entities)}


def store_feature_view(application: Application, definition: Definition) -> Applied | None:
    """Store one view's draft; on problems add them to the application and return None."""
    view = cast("FeatureViewSpec", definition.spec)
    parts = _parts(application, definition, view)
    if parts is None:
        return None
    spec = _resolve(view, parts)
    found = [*_name_clashes(spec), *_version_problems(application, spec)]
    report = application.probe(spec=spec, project=application.project) if not found else None
    found += report.problems if report else []
    if found:
        application.problems += [definition.problem(path, message) for path, message in found]
        return None
    applied = store_draft(application, spec, parts)
    applied.warnings += report.warnings if report else []
    return applied


def dependent_views(
    application: Application, moved: set[str], *, already: set[str]
) -> list[Applied]:
    """Make drafts of the views that embed a changed source or entity and were not sent themselves."""
    changes: list[Applied] = []
    if not moved:
        return changes
    for feature_view in FeatureView.objects.filter(project=application.project).exclude(
        name__in=already
    ):
        newest = newest_version(feature_view)
        if newest is None or not moved & {newest.spec.source.name, *newest.spec.view.entities}:
            continue
        view = newest.spec.view
        entities = [
            Entity.objects.get(project=application.project, name=name) for name in view.entities
        ]
        parts = Parts(
            DataSource.objects.get(project=application.project, name=view.source), entities
        )
        applied = store_draft(
            application, _resolve(msgspec.structs.replace(view, version=None), parts), parts
        )
        applied.warnings.append(f"uses {', '.join(sorted(moved))}, which changed")
        changes.append(applied)
    return changes


def store_draft(application: Application, spec: VersionSpec, parts: Parts) -> Applied:
    """Create a draft or edit the open one, unless nothing differs from what stands."""
    feature_view, created = FeatureView.objects.get_or_create(
        project=application.project, name=spec.view.name, defaults={"created_at": application.at}
    )
    if not created:
        access.require(application.actor, "change_featureview", feature_view)
    base = base_version(feature_view, spec)
    change = classify(base.spec if base else None, spec)
    same = _same_content(feature_view, spec)
    if change.classification is None or same is not None:
        standing = same or cast("FeatureViewVersion", base)
        draft = standing if standing.state == State.DRAFT else None
        return Applied(
            Kind.FEATURE_VIEW,
            spec.view.name,
            "unchanged",
            version=standing.number,
            state=standing.state,
            draft=draft,
        )
    draft, was = _write_draft(application, feature_view, spec, base, change)
    VersionEditor.note(draft, application.editor_ids | parts.editor_ids, at=application.at)
    audit.record(
        actor=application.actor,
        verb=f"feature_view_version.{'edited' if was else 'drafted'}",
        subject=draft,
        before=was,
        after=draft.spec_json,
        at=application.at,
    )
    return Applied(
        Kind.FEATURE_VIEW,
        spec.view.name,
        "created" if created else "updated",
        classification=change.classification,
        version=str(needed_version(base, change, spec)),
        state=draft.state,
        reasons=list(change.reasons),
        draft=draft,
    )


def base_version(feature_view: FeatureView, spec: VersionSpec) -> FeatureViewVersion | None:
    """Return the version this one is based on: the one it names, else the highest submitted."""
    if spec.view.based_on is None:
        return latest_submitted(feature_view)
    wanted = parse_version(spec.view.based_on)
    return (
        feature_view.versions.exclude(state=State.DRAFT)
        .filter(major=wanted.major, minor=wanted.minor, patch=wanted.patch)
        .first()
    )


def needed_version(base: FeatureViewVersion | None, change: Change, spec: VersionSpec) -> Version:
    """Return the number a version asks for, else the least its change allows."""
    if spec.view.version is not None:
        return parse_version(spec.view.version)
    if base is None or base.version is None:
        return FIRST
    return base.version.after(change.classification or ChangeClass.PATCH)


def _parts(application: Application, definition: Definition, view: FeatureViewSpec) -> Parts | None:
    sources = {
        source.name: source for source in DataSource.objects.filter(project=application.project)
    }
    entities = {
        entity.name: entity for entity in Entity.objects.filter(project=application.project)
    }
    missing: list[tuple[Path, str]] = [
        (("entities", index), f"there is no entity {name!r}.{did_you_mean(name, entities)}")
        for index, name in enumerate(view.entities)
        if name not in entities
    ]
    if view.source not in sources:
        missing.append(
            (
                ("source",),
                f"there is no data source {view.source!r}.{did_you_mean(view.source, sources)}",
            )
        )
    application.problems += [definition.problem(path, message) for path, message in missing]
    return (
        None if missing else Parts(sources[view.source], [entities[name] for name in view.entities])
    )


def _resolve(view: FeatureViewSpec, parts: Parts) -> VersionSpec:
    if view.sql is not None:
        view = msgspec.structs.replace(view, sql=check_row_sql(view.sql, source=view.source))
    return VersionSpec(
        view=view,
        source=parts.source.spec,
        entities=tuple(entity.spec for entity in parts.entities),
    )


def _name_clashes(spec: VersionSpec) -> list[tuple[Path, str]]:
    keys = [key.name for key in spec.join_keys]
    clashes: list[tuple[Path, str]] = [
        (
            ("features", index, "name"),
            f"{feature.name!r} is a join key already; features and keys need names of their own.",
        )
        for index, feature in enumerate(spec.features)
        if feature.name in keys
    ]
    if len(set(keys)) < len(keys):
        clashes.append(
            (("entities",), f"two of these entities share a join key ({', '.join(keys)}).")
        )
    return clashes


def _version_problems(application: Application, spec: VersionSpec) -> list[tuple[Path, str]]:
    """Check the number the author asks for: high enough for the change, and not another's."""
    feature_view = FeatureView.objects.filter(
        project=application.project, name=spec.view.name
    ).first()
    if feature_view is None:
        return (
            [(("based_on",), "there is no earlier version to base on.")]
            if spec.view.based_on
            else []
        )
    base = base_version(feature_view, spec)
    if spec.view.based_on and base is None:
        return [(("based_on",), f"{feature_view} has no submitted version {spec.view.based_on!r}.")]
    change = classify(base.spec if base else None, spec)
    if (
        spec.view.version is None
        or change.classification is None
        or base is None
        or base.version is None
    ):
        return []
    wanted, least = parse_version(spec.view.version), base.version.after(change.classification)
    if wanted < least and _same_content(feature_view, spec) is None:
        why = "; ".join(change.reasons)
        return [
            (
                ("version",),
                f"{wanted} is too low for a {change.classification} change of {base} ({why}); use {least} or leave it out.",
            )
        ]
    return []


def _same_content(feature_view: FeatureView, spec: VersionSpec) -> FeatureViewVersion | None:
    """Return the open draft or submission that already says exactly this, in this number."""
    wanted = content_fingerprint(spec)
    for version in feature_view.versions.filter(state__in=(State.DRAFT, State.IN_REVIEW)):
        if (
            content_fingerprint(version.spec) == wanted
            and version.spec.view.version == spec.view.version
        ):
            return version
    return None


def _write_draft(
    application: Application,
    feature_view: FeatureView,
    spec: VersionSpec,
    base: FeatureViewVersion | None,
    change: Change,
) -> tuple[FeatureViewVersion, str | None]:
    """Return the draft and what it said before (None when it is new)."""
    draft = feature_view.versions.filter(state=State.DRAFT).order_by("-id").first()
    before = draft.spec_json if draft else None
    if draft is None:
        draft = FeatureViewVersion(
            feature_view=feature_view, created_by=application.actor, created_at=application.at
        )
    draft.__dict__.pop("spec", None)
    draft.spec_json = canonical_json(spec)
    draft.data_fingerprint = data_fingerprint(spec)
    draft.metadata_fingerprint = metadata_fingerprint(spec)
    draft.based_on = base
    draft.change_class = change.classification or ""
    draft.save()
    write_features(draft)
    return draft, before


def write_features(version: FeatureViewVersion) -> None:
    """Make the searchable feature rows say what the spec says."""
    version.features.all().delete()
    Feature.objects.bulk_create(
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
