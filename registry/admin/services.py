"""Feature services: what models consume, and which version each feature comes from now."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Count
from unfold.decorators import display

from registry.admin.addresses import named_url
from registry.admin.base import ScopedAdmin
from registry.admin.feature_page import lineage_context
from registry.admin.filters import ProjectFilter
from registry.catalogue.named import brought_by
from registry.catalogue.snippets import Wanted, snippets
from registry.lineage import graph_of
from registry.lineage_graph import Key, NodeKind
from registry.markup import dash, fallback, link, utc
from registry.models import FeatureService
from registry.prose import rendered
from registry.service_health import Health, health_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    from registry.catalogue.snippets import Snippet
    from registry.service_health import MemberHealth


def _counted(lines: Sequence[MemberHealth]) -> list[tuple[str, int]]:
    """Return how many members have what is the matter, worst first."""
    counts = Counter(each.health for each in lines)
    return [(kind, counts[kind]) for kind in Health if kind != Health.WELL and counts[kind]]


def _snippets(
    request: HttpRequest, service: FeatureService, lines: Sequence[MemberHealth]
) -> list[Snippet]:
    read = [(each.version, each.member.feature) for each in lines if each.version is not None]
    brought = brought_by(service.project, read)
    wanted = Wanted(
        project=service.project.name,
        base_url=request.build_absolute_uri("/").rstrip("/"),
        keys=brought.keys,
        request=brought.request,
        is_read=bool(read),
        is_online=all(version.spec.view.online for version, _ in read),
        service=service.name,
    )
    return snippets(wanted)


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
        members = list(obj.current.members.select_related(*related)) if obj.current else []
        lines = health_of(obj.project, members)
        project = obj.project.name
        graph = graph_of(obj.project)
        key = Key(NodeKind.SERVICE, obj.name)
        return {
            "service": obj,
            "current": obj.current,
            "description": rendered(obj.current.description) if obj.current else "",
            "lines": [
                (each, named_url(project, NodeKind.FEATURE, str(each.member))) for each in lines
            ],
            "matters": _counted(lines),
            "snippets": _snippets(request, obj, lines),
            "versions": obj.versions.select_related("created_by").annotate(size=Count("members")),
            **(lineage_context(graph, project, [key]) if graph.has(key) else {}),
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
