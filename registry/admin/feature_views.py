"""Feature views: the stable names, each with its versions side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Count, F, Q
from unfold.decorators import display

from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter, column_filter
from registry.admin.version_page import feature_rows
from registry.choices import State
from registry.markup import badge, badges, dash, fallback, link
from registry.models import FeatureService, FeatureServiceMember, FeatureView, FeatureViewVersion
from registry.queries import newest_first, shown_version

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString


@admin.register(FeatureView)
class FeatureViewAdmin(ScopedAdmin):
    page = "registry/admin/feature_view.html"
    list_display = (
        "title",
        "project",
        "description",
        "default",
        "state_badges",
        "sensitivity",
        "owner",
    )
    list_filter = (
        column_filter("versions__state", "state of a version"),
        column_filter("versions__features__sensitivity", "sensitivity of a feature"),
        ProjectFilter,
    )
    search_fields = ("name", "versions__features__name", "versions__features__description")
    search_help_text = "Search by view or feature"
    empty_hint = "Register the first one: assay apply FILES --submit"

    def get_queryset(self, request: HttpRequest) -> QuerySet[FeatureView]:
        related = "project", "default_version__table", "default_version__feature_view"
        rows = super().get_queryset(request).select_related(*related)
        return rows.prefetch_related("versions__table")

    def content(self, request: HttpRequest, obj: FeatureView) -> dict[str, Any]:
        shown = shown_version(obj)
        return {
            "feature_view": obj,
            "shown": shown,
            "spec": shown.spec if shown else None,
            "features": feature_rows(shown.spec.features, None) if shown else [],
            "versions": versions_newest_first(obj),
            "services": _services(obj),
        }

    @display(description="Feature view", ordering="name")
    def title(self, feature_view: FeatureView) -> SafeString:
        return link(feature_view)

    @display(description="Description")
    def description(self, feature_view: FeatureView) -> SafeString:
        shown = shown_version(feature_view)
        return fallback(shown.spec.view.description if shown else "")

    @display(description="Default", ordering="default_version")
    def default(self, feature_view: FeatureView) -> SafeString:
        version = feature_view.default_version
        return link(version, version.number or "") if version else dash()

    @display(description="Versions")
    def state_badges(self, feature_view: FeatureView) -> SafeString:
        """Say how many versions are in which state."""
        states = [version.state for version in feature_view.versions.all()]
        return badges(*(state for state in State if state in states))

    @display(description="Sensitivity")
    def sensitivity(self, feature_view: FeatureView) -> SafeString:
        shown = shown_version(feature_view)
        return badge(shown.sensitivity) if shown else dash()

    @display(description="Owner")
    def owner(self, feature_view: FeatureView) -> SafeString:
        shown = shown_version(feature_view)
        return fallback(shown.spec.view.owner if shown else "")


def versions_newest_first(feature_view: FeatureView) -> list[FeatureViewVersion]:
    """Return the versions with their features counted, a draft without number first."""
    versions = feature_view.versions.select_related(
        "table", "submitted_by", "feature_view"
    ).annotate(
        feature_count=Count("features", distinct=True),
        approval_count=Count("reviews", filter=Q(reviews__verdict="approved"), distinct=True),
    )
    return newest_first(versions)


def _services(feature_view: FeatureView) -> list[tuple[FeatureService, list[str]]]:
    """Return the services whose current version reads the view, with their references to it."""
    members = FeatureServiceMember.objects.filter(
        feature_view=feature_view, service_version__feature_service__current=F("service_version")
    ).select_related("service_version__feature_service", "feature_view")
    found: dict[FeatureService, list[str]] = {}
    for member in members.order_by("service_version__feature_service__name", "position"):
        found.setdefault(member.service_version.feature_service, []).append(str(member))
    return list(found.items())
