"""What is registered: versions that answer, references resolved, who uses what.

Not for rights (``access``) and not for changes (``operations``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import F

from registry.choices import SERVED_STATES, SUBMITTED_STATES, State
from registry.errors import Gone, NotFound, Unavailable, did_you_mean
from registry.models import (
    FeatureService,
    FeatureServiceMember,
    FeatureTable,
    FeatureView,
    FeatureViewVersion,
    Project,
)
from registry.references import Reference, parse_reference
from registry.versions import parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import QuerySet


class ReferenceNotFound(NotFound):
    code = "reference_not_found"


class FeatureServiceNotFound(NotFound):
    code = "feature_service_not_found"


class VersionNotReady(Unavailable):
    code = "not_ready"


class VersionRetired(Gone):
    code = "version_retired"


def latest_submitted(feature_view: FeatureView) -> FeatureViewVersion | None:
    """Return the highest submitted version that is not retired: what a change is based on."""
    versions = feature_view.versions.filter(state__in=SUBMITTED_STATES).exclude(state=State.RETIRED)
    return (
        versions.select_related("feature_view__project")
        .order_by("-major", "-minor", "-patch")
        .first()
    )


def newest_version(feature_view: FeatureView) -> FeatureViewVersion | None:
    """Return the version an author would look at: the newest draft, else the highest submitted."""
    draft = feature_view.versions.filter(state=State.DRAFT).order_by("-id").first()
    return draft or latest_submitted(feature_view)


def served_version(*, project: Project, view: str, pin: str | None) -> FeatureViewVersion:
    """Return the version a reference reads: the default, an exact one, or the newest of a major.

    :raises ReferenceNotFound: no such view or version; names the nearest.
    :raises VersionNotReady: it exists and is not approved, backfilled and loaded yet.
    :raises VersionRetired: it was ended on purpose.
    """
    feature_view = _feature_view(project, view)
    version = feature_view.default_version if pin is None else _pinned(feature_view, pin)
    if version is None:
        raise VersionNotReady(
            f"{view} has no default version yet: none is approved and materialized. See its versions and runs.",
            feature_view=view,
        )
    if version.state == State.RETIRED:
        raise VersionRetired(
            f"{version} was retired; pin another version of {view}.", version=str(version)
        )
    if not version.is_ready:
        raise VersionNotReady(
            f"{version} is {version.state} and not materialized yet.", version=str(version)
        )
    return version


def _feature_view(project: Project, name: str) -> FeatureView:
    views = FeatureView.objects.select_related(
        "project", "default_version__table", "default_version__feature_view"
    )
    found = views.filter(project=project, name=name).first()
    if found is None:
        known = FeatureView.objects.filter(project=project).values_list("name", flat=True)
        raise ReferenceNotFound(
            f"project {project} has no feature view {name!r}.{did_you_mean(name, known)}", name=name
        )
    return found


def _pinned(feature_view: FeatureView, pin: str) -> FeatureViewVersion:
    versions = feature_view.versions.select_related("table", "feature_view").filter(
        state__in=SUBMITTED_STATES
    )
    major = Reference(feature_view.name, pin, "").major
    if major is None:
        wanted = parse_version(pin)
        found = versions.filter(major=wanted.major, minor=wanted.minor, patch=wanted.patch).first()
    else:
        of_major = versions.filter(major=major).order_by("-minor", "-patch")
        ready = of_major.filter(state__in=SERVED_STATES, table__ready_at__isnull=False).first()
        found = ready or of_major.first()
    if found is None:
        known = [str(version.number) for version in versions]
        raise ReferenceNotFound(
            f"{feature_view} has no version {pin!r}.{did_you_mean(pin, known)}",
            name=str(feature_view),
        )
    return found


def expand_references(*, project: Project, references: Sequence[str]) -> tuple[Reference, ...]:
    """Parse references and expand ``view:*`` to the features of the version it reads now."""
    expanded: list[Reference] = []
    for reference in map(parse_reference, references):
        if reference.feature == "*":
            version = served_version(project=project, view=reference.view, pin=reference.pin)
            expanded += [
                reference._replace(feature=feature.name) for feature in version.spec.features
            ]
        else:
            expanded.append(reference)
    return tuple(expanded)


def service_references(*, project: Project, name: str) -> tuple[Reference, ...]:
    """Return the references of a feature service's current version, in order."""
    service = (
        FeatureService.objects.filter(project=project, name=name).select_related("current").first()
    )
    if service is None or service.current is None:
        known = FeatureService.objects.filter(project=project).values_list("name", flat=True)
        raise FeatureServiceNotFound(
            f"project {project} has no feature service {name!r}.{did_you_mean(name, known)}"
        )
    members = service.current.members.select_related("feature_view")
    return tuple(
        Reference(member.feature_view.name, member.pin or None, member.feature)
        for member in members
    )


def consumers_of(version: FeatureViewVersion) -> list[str]:
    """Return the feature services whose current version reads ``version``: pinned to it or by default."""
    members = FeatureServiceMember.objects.filter(
        feature_view=version.feature_view,
        service_version__feature_service__current=F("service_version"),
    )
    is_default = version.feature_view.default_version_id == version.pk
    names = {
        f"feature service {member.service_version.feature_service.name}"
        for member in members.select_related("service_version__feature_service")
        if member.version_id == version.pk or (is_default and not member.pin)
    }
    return sorted(names)


def services_using(feature_view: FeatureView) -> list[str]:
    """Return the references of every current feature service to this view, as ``service: view@pin:feature``."""
    members = FeatureServiceMember.objects.filter(
        feature_view=feature_view, service_version__feature_service__current=F("service_version")
    ).select_related("service_version__feature_service", "feature_view")
    return sorted(f"{member.service_version.feature_service.name}: {member}" for member in members)


def served_versions() -> QuerySet[FeatureViewVersion]:
    """Return the versions whose data is to be kept fresh: approved and deprecated ones."""
    versions = FeatureViewVersion.objects.filter(state__in=SERVED_STATES)
    return versions.select_related("feature_view__project", "table")


def abandoned_tables() -> list[FeatureTable]:
    """Return ready tables every version of which is retired: nobody can read them any more."""
    tables = FeatureTable.objects.filter(ready_at__isnull=False, versions__state=State.RETIRED)
    return list(tables.exclude(versions__state__in=set(State) - {State.RETIRED}).distinct())


def waiting_for_review(projects: Iterable[Project]) -> QuerySet[FeatureViewVersion]:
    versions = FeatureViewVersion.objects.filter(
        state=State.IN_REVIEW, feature_view__project__in=projects
    )
    return versions.select_related("feature_view__project", "submitted_by").order_by("submitted_at")
