"""Deciding on feature services: references checked, ``*`` expanded, each change a new version."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec

from lib.errors import AssayError
from registry.choices import State
from registry.models import (
    FeatureService,
    FeatureServiceMember,
    FeatureServiceVersion,
)
from registry.operations.registration.applied import Applied
from registry.operations.registration.references import Catalogue
from registry.operations.registration.storing import ServiceChange
from registry.reading.rules import MAX_REFERENCES
from registry.spec.context import (
    FORMATS,
    BadTemplate,
    named,
    parse_template,
    places_of,
    takes,
)
from registry.spec.fingerprints import canonical_json, text_fingerprint
from registry.spec.model import FeatureServiceSpec
from registry.spec.references import Reference, parse_reference

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from registry.operations.registration.applied import Application
    from registry.reading.parsing import Definition, Problem


def decide_feature_service(application: Application, definition: Definition) -> Applied | None:
    """Decide on one service; on problems add them to the application and return None.

    A reference to a view that the request defines and cannot store is not a problem of its own.
    """
    spec = cast("FeatureServiceSpec", definition.spec)
    catalogue = Catalogue(application)
    members: dict[str, FeatureServiceMember] = {}
    problems: list[Problem] = []
    for index, text in enumerate(spec.features):
        try:
            reference = parse_reference(text)
            if reference.view in application.refused_views:
                continue
            named = {str(member): member for member in _members(catalogue, reference)}
        except AssayError as exc:
            problems.append(definition.problem(("features", index), exc.message))
            continue
        if twice := next((name for name in named if name in members), None):
            message = f"{text} names {twice} a second time; keep one."
            problems.append(definition.problem(("features", index), message))
        members |= named
    if len(members) > MAX_REFERENCES:
        message = f"{len(members)} features; a service has at most {MAX_REFERENCES}, split it."
        problems.append(definition.problem(("features",), message))
    if spec.context is not None and not problems and not _waits(application, spec):
        problems += _context_problems(definition, spec.context, catalogue, list(members))
    application.problems += problems
    if problems:
        return None
    expanded = msgspec.structs.replace(spec, features=tuple(members))
    return _decide(application, definition, expanded, list(members.values()))


def _waits(application: Application, spec: FeatureServiceSpec) -> bool:
    """Tell whether some of its views cannot be stored, so that not all members are known."""
    return any(parse_reference(each).view in application.refused_views for each in spec.features)


def _context_problems(
    definition: Definition, template: str, catalogue: Catalogue, members: Sequence[str]
) -> Iterator[Problem]:
    """Yield which places of the template name no member, or in a format that it cannot have."""
    references = [parse_reference(member) for member in members]
    for place in places_of(parse_template(template)):
        try:
            reference = references[named([place.name], references)[place.name]]
        except BadTemplate as exc:
            yield definition.problem(("context",), exc.message)
            continue
        version, _ = catalogue.find(reference)
        features = {each.name: each for each in version.spec.features}
        if not takes(features[reference.feature].value_type, place.format):
            kind = features[reference.feature].type
            message = (
                f"{{{place.name}:{place.format}}}: {reference} is a {kind}, which has no such"
                f" format. There are {FORMATS}."
            )
            yield definition.problem(("context",), message)


def _members(catalogue: Catalogue, reference: Reference) -> list[FeatureServiceMember]:
    """Return the members one reference stands for.

    :raises ReferenceUnknown: the view, the version or the feature; names the nearest.
    """
    version, names = catalogue.find(reference)
    # A draft has no number to hold on to yet; its pin alone says which it will be.
    pinned = reference.pin == version.number and version.state != State.DRAFT
    return [
        FeatureServiceMember(
            feature_view=version.feature_view,
            version=version if pinned else None,
            pin=reference.pin or "",
            feature=name,
        )
        for name in names
    ]


def _decide(
    application: Application,
    definition: Definition,
    spec: FeatureServiceSpec,
    members: list[FeatureServiceMember],
) -> Applied:
    content = canonical_json(spec)
    service = application.standing.services.get(spec.name)
    current = service.current if service else None
    if current is not None and current.spec_json == content:
        return Applied(
            definition.kind,
            spec.name,
            "unchanged",
            version=str(current.version),
            said=text_fingerprint(content),
        )
    version = FeatureServiceVersion(
        feature_service=service
        or FeatureService(project=application.project, name=spec.name, created_at=application.at),
        version=current.version + 1 if current else 1,
        spec_json=content,
        description=spec.description,
        owner=spec.owner,
        tags=spec.tags,
        created_by=application.actor,
        created_at=application.at,
    )
    before = current.spec_json if current else None
    application.changes.append(ServiceChange(version, before, members))
    change = "updated" if service else "created"
    return Applied(
        definition.kind,
        spec.name,
        change,
        version=str(version.version),
        said=text_fingerprint(content),
    )
