"""A feature by a reference, whether or not it answers: the catalogue shows drafts and retired ones.

Not for what reads get: ``queries`` resolves references for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from registry.catalogue.snippets import Wanted
from registry.choices import State
from registry.models import FeatureView
from registry.newest import shown_version
from registry.queries import pinned_version
from registry.spec.references import BadReference, Reference, parse_reference
from registry.spec.row_sql import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.models import Feature, FeatureViewVersion, Project
    from registry.spec.model import FeatureSpec
    from registry.spec.version_spec import VersionSpec


def named_feature(project: Project, name: str) -> Feature | None:
    """Return what a reference reads; of a view without a default, as its newest version has it."""
    try:
        reference = parse_reference(name)
    except BadReference:
        return None
    version = _version_of(project, reference)
    if version is None:
        return None
    found = version.features.filter(name=reference.feature).first()
    if found is not None:
        found.version = version
    return found


def _version_of(project: Project, reference: Reference) -> FeatureViewVersion | None:
    views = FeatureView.objects.select_related("project", "default_version")
    view = views.filter(project=project, name=reference.view).first()
    if view is None:
        return None
    version = pinned_version(view, reference.pin) if reference.pin else shown_version(view)
    if version is not None:
        version.feature_view = view
    return version


def spec_of(feature: Feature) -> FeatureSpec:
    """Return what its version's definition says of it."""
    return next(each for each in feature.version.spec.features if each.name == feature.name)


def reference_of(feature: Feature) -> str:
    """Return how the feature of this very version is read."""
    version = feature.version
    is_default = version.feature_view.default_version_id == version.pk
    pin = None if is_default or version.state == State.DRAFT else version.number
    return str(Reference(version.feature_view.name, pin, feature.name))


class Brought(NamedTuple):
    """What a read brings, name → type: join keys, and values of the request."""

    keys: dict[str, str]
    request: dict[str, str]


def brought_by(project: Project, reads: Iterable[tuple[FeatureViewVersion, str]]) -> Brought:
    """Return what a read of some versions' features brings; each version that they are computed
    from is looked up once.
    """
    specs: list[VersionSpec] = []
    request: dict[str, str] = {}
    inputs: dict[tuple[str, str | None], Reference] = {}
    for version, name in reads:
        specs.append(version.spec)
        given = version.spec.view.inputs
        feature = next((each for each in version.spec.features if each.name == name), None)
        if given is None or feature is None:
            continue
        named = columns_of(feature.sql or "")
        request |= {name: kind for name, kind in given.request.items() if name in named}
        read = (each for each in map(parse_reference, given.features) if each.feature in named)
        inputs |= {(each.view, each.pin): each for each in read}
    found = (_version_of(project, each) for each in inputs.values())
    specs += [version.spec for version in found if version is not None]
    keys = {key.name: str(key.value_type) for spec in specs for key in spec.join_keys}
    return Brought(keys, request)


def wanted_of(feature: Feature, base_url: str) -> Wanted:
    """Return what apps are asked of how the feature is read."""
    project = feature.version.feature_view.project
    brought = brought_by(project, [(feature.version, feature.name)])
    return Wanted(
        project=project.name,
        base_url=base_url,
        keys=brought.keys,
        request=brought.request,
        is_online=feature.version.spec.view.online,
        reference=reference_of(feature),
    )
