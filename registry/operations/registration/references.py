"""Finding what references in definitions name: drafts count, retired versions do not.

Not for what readers get: ``queries`` resolves references for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.errors import NotFound
from registry.newest import newest_of
from registry.spec.versions import FIRST, parse_version

if TYPE_CHECKING:
    from registry.models import FeatureView, FeatureViewVersion
    from registry.operations.registration.applied import Application
    from registry.spec.references import Reference


class ReferenceUnknown(NotFound):
    code = "reference_not_found"


class Catalogue:
    """What definitions may refer to: what is registered, and what the request made of it."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._standing = application.standing
        self._versions: dict[tuple[str, str | None], FeatureViewVersion | None] = {}

    def find(self, reference: Reference) -> tuple[FeatureViewVersion, list[str]]:
        """Return the version a reference is checked against, and the features it names there.

        :raises ReferenceUnknown: the view, the version or the feature; names the nearest.
        """
        feature_view = self._standing.views.get(reference.view)
        if feature_view is None:
            hint = self._application.hint(reference.view, self._standing.views)
            raise ReferenceUnknown(f"there is no feature view {reference.view!r}.{hint}")
        version = self._version(feature_view, reference)
        known = [feature.name for feature in version.spec.features]
        names = known if reference.feature == "*" else [reference.feature]
        if missing := [name for name in names if name not in known]:
            hint = self._application.hint(missing[0], known)
            raise ReferenceUnknown(f"{version} has no feature {missing[0]!r}.{hint}")
        return version, names

    def _version(self, feature_view: FeatureView, reference: Reference) -> FeatureViewVersion:
        named = reference.view, reference.pin
        if named not in self._versions:
            usable = self._standing.usable(feature_view.name)
            self._versions[named] = _version(feature_view, usable, reference)
        found = self._versions[named]
        if found is None:
            usable = self._standing.usable(feature_view.name)
            numbers = [version.number for version in usable if version.number]
            hint = self._application.hint(str(reference.pin), numbers)
            raise ReferenceUnknown(f"{feature_view} has no version {reference.pin!r} to use.{hint}")
        return found


def _version(
    feature_view: FeatureView, usable: list[FeatureViewVersion], reference: Reference
) -> FeatureViewVersion | None:
    """Return the version to check names against: the pinned, else the default, else the newest."""
    if reference.pin is None:
        return feature_view.default_version or newest_of(usable)
    if reference.major is not None:
        of_major = [each for each in usable if each.major == reference.major]
        return max(of_major, key=lambda each: each.version or FIRST, default=None)
    wanted = parse_version(reference.pin)
    asking = (v for v in usable if v.version is None and v.spec.view.version == reference.pin)
    return next((v for v in usable if v.version == wanted), None) or next(asking, None)
