"""Which of what a run or comparison keeps is shown to whom: values only to those who may read them.

Two gates: the right to read offline, and for what is sensitive a grant (``registry.grants``). Not
for who may see a run at all (``registry.access``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry import access
from registry.choices import Right
from registry.grants import WITHHELD, Grants

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User

    from materialization.models import Certificate, MaterializationRun
    from registry.models import FeatureView, FeatureViewVersion

#: Of a profile's columns what is a value of the data and no count or mean.
VALUES = ("min", "max", "quantiles", "edges", "marks", "top")
#: What says as much where rows are few: of what is sensitive it takes a grant too.
FIGURES = ("mean", "std")
#: Of an example of a difference, which row it is.
WHOSE = ("key", "stored", "online", "source")


class Disclosure:
    """What one person is shown of runs; asks once a view, not once a run."""

    def __init__(self, user: User | AnonymousUser, *, at: datetime) -> None:
        self._user = user
        self._may: dict[int, bool] = {}
        self._grants = Grants(user, at=at)

    def may_read(self, feature_view: FeatureView) -> bool:
        """Return whether their role lets them read the view's values."""
        if feature_view.pk not in self._may:
            allowed = access.can(self._user, Right.READ_OFFLINE, feature_view)
            self._may[feature_view.pk] = allowed
        return self._may[feature_view.pk]

    def withheld(self, version: FeatureViewVersion) -> frozenset[str]:
        """Return the features whose values take a grant that they have not."""
        return self._grants.withheld(version)

    def shows(self, version: FeatureViewVersion, feature: str) -> bool:
        """Return whether values of one feature are shown."""
        return self.may_read(version.feature_view) and feature not in self.withheld(version)

    def shows_rows(self, version: FeatureViewVersion) -> bool:
        """Return whether whole rows are shown, with the values of every feature."""
        return self.may_read(version.feature_view) and not self.withheld(version)

    def example(self, run: MaterializationRun) -> str:
        """Return the value the run's error is about, of whichever feature; empty: not shown."""
        if not run.example or not self.may_read(run.version.feature_view):
            return ""
        return run.example if not self.withheld(run.version) else WITHHELD

    def checks(self, run: MaterializationRun) -> list[dict[str, Any]]:
        return [self._check(run.version, check) for check in run.checks]

    def _check(self, version: FeatureViewVersion, check: dict[str, Any]) -> dict[str, Any]:
        if not check.get("example"):
            return check
        if not self.may_read(version.feature_view):
            return _without(check, ("example",))
        withheld = self.withheld(version)
        # A check of the view as a whole has values of any feature.
        is_shown = check["feature"] not in withheld if check["feature"] else not withheld
        return check if is_shown else check | {"example": WITHHELD}

    def profile(self, run: MaterializationRun) -> dict[str, Any]:
        """Return a run's profile; what it holds for the run's own use stays with it."""
        profile = _without(run.profile, ("before",))
        if not profile:
            return {}
        columns = [self.column(run.version, each) for each in profile.get("columns", ())]
        return profile | {"columns": columns}

    def column(self, version: FeatureViewVersion, said: dict[str, Any]) -> dict[str, Any]:
        """Return what may be shown of one feature's profile."""
        if said["name"] in self.withheld(version):
            return _without(said, (*VALUES, *FIGURES)) | {"withheld": WITHHELD}
        return said if self.may_read(version.feature_view) else _without(said, VALUES)

    def examples(self, certificate: Certificate) -> list[dict[str, Any]]:
        """Return the examples of differences; whose they are to those who may read the values."""
        if not certificate.examples or self.shows_rows(certificate.version):
            return list(certificate.examples)
        return [_without(each, WHOSE) for each in certificate.examples]


def _without(said: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in said.items() if key not in keys}
