"""Deciding on the draft of a feature view: created, edited in place, or left as it is.

Not for resolving or checking a definition: ``view_drafts`` does both before. Not for writing:
``storing``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from registry import access
from registry.breakage import broken_by
from registry.choices import Kind, Right, State
from registry.elsewhere import told_elsewhere
from registry.glass import in_words
from registry.models import FeatureView, FeatureViewVersion
from registry.operations.lifecycle.numbers import assign_number
from registry.operations.registration.applied import Applied
from registry.operations.registration.storing import DraftChange
from registry.remembered import held_to
from registry.spec.change import classify
from registry.spec.fingerprints import (
    canonical_json,
    content_fingerprint,
    data_fingerprint,
    metadata_fingerprint,
    view_fingerprint,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.operations.registration.applied import Application
    from registry.operations.registration.standing import Standing
    from registry.spec.change import Change
    from registry.spec.version_spec import VersionSpec


def decide_draft(application: Application, spec: VersionSpec, *, editor_ids: set[int]) -> Applied:
    """Let a draft be created or the open one edited, unless nothing differs from what stands.

    :raises ActionNotPermitted: the actor may not change this view.
    :raises VersionTaken, VersionTooLow: the number it asks for cannot be had.
    """
    standing = application.standing
    feature_view, created = _view(application, spec.view.name)
    if not created and not application.may_change_all:
        access.require(application.actor, Right.CHANGE_FEATUREVIEW, feature_view)
    versions = standing.versions[feature_view.name]
    base = standing.base_of(spec)
    change = classify(base.spec if base else None, spec)
    same = _open_version_saying(versions, spec)
    if change.classification is None or same is not None:
        stands = same or cast("FeatureViewVersion", base)
        return _unchanged(stands, versions, standing, said=view_fingerprint(spec))
    change = held_to(change, standing.memory.lowered(spec))
    change = told_elsewhere(change, application.project, base.spec if base else None, spec)
    draft = _decide(application, feature_view, spec, base, change, editor_ids)
    number = assign_number(draft, base, change, taken=standing.taken_numbers(draft))
    return Applied(
        _kind(spec),
        spec.view.name,
        "created" if created else "updated",
        classification=change.classification,
        version=str(number),
        state=draft.state,
        reasons=list(change.reasons),
        warnings=[*_marked(base, standing), *_broken_services(draft, standing)],
        draft=draft,
        said=view_fingerprint(spec),
    )


def _view(application: Application, name: str) -> tuple[FeatureView, bool]:
    """Return the view of that name, and whether this registration makes it."""
    standing = application.standing
    if (found := standing.views.get(name)) is not None:
        return found, False
    made = FeatureView(project=standing.project, name=name, created_at=application.at)
    standing.views[name], standing.versions[name] = made, []
    return made, True


def _kind(spec: VersionSpec) -> Kind:
    return Kind.FEATURE_VIEW if spec.transform.is_stored else Kind.ON_DEMAND_FEATURE_VIEW


def _broken_services(version: FeatureViewVersion, standing: Standing) -> list[str]:
    broken = broken_by(version, standing.followers.get(version.feature_view_id, ()))
    return [f"as the default it breaks {each}" for each in broken]


def _marked(base: FeatureViewVersion | None, standing: Standing) -> list[str]:
    """Say that what is based on a marked version is not approved before the mark is gone."""
    glass = standing.marks.get(base.pk) if base else None
    words = f"{base}, which it is based on, {in_words(glass)}" if glass else ""
    return [f"{words}: it is not approved before that is"] if words else []


def _unchanged(
    version: FeatureViewVersion,
    versions: list[FeatureViewVersion],
    standing: Standing,
    *,
    said: str,
) -> Applied:
    applied = Applied(
        _kind(version.spec),
        version.feature_view.name,
        "unchanged",
        version=version.number,
        state=version.state,
        said=said,
    )
    if version.pk in standing.marks:
        applied.warnings.append(f"{version} {in_words(standing.marks[version.pk])}")
    if version.feature_view.default_version_id != version.pk:
        applied.warnings += _broken_services(version, standing)
    if version.state == State.DRAFT:
        applied.draft = version
    elif any(each.state == State.DRAFT for each in versions):
        applied.warnings.append("its open draft says something else and is left as it is")
    return applied


def _open_version_saying(
    versions: Iterable[FeatureViewVersion], spec: VersionSpec
) -> FeatureViewVersion | None:
    """Return the open draft or submission that already says exactly this, in this number."""
    wanted = content_fingerprint(spec), spec.view.version
    for version in versions:
        if version.state not in (State.DRAFT, State.IN_REVIEW):
            continue
        said = msgspec.structs.replace(version.spec, fittings={})
        if wanted == (content_fingerprint(said), version.spec.view.version):
            return version
    return None


def _decide(
    application: Application,
    feature_view: FeatureView,
    spec: VersionSpec,
    base: FeatureViewVersion | None,
    change: Change,
    editor_ids: set[int],
) -> FeatureViewVersion:
    """Return the draft as it will be: the open one, else a new one."""
    content: dict[str, Any] = {
        "spec_json": canonical_json(spec),
        "data_fingerprint": data_fingerprint(spec),
        "metadata_fingerprint": metadata_fingerprint(spec),
        "based_on": base,
        "change_class": change.classification,
        # The evidence of an earlier submission is about what it said then.
        "packet": {},
        "packet_hash": "",
    }
    versions = application.standing.versions[feature_view.name]
    drafts = [each for each in versions if each.state == State.DRAFT]
    draft = max(drafts, key=lambda each: each.pk, default=None)
    before = draft.spec_json if draft else None
    if draft is None:
        draft = FeatureViewVersion(
            feature_view=feature_view, created_by=application.actor, created_at=application.at
        )
        versions.append(draft)
    for column, value in content.items():
        setattr(draft, column, value)
    editors = application.editor_ids | editor_ids
    application.changes.append(DraftChange(draft, before, set(editors), content))
    return draft
