"""Feature services: what models consume, and which version each feature comes from now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Count
from unfold.decorators import display

from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter
from registry.markup import dash, fallback, link, utc
from registry.models import FeatureService

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString


@admin.register(FeatureService)
class FeatureServiceAdmin(ScopedAdmin):
    page = "registry/admin/feature_service.html"
    list_display = ("title", "project", "description", "version", "size", "owner", "changed")
    list_filter = (ProjectFilter,)
    search_fields = ("name", "current__description", "current__members__feature", "current__owner")
    search_help_text = "Search by service, feature or owner"
    empty_hint = (
        "A service names the features one model reads; define one with kind: FeatureService"
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[FeatureService]:
        rows: QuerySet[FeatureService] = super().get_queryset(request)
        rows = rows.select_related("project", "current__created_by")
        return rows.annotate(size=Count("current__members", distinct=True))

    def content(self, request: HttpRequest, obj: FeatureService) -> dict[str, Any]:
        related = "feature_view__default_version__feature_view", "version__feature_view"
        members = obj.current.members.select_related(*related) if obj.current else []
        return {
            "service": obj,
            "current": obj.current,
            "members": [
                (member, member.version or member.feature_view.default_version)
                for member in members
            ],
            "versions": obj.versions.select_related("created_by").annotate(size=Count("members")),
        }

    @display(description="Feature service", ordering="name")
    def title(self, service: FeatureService) -> SafeString:
        return link(service)

    @display(description="Description")
    def description(self, service: FeatureService) -> SafeString:
        return fallback(service.current.description if service.current else "")

    @display(description="Version")
    def version(self, service: FeatureService) -> str | SafeString:
        return str(service.current.version) if service.current else dash()

    @display(description="Features", ordering="size")
    def size(self, service: FeatureService) -> int:
        return service.size  # type: ignore[attr-defined, no-any-return]

    @display(description="Owner")
    def owner(self, service: FeatureService) -> SafeString:
        return fallback(service.current.owner if service.current else "")

    @display(description="Changed", ordering="current__created_at")
    def changed(self, service: FeatureService) -> SafeString:
        return utc(service.current.created_at if service.current else None)
