"""Which of what a run or comparison keeps is shown to whom: values only to those who may read them.

Not for who may see a run at all (``registry.access``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry import access
from registry.choices import Right

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser, User

    from materialization.models import Certificate, MaterializationRun
    from registry.models import FeatureView

#: Of a profile's columns what is a value of the data and no count or mean.
VALUES = ("min", "max", "quantiles", "edges", "marks", "top")
#: Of an example of a difference, which row it is.
WHOSE = ("key", "stored", "online", "source")


class Disclosure:
    """What one person is shown of runs; asks once a view, not once a run."""

    def __init__(self, user: User | AnonymousUser) -> None:
        self._user = user
        self._may: dict[int, bool] = {}

    def may_read(self, feature_view: FeatureView) -> bool:
        if feature_view.pk not in self._may:
            allowed = access.can(self._user, Right.READ_OFFLINE, feature_view)
            self._may[feature_view.pk] = allowed
        return self._may[feature_view.pk]

    def example(self, run: MaterializationRun) -> str:
        """Return the value the run's error is about; empty where it may not be read."""
        shown = run.example and self.may_read(run.version.feature_view)
        return run.example if shown else ""

    def checks(self, run: MaterializationRun) -> list[dict[str, Any]]:
        if not run.checks or self.may_read(run.version.feature_view):
            return list(run.checks)
        return [_without(check, ("example",)) for check in run.checks]

    def profile(self, run: MaterializationRun) -> dict[str, Any]:
        """Return a run's profile; what it holds for the run's own use stays with it."""
        profile = _without(run.profile, ("before",))
        if not profile:
            return {}
        may_read = self.may_read(run.version.feature_view)
        columns = [self.column(each, may_read=may_read) for each in profile.get("columns", ())]
        return profile | {"columns": columns}

    @staticmethod
    def column(said: dict[str, Any], *, may_read: bool) -> dict[str, Any]:
        """Return what may be shown of one feature's profile."""
        return said if may_read else _without(said, VALUES)

    def examples(self, certificate: Certificate) -> list[dict[str, Any]]:
        """Return the examples of differences; whose they are to those who may read the values."""
        if not certificate.examples or self.may_read(certificate.version.feature_view):
            return list(certificate.examples)
        return [_without(each, WHOSE) for each in certificate.examples]


def _without(said: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in said.items() if key not in keys}
