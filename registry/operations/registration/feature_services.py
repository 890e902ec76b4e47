"""Storing feature services: references checked, ``*`` expanded, each change a new version."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec

from lib.errors import AssayError, NotFound, did_you_mean
from registry import audit
from registry.choices import State
from registry.models import (
    FeatureService,
    FeatureServiceMember,
    FeatureServiceVersion,
    FeatureView,
    FeatureViewVersion,
)
from registry.operations.registration.applied import Applied
from registry.queries import NEWEST_FIRST, newest_of
from registry.reading.findings import MAX_HINTS
from registry.reading.rules import MAX_REFERENCES
from registry.spec.fingerprints import canonical_json
from registry.spec.model import FeatureServiceSpec
from registry.spec.references import Reference, parse_reference
from registry.spec.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable

    from registry.models import Project
    from registry.operations.registration.applied import Application
    from registry.reading.parsing import Definition, Problem


class ReferenceUnknown(NotFound):
    code = "reference_not_found"


def store_feature_service(application: Application, definition: Definition) -> Applied | None:
    """Store one service; on problems add them to the application and return None.

    A reference to a view that the request defines and cannot store is not a problem of its own.
    """
    spec = cast("FeatureServiceSpec", definition.spec)
    catalogue = _Catalogue(application.project)
    members: dict[str, FeatureServiceMember] = {}
    problems: list[Problem] = []
    for index, text in enumerate(spec.features):
        try:
            reference = parse_reference(text)
            if reference.view in application.refused_views:
                continue
            named = {str(member): member for member in catalogue.members(reference)}
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
    application.problems += problems
    if problems:
        return None
    expanded = msgspec.structs.replace(spec, features=tuple(members))
    return _store(application, definition, expanded, list(members.values()))


class _Catalogue:
    """What a service may refer to: views read at once, versions when named, hints for the first."""

    def __init__(self, project: Project) -> None:
        self._views = {view.name: view for view in FeatureView.objects.filter(project=project)}
        self._versions: dict[tuple[str, str | None], FeatureViewVersion | None] = {}
        self._hints = 0

    def members(self, reference: Reference) -> list[FeatureServiceMember]:
        """Return the members one reference stands for.

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
        # A draft has no number to hold on to yet; its pin alone says which it will be.
        pinned = reference.pin == version.number and version.state != State.DRAFT
        return [
            FeatureServiceMember(
                feature_view=feature_view,
                version=version if pinned else None,
                pin=reference.pin or "",
                feature=name,
            )
            for name in names
        ]

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


def _store(
    application: Application,
    definition: Definition,
    spec: FeatureServiceSpec,
    members: list[FeatureServiceMember],
) -> Applied:
    content = canonical_json(spec)
    service, created = FeatureService.objects.get_or_create(
        project=application.project, name=spec.name, defaults={"created_at": application.at}
    )
    before = service.current
    if before is not None and before.spec_json == content:
        return Applied(definition.kind, spec.name, "unchanged", version=str(before.version))
    version = FeatureServiceVersion.objects.create(
        feature_service=service,
        version=before.version + 1 if before else 1,
        spec_json=content,
        description=spec.description,
        owner=spec.owner,
        tags=spec.tags,
        created_by=application.actor,
        created_at=application.at,
    )
    for position, member in enumerate(members):
        member.service_version, member.position = version, position
    FeatureServiceMember.objects.bulk_create(members)
    FeatureService.objects.filter(pk=service.pk).update(current=version)
    change = "created" if created else "updated"
    audit.record(
        actor=application.actor,
        verb=f"feature_service.{change}",
        subject=service,
        before=before.spec_json if before else None,
        after=content,
        at=application.at,
    )
    return Applied(definition.kind, spec.name, change, version=str(version.version))
