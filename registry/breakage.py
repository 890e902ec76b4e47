"""Who loses what they read, when another version becomes a view's default: feature services, and
on-demand views that compute with it.

Not for those that pin a version: nothing moves under them. Not for refusing (``releases``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import F

from registry.derived import derived_of
from registry.models import FeatureService, FeatureServiceMember

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet

    from registry.models import FeatureViewVersion, Project


def services_broken_by(version: FeatureViewVersion) -> list[str]:
    """Say which readers making ``version`` the default would break, and by which features.

    A feature is lost when the version lacks it, and when it has another type than the default's.
    """
    view = version.feature_view
    followers = [(name, feature) for _, name, feature in _followers(feature_view=view)]
    followers += _computed_with(view.project, view.name).get(view.name, [])
    return broken_by(version, followers)


def broken_by(version: FeatureViewVersion, followers: Iterable[tuple[str, str]]) -> list[str]:
    """Say the same as ``services_broken_by`` of these ``(reader, feature)``, without a query."""
    lost = losses(version, followers)
    return [f"{service} ({', '.join(whys)})" for service, whys in lost.items()]


def losses(
    version: FeatureViewVersion, followers: Iterable[tuple[str, str]]
) -> dict[str, list[str]]:
    """Return what each of these ``(reader, feature)`` loses once ``version`` is the default."""
    has, had = _types(version), _types(version.feature_view.default_version)
    lost: dict[str, list[str]] = {}
    for reader, feature in followers:
        if why := _loss(feature, has, had):
            lost.setdefault(reader, []).append(why)
    return lost


def followers_by_view(project: Project) -> dict[int, list[tuple[str, str]]]:
    """Return, by view, the ``(reader, feature)`` that follow its default; a query for each kind."""
    found: dict[int, list[tuple[str, str]]] = {}
    for view_id, service, feature in _followers(feature_view__project=project):
        found.setdefault(view_id, []).append((service, feature))
    computed = _computed_with(project)
    views = project.featureview_set.filter(name__in=computed) if computed else ()
    for view in views:
        found.setdefault(view.pk, []).extend(computed[view.name])
    return found


def _computed_with(project: Project, view: str | None = None) -> dict[str, list[tuple[str, str]]]:
    """Return, by view's name, the ``(on-demand view, feature)`` that follow its default."""
    found: dict[str, list[tuple[str, str]]] = {}
    for each in derived_of(project, view):
        if each.follows:
            found.setdefault(each.reads.view, []).append((str(each.version), each.reads.feature))
    return found


def pinned_by_view(project: Project) -> dict[int, list[str]]:
    """Return, by view, what the services name of its versions: ``service: view@1.0.0:feature``."""
    found: dict[int, list[str]] = {}
    current = FeatureServiceMember.objects.filter(
        service_version__feature_service__current=F("service_version"),
        feature_view__project=project,
    ).exclude(pin="")
    related = "service_version__feature_service", "feature_view"
    order = "service_version__feature_service__name", "position"
    for member in current.select_related(*related).order_by(*order):
        service = member.service_version.feature_service.name
        found.setdefault(member.feature_view_id, []).append(f"{service}: {member}")
    return found


def _followers(**where: object) -> Iterable[tuple[int, str, str]]:
    service = "service_version__feature_service__name"
    members = _following_default().filter(**where).order_by(service, "position")
    return members.values_list("feature_view_id", service, "feature")


def _types(version: FeatureViewVersion | None) -> dict[str, str]:
    return {feature.name: feature.type for feature in version.spec.features} if version else {}


def _loss(feature: str, has: dict[str, str], had: dict[str, str]) -> str:
    if feature not in has:
        return f"no {feature}"
    if feature in had and had[feature] != has[feature]:
        return f"{feature} is {has[feature]}, was {had[feature]}"
    return ""


def service_problems(members: Iterable[FeatureServiceMember]) -> list[str]:
    """Say which members name a feature that their view's default version lacks."""
    known: dict[int, set[str]] = {}
    problems = []
    for member in members:
        default = member.feature_view.default_version
        if member.pin or default is None:
            continue
        names = known.setdefault(default.pk, set(_types(default)))
        if member.feature not in names:
            view = member.feature_view.name
            problems.append(f"{member}: the default {view}@{default.number} has no such feature")
    return problems


def broken_services(projects: Iterable[Project | int]) -> dict[FeatureService, list[str]]:
    """Return the services of these projects that cannot be answered now, with their problems."""
    members: dict[FeatureService, list[FeatureServiceMember]] = {}
    following = _following_default().filter(feature_view__project__in=projects)
    order = "service_version__feature_service__name", "service_version", "position"
    for member in following.order_by(*order):
        members.setdefault(member.service_version.feature_service, []).append(member)
    found = {service: service_problems(each) for service, each in members.items()}
    return {service: problems for service, problems in found.items() if problems}


def _following_default() -> QuerySet[FeatureServiceMember]:
    members = FeatureServiceMember.objects.filter(
        pin="", service_version__feature_service__current=F("service_version")
    )
    return members.select_related(
        "service_version__feature_service__project", "feature_view__default_version"
    )
