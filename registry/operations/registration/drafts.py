"""Storing the draft of a feature view: created, edited in place, or left when nothing differs.

Not for resolving or checking a definition: ``view_drafts`` does both before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from registry import access, audit
from registry.breakage import services_broken_by
from registry.choices import Kind, Right, State
from registry.models import Feature, FeatureView, FeatureViewVersion, VersionEditor
from registry.operations.lifecycle.numbers import assign_number
from registry.operations.registration.applied import Applied
from registry.queries import base_version
from registry.spec.change import classify
from registry.spec.fingerprints import (
    canonical_json,
    content_fingerprint,
    data_fingerprint,
    metadata_fingerprint,
)

if TYPE_CHECKING:
    from registry.operations.registration.applied import Application
    from registry.spec.change import Change
    from registry.spec.model import VersionSpec


def store_draft(application: Application, spec: VersionSpec, *, editor_ids: set[int]) -> Applied:
    """Create a draft or edit the open one, unless nothing differs from what stands.

    :raises ActionNotPermitted: the actor may not change this view.
    :raises VersionTaken, VersionTooLow: the number it asks for cannot be had.
    """
    feature_view, created = FeatureView.objects.get_or_create(
        project=application.project, name=spec.view.name, defaults={"created_at": application.at}
    )
    if not created:
        access.require(application.actor, Right.CHANGE_FEATUREVIEW, feature_view)
    base = base_version(feature_view, spec)
    change = classify(base.spec if base else None, spec)
    same = _open_version_saying(feature_view, spec)
    if change.classification is None or same is not None:
        return _unchanged(feature_view, same or cast("FeatureViewVersion", base))
    draft, was = _write_draft(application, feature_view, spec, base, change)
    VersionEditor.note(draft, application.editor_ids | editor_ids, at=application.at)
    audit.record(
        actor=application.actor,
        verb=f"feature_view_version.{'edited' if was else 'drafted'}",
        subject=draft,
        before=was,
        after=draft.spec_json,
        at=application.at,
    )
    return Applied(
        _kind(spec),
        spec.view.name,
        "created" if created else "updated",
        classification=change.classification,
        version=str(assign_number(draft, base, change)),
        state=draft.state,
        reasons=list(change.reasons),
        warnings=[f"as the default it breaks {each}" for each in services_broken_by(draft)],
        draft=draft,
    )


def _kind(spec: VersionSpec) -> Kind:
    return Kind.FEATURE_VIEW if spec.transform.is_stored else Kind.ON_DEMAND_FEATURE_VIEW


def _unchanged(feature_view: FeatureView, standing: FeatureViewVersion) -> Applied:
    applied = Applied(
        _kind(standing.spec),
        feature_view.name,
        "unchanged",
        version=standing.number,
        state=standing.state,
    )
    if standing.state == State.DRAFT:
        applied.draft = standing
    elif feature_view.versions.filter(state=State.DRAFT).exists():
        applied.warnings.append("its open draft says something else and is left as it is")
    return applied


def _open_version_saying(feature_view: FeatureView, spec: VersionSpec) -> FeatureViewVersion | None:
    """Return the open draft or submission that already says exactly this, in this number."""
    wanted = content_fingerprint(spec), spec.view.version
    for version in feature_view.versions.filter(state__in=(State.DRAFT, State.IN_REVIEW)):
        if wanted == (content_fingerprint(version.spec), version.spec.view.version):
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
    drafts = feature_view.versions.select_for_update().filter(state=State.DRAFT)
    draft = drafts.order_by("-id").first()
    was = draft.spec_json if draft else None
    if draft is None:
        draft = FeatureViewVersion.objects.create(
            feature_view=feature_view,
            created_by=application.actor,
            created_at=application.at,
            **content,
        )
    else:
        draft.move(expected=State.DRAFT, to=State.DRAFT, **content)
    _write_features(draft)
    return draft, was


def _write_features(version: FeatureViewVersion) -> None:
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
