"""Which on-demand views compute with a view's features: they break, and are to be asked, as
services are.

Not for computing them, nor for what a whole service reads (``queries``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from registry.choices import SERVED_STATES
from registry.models import FeatureViewVersion
from registry.spec.references import Reference, parse_reference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.models import Project


class Derived(NamedTuple):
    """One input of an on-demand view's version that may be asked for."""

    version: FeatureViewVersion
    reads: Reference

    @property
    def follows(self) -> bool:
        """Return whether it computes with whatever version is the default."""
        return self.reads.pin is None

    def __str__(self) -> str:
        return f"{self.version}: {self.reads}"


def derived_of(project: Project, view: str | None = None) -> Iterator[Derived]:
    """Yield what the project's on-demand views compute with, of one ``view`` or of all."""
    # What is served and has no table is computed at the request.
    versions = FeatureViewVersion.objects.filter(
        feature_view__project=project, state__in=SERVED_STATES, table=None
    )
    order = "feature_view__name", "major", "minor", "patch"
    for version in versions.select_related("feature_view").order_by(*order):
        inputs = version.spec.view.inputs
        for text in inputs.features if inputs else ():
            reads = parse_reference(text)
            if view in (None, reads.view):
                yield Derived(version, reads)
