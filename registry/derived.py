"""Which on-demand views compute with a view's features: they break, and are to be asked, as
services are.

Not for computing them, nor for what a whole service reads (``queries``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from registry.choices import SERVED_STATES, State
from registry.models import FeatureViewVersion
from registry.spec.references import Reference, parse_reference
from registry.spec.view_reads import MAY_READ

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from registry.models import Project


_ORDER = ("feature_view__name", "major", "minor", "patch")


class Derived(NamedTuple):
    """One feature that a version of another view is computed from, at the request or before."""

    version: FeatureViewVersion
    reads: Reference

    @property
    def follows(self) -> bool:
        """Return whether it computes with whatever version is the default."""
        return self.reads.pin is None

    def __str__(self) -> str:
        return f"{self.version}: {self.reads}"


def derived_of(
    project: Project, view: str | None = None, *, of: Iterable[str] | None = None
) -> Iterator[Derived]:
    """Yield what the project's on-demand views compute with, of one ``view`` or of all.

    ``of``: only what these on-demand views compute with.
    """
    # What is served and has no table is computed at the request.
    versions = FeatureViewVersion.objects.filter(
        feature_view__project=project, state__in=SERVED_STATES, table=None
    )
    if of is not None:
        versions = versions.filter(feature_view__name__in=of)
    for version in versions.select_related("feature_view").order_by(*_ORDER):
        inputs = version.spec.view.inputs
        for text in inputs.features if inputs else ():
            reads = parse_reference(text)
            if view in (None, reads.view):
                yield Derived(version, reads)


def stored_with(project: Project, view: str) -> Iterator[Derived]:
    """Yield what stored versions of other views are made of, of one ``view``: each is pinned."""
    for version in _reading(project, SERVED_STATES):
        for read in version.spec.reads:
            if read.view == view:
                yield from (Derived(version, read.reference(each)) for each in read.features)


def readers_of(version: FeatureViewVersion) -> list[FeatureViewVersion]:
    """Return the versions of other views that store what they make of this one's features.

    Those that are served, and those that may be soon.
    """
    name, number = version.feature_view.name, version.number
    states = (*SERVED_STATES, State.IN_REVIEW)
    return [
        other
        for other in _reading(version.feature_view.project, states)
        if any((read.view, read.version) == (name, number) for read in other.spec.reads)
    ]


def _reading(project: Project, states: Collection[State]) -> Iterable[FeatureViewVersion]:
    """Return the versions that read other views; the text of the others is not loaded."""
    versions = FeatureViewVersion.objects.filter(
        feature_view__project=project, state__in=states, spec_json__contains=MAY_READ
    )
    return versions.select_related("feature_view").defer("packet").order_by(*_ORDER)
