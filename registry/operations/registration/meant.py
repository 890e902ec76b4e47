"""Which version of another view a reference means: an approved one, else one that may be soon.

Not for whether that can be read row by row, nor for what is embedded of it (``reads``).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from lib.errors import did_you_mean
from registry.choices import SERVED_STATES, State
from registry.models import FeatureView, FeatureViewVersion
from registry.newest import newest_of
from registry.operations.lifecycle.numbers import (
    VersionTaken,
    VersionTooLow,
    assign_number,
    taken_numbers,
)
from registry.queries import base_version
from registry.spec.change import classify
from registry.spec.fingerprints import canonical_json
from registry.spec.versions import FIRST, parse_version

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from registry.models import Project
    from registry.operations.registration.standing import Standing
    from registry.spec.model import FeatureViewSpec
    from registry.spec.references import Reference
    from registry.spec.version_spec import VersionSpec
    from registry.spec.versions import Version

    #: The versions of a view of the project, the default first where there is one.
    VersionsOf = Callable[[str], Sequence[FeatureViewVersion]]


class Known(NamedTuple):
    """Where versions of other views are found, and which number a draft of one would have."""

    versions_of: VersionsOf
    number_of: Callable[[FeatureViewVersion], str]


def registered_in(standing: Standing) -> Known:
    """Return how versions are found among what a request is compared with."""

    def versions_of(name: str) -> Sequence[FeatureViewVersion]:
        view = standing.views.get(name)
        default = view.default_version_id if view is not None else None
        found = standing.versions.get(name, [])
        return sorted(found, key=lambda each: default is None or each.pk != default)

    def number_of(version: FeatureViewVersion) -> str:
        base = standing.base_of(version.spec)
        return _number_ahead(version, base, standing.taken_numbers(version))

    return Known(versions_of, number_of)


def stored_in(project: Project) -> Known:
    """Return how versions are found without that."""

    def versions_of(name: str) -> Sequence[FeatureViewVersion]:
        found = FeatureViewVersion.objects.filter(
            feature_view__project=project, feature_view__name=name
        )
        related = found.select_related("feature_view__project").defer("packet")
        return sorted(related, key=lambda each: each.pk != each.feature_view.default_version_id)

    def number_of(version: FeatureViewVersion) -> str:
        base = base_version(version.feature_view, version.spec)
        return _number_ahead(version, base, taken_numbers(by_others_than=version))

    return Known(versions_of, number_of)


def sent_in(project: Project, specs: Mapping[str, VersionSpec]) -> Known:
    """Return how they are found among what is stored and what is sent, before that is decided on.

    ``specs`` are what is sent, by the views' names: taken as drafts, in place of those that are
    there. The number of one is known where its view is new.
    """
    stored = stored_in(project)
    drafts = {
        name: FeatureViewVersion(
            feature_view=FeatureView(project=project, name=name), spec_json=canonical_json(spec)
        )
        for name, spec in specs.items()
    }

    def versions_of(name: str) -> Sequence[FeatureViewVersion]:
        there = stored.versions_of(name)
        if name not in drafts:
            return there
        return [*(each for each in there if each.state != State.DRAFT), drafts[name]]

    def number_of(version: FeatureViewVersion) -> str:
        name = version.feature_view.name
        if version is not drafts.get(name):
            return stored.number_of(version)
        asked = version.spec.view.version
        return asked or ("" if stored.versions_of(name) else str(FIRST))

    return Known(versions_of, number_of)


def _number_ahead(
    version: FeatureViewVersion, base: FeatureViewVersion | None, taken: set[Version]
) -> str:
    """Return the number that a version has, or would be submitted with; empty: with none."""
    if version.state != State.DRAFT:
        return version.number or ""
    change = classify(base.spec if base else None, version.spec)
    with suppress(VersionTaken, VersionTooLow):
        return str(assign_number(version, base, change, taken=taken))
    return ""


def version_meant(
    view: FeatureViewSpec, references: Sequence[Reference], known: Known
) -> FeatureViewVersion | str:
    """Return the version that a reference means now, or why there is none.

    Of those it may mean the first that has all that is read: the default, what is approved, what is
    under review, a draft.
    """
    reference = references[0]
    if reference.view == view.name:
        return f"{view.name} cannot read itself; name features of another view."
    there = known.versions_of(reference.view)
    if not there:
        return f"there is no feature view {reference.view!r} to read."
    found = [*_served_as(reference, there), *_open_as(reference, there, known)]
    if not found:
        return _why_none(reference, there)
    return next((each for each in found if _has_all(each, references)), found[0])


def is_served(references: Sequence[Reference], known: Known) -> bool:
    """Return whether an approved version has all that is read."""
    there = known.versions_of(references[0].view)
    return any(_has_all(each, references) for each in _served_as(references[0], there))


def _has_all(version: FeatureViewVersion, references: Sequence[Reference]) -> bool:
    names = {each.name for each in version.spec.features}
    return all(each.feature in names for each in references)


def _served_as(
    reference: Reference, there: Sequence[FeatureViewVersion]
) -> Sequence[FeatureViewVersion]:
    """Return the approved versions that a reference may mean, what it means first of all first."""
    served = [each for each in there if each.state in SERVED_STATES]
    highest = sorted(served, key=_number, reverse=True)
    if reference.pin is None:
        return sorted(highest, key=lambda each: not _is_default(each))
    if reference.major is not None:
        return [each for each in highest if each.major == reference.major]
    wanted = parse_version(reference.pin)
    return [each for each in highest if each.version == wanted]


def _open_as(
    reference: Reference, there: Sequence[FeatureViewVersion], known: Known
) -> Sequence[FeatureViewVersion]:
    """Return the versions that a reference may mean once they are approved, the nearest first."""

    def is_meant(version: FeatureViewVersion) -> bool:
        if reference.pin is None:
            return True
        number = known.number_of(version)
        if reference.major is not None:
            return bool(number) and parse_version(number).major == reference.major
        return number == str(parse_version(reference.pin))

    drafts = [each for each in there if each.state == State.DRAFT]
    reviewed = [each for each in there if each.state == State.IN_REVIEW]
    newest = [each for each in [newest_of(drafts)] if each is not None]
    return [
        each for each in [*sorted(reviewed, key=_number, reverse=True), *newest] if is_meant(each)
    ]


def _is_default(version: FeatureViewVersion) -> bool:
    return version.feature_view.default_version_id == version.pk


def _number(version: FeatureViewVersion) -> tuple[int, int, int]:
    return version.version or FIRST


def _why_none(reference: Reference, there: Sequence[FeatureViewVersion]) -> str:
    pinned = [each for each in there if reference.pin in (None, each.number)]
    if any(each.state == State.RETIRED for each in pinned):
        return f"{pinned[0]} is retired; name a version that is approved."
    numbers = [each.number for each in there if each.state in SERVED_STATES and each.number]
    hint = did_you_mean(str(reference.pin), numbers)
    return f"{reference.view} has no approved version {reference.pin!r}.{hint}"
