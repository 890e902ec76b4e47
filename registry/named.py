"""A feature by a reference, whether or not it answers: the catalogue shows drafts and retired ones.

Not for what reads get: ``queries`` resolves references for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.choices import State
from registry.models import FeatureView
from registry.newest import shown_version
from registry.queries import pinned_version
from registry.snippets import Wanted
from registry.spec.references import BadReference, Reference, parse_reference

if TYPE_CHECKING:
    from registry.models import Feature, Project
    from registry.spec.model import FeatureSpec


def named_feature(project: Project, name: str) -> Feature | None:
    """Return what a reference reads; of a view without a default, as its newest version has it."""
    try:
        reference = parse_reference(name)
    except BadReference:
        return None
    views = FeatureView.objects.select_related("project", "default_version")
    view = views.filter(project=project, name=reference.view).first()
    if view is None:
        return None
    version = pinned_version(view, reference.pin) if reference.pin else shown_version(view)
    if version is None:
        return None
    version.feature_view = view
    found = version.features.filter(name=reference.feature).first()
    if found is not None:
        found.version = version
    return found


def spec_of(feature: Feature) -> FeatureSpec:
    """Return what its version's definition says of it."""
    return next(each for each in feature.version.spec.features if each.name == feature.name)


def reference_of(feature: Feature) -> str:
    """Return how the feature of this very version is read."""
    version = feature.version
    is_default = version.feature_view.default_version_id == version.pk
    pin = None if is_default or version.state == State.DRAFT else version.number
    return str(Reference(version.feature_view.name, pin, feature.name))


def wanted_of(feature: Feature, base_url: str) -> Wanted:
    """Return what apps are asked of how the feature is read."""
    spec = feature.version.spec
    return Wanted(
        project=feature.version.feature_view.project.name,
        base_url=base_url,
        keys={key.name: str(key.value_type) for key in spec.join_keys},
        is_online=spec.view.online,
        is_stored=spec.transform.is_stored,
        reference=reference_of(feature),
    )
