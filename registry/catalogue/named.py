"""A feature by a reference, whether or not it answers: the catalogue shows drafts and retired ones.

Not for what reads get: ``queries`` resolves references for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.catalogue.snippets import Wanted
from registry.choices import State
from registry.models import FeatureView
from registry.newest import shown_version
from registry.queries import pinned_version
from registry.spec.references import BadReference, Reference, parse_reference
from registry.spec.row_sql import columns_of

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


def _brought(feature: Feature) -> dict[str, str]:
    """Return what a read of it brings, name → type: join keys, and values of the request."""
    spec, inputs = feature.version.spec, feature.version.spec.view.inputs
    keys = {key.name: str(key.value_type) for key in spec.join_keys}
    if inputs is None:
        return keys
    named = columns_of(spec_of(feature).sql or "")
    for reference in map(parse_reference, inputs.features):
        found = None
        if reference.feature in named:
            found = named_feature(feature.version.feature_view.project, str(reference))
        if found is not None:
            keys |= {key.name: str(key.value_type) for key in found.version.spec.join_keys}
    return keys | {name: kind for name, kind in inputs.request.items() if name in named}


def wanted_of(feature: Feature, base_url: str) -> Wanted:
    """Return what apps are asked of how the feature is read."""
    spec = feature.version.spec
    return Wanted(
        project=feature.version.feature_view.project.name,
        base_url=base_url,
        keys=_brought(feature),
        is_online=spec.view.online,
        reference=reference_of(feature),
    )
