"""What is registered: versions that answer, references resolved, who uses and who owns what.

Not for rights (``access``), for who may approve (``approval``) or for changes (``operations``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import F, Q

from lib.batches import in_batches
from lib.errors import Conflict, Gone, NotFound, Unavailable, did_you_mean
from registry.breakage import service_problems
from registry.choices import SERVED_STATES, SUBMITTED_STATES, State
from registry.derived import derived_of, readers_of
from registry.glass import GLASS, is_unlooked, waits
from registry.models import (
    FeatureService,
    FeatureServiceMember,
    FeatureTable,
    FeatureView,
    FeatureViewVersion,
    Project,
)
from registry.newest import NEWEST_FIRST, numbers_of
from registry.spec.references import Reference, parse_major, parse_reference
from registry.spec.sources.kinds import MAY_ARRIVE
from registry.spec.versions import Version, parse_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models import OrderBy, QuerySet

    from registry.spec.version_spec import VersionSpec


class ReferenceNotFound(NotFound):
    code = "reference_not_found"


class FeatureServiceNotFound(NotFound):
    code = "feature_service_not_found"


class FeatureServiceBroken(Conflict):
    code = "feature_service_broken"


class VersionNotReady(Unavailable):
    code = "not_ready"


class VersionRetired(Gone):
    code = "version_retired"


def latest_submitted(feature_view: FeatureView) -> FeatureViewVersion | None:
    """Return the highest submitted version that is not retired: what a change is based on."""
    return _submitted(feature_view).exclude(state=State.RETIRED).order_by(*NEWEST_FIRST).first()


def _submitted(feature_view: FeatureView) -> QuerySet[FeatureViewVersion]:
    versions = feature_view.versions.filter(state__in=SUBMITTED_STATES)
    return versions.select_related("table", "feature_view__project", "glass")


def base_version(feature_view: FeatureView, spec: VersionSpec) -> FeatureViewVersion | None:
    """Return the version this one is based on: the one it names, else the highest submitted."""
    if spec.view.based_on is None:
        return latest_submitted(feature_view)
    wanted = parse_version(spec.view.based_on)
    submitted = _submitted(feature_view).exclude(state=State.RETIRED)
    return submitted.filter(**wanted._asdict()).first()


def relatives(
    feature_view: FeatureView, base: FeatureViewVersion | None, number: Version | None
) -> list[FeatureViewVersion]:
    """Return the versions whose readers a version of this number would get.

    Its base; the default; and the highest one served below it, which ``view@vN`` means now.
    Comparing with the base alone would let somebody base a change on what came before a protection.
    """
    served = feature_view.versions.filter(state__in=SERVED_STATES)
    below = served.filter(_is_below(number)) if number else served.none()
    followed = below.order_by(*NEWEST_FIRST).first()
    known = {each.pk: each for each in (base, feature_view.default_version, followed) if each}
    return list(known.values())


def _is_below(number: Version) -> Q:
    major, minor, patch = number
    return (
        Q(major__lt=major)
        | Q(major=major, minor__lt=minor)
        | Q(major=major, minor=minor, patch__lt=patch)
    )


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
            f"{view} has no default version: none is approved and materialized, or the last one was"
            " retired, or its broken glass not confirmed. See its versions and runs.",
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
    views = FeatureView.objects.select_related("default_version__table", "default_version__glass")
    found = views.filter(project=project, name=name).first()
    if found is None:
        known = FeatureView.objects.filter(project=project).values_list("name", flat=True)
        raise ReferenceNotFound(
            f"project {project} has no feature view {name!r}.{did_you_mean(name, known)}",
            name=name,
            missing="feature_view",
        )
    found.project = project
    if found.default_version is not None:
        found.default_version.feature_view = found
    return found


def _pinned(feature_view: FeatureView, pin: str) -> FeatureViewVersion:
    versions = _submitted(feature_view)
    major = parse_major(pin)
    if major is None:
        wanted = parse_version(pin)
        found = versions.filter(**wanted._asdict()).first()
    else:
        found = _newest_of_major(feature_view, major)
    if found is None:
        raise ReferenceNotFound(
            f"{feature_view} has no version {pin!r}.{did_you_mean(pin, numbers_of(versions))}",
            name=str(feature_view),
            missing="version",
        )
    return found


def pinned_version(feature_view: FeatureView, pin: str) -> FeatureViewVersion | None:
    """Return the submitted version that a pin names, whatever its state; None: there is none."""
    try:
        return _pinned(feature_view, pin)
    except ReferenceNotFound:
        return None


def _newest_of_major(feature_view: FeatureView, major: int) -> FeatureViewVersion | None:
    """Return the newest ready version; without one the newest that may become ready, else any."""
    of_major = _submitted(feature_view).filter(major=major).order_by(*NEWEST_FIRST)
    is_loaded = Q(table=None) | Q(table__ready_at__isnull=False)
    may_be = of_major.filter(is_loaded, state__in=SERVED_STATES)
    # One after the other: there may be thousands, and the first is what is looked for.
    found = in_batches(may_be.defer("packet"), 20)
    ready = next((version for version in found if version.is_ready), None)
    return ready or of_major.exclude(state=State.RETIRED).first() or of_major.first()


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


def service_members(*, project: Project, name: str) -> list[FeatureServiceMember]:
    """Return what a feature service's current version has, in order.

    :raises FeatureServiceNotFound: naming the nearest.
    """
    service = (
        FeatureService.objects.filter(project=project, name=name).select_related("current").first()
    )
    if service is None or service.current is None:
        known = FeatureService.objects.filter(project=project).values_list("name", flat=True)
        raise FeatureServiceNotFound(
            f"project {project} has no feature service {name!r}.{did_you_mean(name, known)}"
        )
    return list(service.current.members.select_related("feature_view__default_version"))


def service_context(*, project: Project, name: str) -> str | None:
    """Return the template of a feature service's current version; None: it has none."""
    service = FeatureService.objects.select_related("current").get(project=project, name=name)
    return service.current.spec.context if service.current else None


def service_references(*, project: Project, name: str) -> tuple[Reference, ...]:
    """Return the references of a feature service's current version, in order.

    :raises FeatureServiceBroken: naming what it cannot read any more.
    """
    members = service_members(project=project, name=name)
    if problems := service_problems(members):
        raise FeatureServiceBroken(
            f"feature service {name}: {'; '.join(problems)}. Change the service, or promote"
            " a version that has it.",
            problems=problems,
        )
    return tuple(
        Reference(member.feature_view.name, member.pin or None, member.feature)
        for member in members
    )


def consumers_of(version: FeatureViewVersion) -> list[str]:
    """Return what reads ``version`` now: feature services and on-demand views, whichever way they
    refer to it, and versions of other views that are stored.
    """
    names = {
        member.service_version.feature_service.name
        for member in _current_members(version.feature_view)
        if _reads(member.pin, version)
    }
    view = version.feature_view
    computed = {
        f"on-demand view {each.version}"
        for each in derived_of(view.project, view.name)
        if _reads(each.reads.pin or "", version)
    }
    services = [f"feature service {name}" for name in sorted(names)]
    stored = [f"feature view {reader}" for reader in readers_of(version)]
    return [*services, *sorted(computed), *stored]


def _reads(pin: str, version: FeatureViewVersion) -> bool:
    if not pin:
        return version.feature_view.default_version_id == version.pk
    major = parse_major(pin)
    if major is None:
        return pin == version.number
    newest = _newest_of_major(version.feature_view, major)
    return newest is not None and newest.pk == version.pk


def services_using(feature_view: FeatureView) -> list[str]:
    """Return each current feature service's references to this view: ``service: view:feature``."""
    members = _current_members(feature_view)
    return sorted(f"{member.service_version.feature_service.name}: {member}" for member in members)


def _current_members(feature_view: FeatureView) -> QuerySet[FeatureServiceMember]:
    members = FeatureServiceMember.objects.filter(
        feature_view=feature_view, service_version__feature_service__current=F("service_version")
    )
    return members.select_related("service_version__feature_service", "feature_view")


def served_versions() -> QuerySet[FeatureViewVersion]:
    """Return the versions whose data is to be kept fresh: approved and deprecated ones.

    Those of on-demand views have no table: nothing of them is stored.
    """
    versions = FeatureViewVersion.objects.filter(state__in=SERVED_STATES, table__isnull=False)
    return versions.select_related("feature_view__project", "table")


def may_arrive() -> Q:
    """Return the condition of versions whose rows may arrive without runs; ``is_pushed`` tells."""
    return Q(*((("spec_json__contains", text)) for text in MAY_ARRIVE), _connector=Q.OR)


def may_have_windows() -> Q:
    """Return the condition of versions that aggregate, maybe; ``has_windows_online`` tells of some.

    Whatever aggregates rows that arrive has windows online.
    """
    return Q(spec_json__contains='"aggregations":[{')


def abandoned_tables() -> list[FeatureTable]:
    """Return tables that nobody can read any more and that may have rows online."""
    may_have_rows = Q(ready_at__isnull=False) | Q(loading_since__isnull=False)
    return list(_unread_tables().filter(may_have_rows))


def tables_named(uids: Iterable[str]) -> dict[str, bool]:
    """Say of each of these names that a table has whether somebody may read it."""
    named = FeatureTable.objects.filter(uid__in=uids).values_list("uid", "pk")
    unread = set(_unread_tables().filter(uid__in=uids).values_list("pk", flat=True))
    return {uid: pk not in unread for uid, pk in named}


def _unread_tables() -> QuerySet[FeatureTable]:
    """Tables every version of which is retired."""
    tables = FeatureTable.objects.filter(versions__state=State.RETIRED)
    return tables.exclude(versions__state__in=set(State) - {State.RETIRED}).distinct()


def waiting_first() -> tuple[OrderBy | str, ...]:
    """Return the order of what waits: broken glasses first, then what was submitted first."""
    return is_unlooked().desc(), "submitted_at", "pk"


def waiting_for_review(projects: Iterable[Project]) -> QuerySet[FeatureViewVersion]:
    """Return what waits to be decided on, or looked at afterwards: ``is_broken`` says which."""
    versions = FeatureViewVersion.objects.filter(waits(), feature_view__project__in=projects)
    related = "feature_view__project", "submitted_by", *GLASS
    ordered = versions.annotate(is_broken=is_unlooked()).order_by(*waiting_first())
    return ordered.select_related(*related)
