"""Finding what references in definitions name: drafts count, retired versions do not.

Not for what readers get: ``queries`` resolves references for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.errors import NotFound, did_you_mean
from registry.choices import State
from registry.models import FeatureView
from registry.queries import NEWEST_FIRST, newest_of
from registry.reading.findings import MAX_HINTS
from registry.spec.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.models import FeatureViewVersion, Project
    from registry.spec.references import Reference


class ReferenceUnknown(NotFound):
    code = "reference_not_found"


class Catalogue:
    """What definitions may refer to: views read at once, versions when named."""

    def __init__(self, project: Project) -> None:
        self._views = {view.name: view for view in FeatureView.objects.filter(project=project)}
        self._versions: dict[tuple[str, str | None], FeatureViewVersion | None] = {}
        self._hints = 0

    def find(self, reference: Reference) -> tuple[FeatureViewVersion, list[str]]:
        """Return the version a reference is checked against, and the features it names there.

        :raises ReferenceUnknown: the view, the version or the feature; names the nearest.
        """
        feature_view = self._views.get(reference.view)
        if feature_view is None:
            hint = self._hint(reference.view, self._views)
            raise ReferenceUnknown(f"there is no feature view {reference.view!r}.{hint}")
        version = self._version(feature_view, reference)
        known = [feature.name for feature in version.spec.features]
        names = known if reference.feature == "*" else [reference.feature]
        if missing := [name for name in names if name not in known]:
            hint = self._hint(missing[0], known)
            raise ReferenceUnknown(f"{version} has no feature {missing[0]!r}.{hint}")
        return version, names

    def _version(self, feature_view: FeatureView, reference: Reference) -> FeatureViewVersion:
        named = reference.view, reference.pin
        if named not in self._versions:
            self._versions[named] = _version(feature_view, reference)
        found = self._versions[named]
        if found is None:
            numbers = _numbers(feature_view) if self._hints < MAX_HINTS else []
            hint = self._hint(str(reference.pin), numbers)
            raise ReferenceUnknown(f"{feature_view} has no version {reference.pin!r} to use.{hint}")
        return found

    def _hint(self, value: str, known: Iterable[str]) -> str:
        self._hints += 1
        return did_you_mean(value, known) if self._hints <= MAX_HINTS else ""


def _version(feature_view: FeatureView, reference: Reference) -> FeatureViewVersion | None:
    """Return the version to check names against: the pinned, else the default, else the newest."""
    versions = feature_view.versions.exclude(state=State.RETIRED)
    if reference.pin is None:
        return feature_view.default_version or newest_of(versions)
    if reference.major is not None:
        return versions.filter(major=reference.major).order_by(*NEWEST_FIRST).first()
    wanted = parse_version(reference.pin)
    asking = (v for v in versions.filter(major=None) if v.spec.view.version == reference.pin)
    return versions.filter(**wanted._asdict()).first() or next(asking, None)


def _numbers(feature_view: FeatureView) -> list[str]:
    usable = feature_view.versions.exclude(state=State.RETIRED)
    return [version.number for version in usable if version.number]
