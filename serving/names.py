"""What a request for features names: its references, and their names in the answer.

Not for whether they may be read now: each read's own plan says that.
"""

from __future__ import annotations

from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING

from lib.errors import SHOWN_LENGTH, Invalid, did_you_mean
from registry import queries
from registry.derived import derived_of
from registry.spec.references import parse_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from registry.models import FeatureViewVersion, Project
    from registry.spec.references import Reference
    from serving.limits import ReadLimits


class FeatureNameCollision(Invalid):
    code = "feature_name_collision"


def asked_references(
    *,
    project: Project,
    features: Sequence[str] | None,
    feature_service: str | None,
    limits: ReadLimits,
    stored_names: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Reference, ...]:
    """Return the references a request asks for, in its order, ``view:*`` written out.

    ``stored_names`` has names of the request's own for views; references keep them.

    :raises BadReference, ReferenceNotFound, FeatureServiceNotFound: there is no such thing.
    :raises FeatureNameCollision: one is there twice.
    :raises TooManyFeatures: as soon as there are too many.
    """
    if feature_service is not None:
        found = queries.service_references(project=project, name=feature_service)
        limits.check_features(len(found))
        return found
    asked = features or ()
    limits.check_features(len(asked))
    if twice := next((name for name, count in Counter(asked).items() if count > 1), None):
        shown = twice[:SHOWN_LENGTH]
        raise FeatureNameCollision(f"{shown!r} is asked for twice; name it once.", features=[shown])
    expanded: list[Reference] = []
    for reference in asked:
        expanded += _expanded(project, parse_reference(reference), stored_names)
        limits.check_features(len(expanded))
    return tuple(expanded)


def _expanded(
    project: Project, asked: Reference, stored_names: Mapping[str, str]
) -> list[Reference]:
    stored = asked._replace(view=stored_names.get(asked.view, asked.view))
    found = queries.expand_references(project=project, references=[str(stored)])
    return [each._replace(view=asked.view) for each in found]


def asked_views(
    *, project: Project, features: Sequence[str] | None, feature_service: str | None
) -> list[str]:
    """Return the names of the views whose facts decide what a request reads, sorted.

    Nothing of the views themselves is read for it: their epochs are to be read before that.
    :raises BadReference, FeatureServiceNotFound: as ``asked_references``.
    """
    if feature_service is not None:
        members = queries.service_members(project=project, name=feature_service)
        return sorted({member.feature_view.name for member in members})
    return sorted({parse_reference(reference).view for reference in features or ()})


def with_inputs(project: Project, views: Iterable[str]) -> list[str]:
    """Return views, and those that any version of theirs that is served is computed from."""
    read = {each.reads.view for each in derived_of(project, of=views)}
    return sorted({*views, *read})


def answer_names(references: Iterable[Reference], *, full: bool) -> dict[str, Reference]:
    """Return name in the answer → reference, in order; ``full``: ``view__feature``.

    :raises FeatureNameCollision: two would have one name; names both.
    """
    named: dict[str, Reference] = {}
    for reference in references:
        view = f"{reference.view}@{reference.pin}" if reference.pin else reference.view
        name = f"{view}__{reference.feature}" if full else reference.feature
        if name in named:
            raise _collision(named[name], reference, name)
        named[name] = reference
    return named


def check_feature(
    reference: Reference, version: FeatureViewVersion, features: Iterable[str]
) -> None:
    """Return if the reference's feature is one of ``features``, which the version has.

    :raises ReferenceNotFound: naming the nearest.
    """
    known = list(features)
    if reference.feature not in known:
        raise queries.ReferenceNotFound(
            f"{version} has no feature {reference.feature!r}."
            f"{did_you_mean(reference.feature, known)}",
            name=reference.feature,
            missing="feature",
        )


def _collision(first: Reference, second: Reference, name: str) -> FeatureNameCollision:
    features = [str(first), str(second)]
    if first == second:
        return FeatureNameCollision(f"{first} is asked for twice; name it once.", features=features)
    return FeatureNameCollision(
        f"{first} and {second} would both be called {name!r}."
        ' Ask for one of them, or send "full_feature_names": true.',
        features=features,
    )
