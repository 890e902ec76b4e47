"""Feature views: the stable names, each with its versions side by side."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Count, F, Q
from django.utils.html import format_html
from django.utils.timesince import timesince
from unfold.decorators import display
from unfold.views import ChangeList

from lib.instants import EPOCH
from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter, TextFilter, column_filter
from registry.admin.version_page import feature_rows
from registry.catalogue.facts import facts_of
from registry.choices import State
from registry.glass import marked_views, marks_of
from registry.markup import badge, badges, dash, fallback, link, muted
from registry.models import FeatureService, FeatureServiceMember, FeatureView, FeatureViewVersion
from registry.newest import (
    MOST_SHOWN,
    NEWEST_FIRST,
    newest_first,
    shown_version,
    shown_versions,
    states_of,
)
from registry.operations.registration.registered import registered_one

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.models import QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString


def _said_of(feature_views: Iterable[FeatureView]) -> dict[int, dict[str, Any]]:
    """Return what other apps say of the views' default versions, by the views' keys."""
    served = [each.default_version for each in feature_views if each.default_version]
    said = facts_of(served)
    return {version.feature_view_id: said[version.pk] for version in served}


def _lasted(seconds: float) -> str:
    return timesince(EPOCH, EPOCH + timedelta(seconds=seconds), depth=1)


class _Lines(ChangeList):
    """Asks at once for the version that speaks for each view of the page, the states of all, and
    what other apps say."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        # A list of its own: what is set on its objects is to be there when they are shown.
        self.result_list: list[Any] = list(self.result_list)
        views = FeatureView.objects.filter(pk__in=[view.pk for view in self.result_list])
        found, states = shown_versions(views.select_related("default_version")), states_of(views)
        said = _said_of(self.result_list)
        marked = set(views.filter(pk__in=marked_views()).values_list("pk", flat=True))
        for view in self.result_list:
            view.shown, view.states = found.get(view.pk), states.get(view.pk, {})
            view.said, view.is_marked = said.get(view.pk, {}), view.pk in marked


class OverdueFilter(TextFilter):
    title = "freshness"
    parameter_name = "freshness"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("overdue", "overdue")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() != "overdue":
            return queryset
        said = _said_of(queryset.filter(default_version__isnull=False)).items()
        late = [pk for pk, each in said if each.get("freshness", {}).get("overdue")]
        return queryset.filter(pk__in=late)


@admin.register(FeatureView)
class FeatureViewAdmin(ScopedAdmin):
    page = "registry/admin/feature_view.html"
    list_display = (
        "title",
        "project",
        "description",
        "default",
        "freshness",
        "state_badges",
        "sensitivity",
        "owner",
    )
    list_filter = (
        OverdueFilter,
        column_filter("versions__state", "state of a version"),
        column_filter("versions__features__sensitivity", "sensitivity of a feature"),
        ProjectFilter,
    )
    search_fields = ("name", "versions__features__name", "versions__features__description")
    search_help_text = "Search by view or feature"
    empty_hint = "Register the first one: assay apply FILES --submit"

    def get_queryset(self, request: HttpRequest) -> QuerySet[FeatureView]:
        related = "project", "default_version__table", "default_version__feature_view"
        return super().get_queryset(request).select_related(*related)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return _Lines

    def content(self, request: HttpRequest, obj: FeatureView) -> dict[str, Any]:
        shown = shown_version(obj)
        versions, count = newest_versions(obj), obj.versions.count()
        return {
            "feature_view": obj,
            "shown": shown,
            "spec": shown.spec if shown else None,
            "features": feature_rows(shown.spec.features, None) if shown else [],
            "versions": versions,
            "marks": marks_of(version.pk for version in versions),
            "version_count": count,
            "others": count - len(versions),
            "services": _services(obj),
            "registered": registered_one(obj),
        }

    @display(description="Feature view", ordering="name")
    def title(self, feature_view: FeatureView) -> SafeString:
        return link(feature_view)

    @display(description="Description")
    def description(self, feature_view: FeatureView) -> SafeString:
        shown = _shown(feature_view)
        return fallback(shown.spec.view.description if shown else "")

    @display(description="Default", ordering="default_version")
    def default(self, feature_view: FeatureView) -> SafeString:
        version = feature_view.default_version
        return link(version, version.number or "") if version else dash()

    @display(description="Freshness")
    def freshness(self, feature_view: FeatureView) -> SafeString:
        """Say how old what is read without a version is, and what it promises."""
        said: dict[str, Any] = getattr(feature_view, "said", {})
        found, words = said.get("freshness", {}), "; ".join(said.get("remarks", ()))
        if not found:
            return muted(words or "–")
        seconds = found["age_seconds"]
        age = "no rows yet" if seconds is None else f"{_lasted(seconds)} old"
        promise = muted(f"promised {found['promise']}") if found["promise"] else ""
        late = badge("overdue") if found["overdue"] else ""
        return format_html("{}<br>{} {} {}", age, promise, late, muted(words))

    @display(description="Versions")
    def state_badges(self, feature_view: FeatureView) -> SafeString:
        """Say how many versions are in which state."""
        states = feature_view.states  # type: ignore[attr-defined]
        marked = "broken glass" if feature_view.is_marked else ""  # type: ignore[attr-defined]
        return badges(*(state for state in State if state in states), marked)

    @display(description="Sensitivity")
    def sensitivity(self, feature_view: FeatureView) -> SafeString:
        shown = _shown(feature_view)
        return badge(shown.sensitivity) if shown else dash()

    @display(description="Owner")
    def owner(self, feature_view: FeatureView) -> SafeString:
        shown = _shown(feature_view)
        return fallback(shown.spec.view.owner if shown else "")


def _shown(feature_view: FeatureView) -> FeatureViewVersion | None:
    """Return the version that speaks for a view of a list, as ``_Lines`` found it."""
    found: FeatureViewVersion | None = feature_view.shown  # type: ignore[attr-defined]
    return found


def newest_versions(feature_view: FeatureView) -> list[FeatureViewVersion]:
    """Return the newest versions and the default, with their features and approvals counted."""
    newest = feature_view.versions.order_by(*NEWEST_FIRST).values_list("pk", flat=True)
    wanted = set(newest[:MOST_SHOWN])
    if feature_view.default_version_id is not None:
        wanted.add(feature_view.default_version_id)
    versions = feature_view.versions.select_related("table", "submitted_by", "feature_view")
    counted = versions.filter(pk__in=wanted).annotate(
        feature_count=Count("features", distinct=True),
        approval_count=Count("reviews", filter=Q(reviews__verdict="approved"), distinct=True),
    )
    return newest_first(counted)


def _services(feature_view: FeatureView) -> list[tuple[FeatureService, list[str]]]:
    """Return the services whose current version reads the view, with their references to it."""
    members = FeatureServiceMember.objects.filter(
        feature_view=feature_view, service_version__feature_service__current=F("service_version")
    ).select_related("service_version__feature_service", "feature_view")
    found: dict[FeatureService, list[str]] = {}
    for member in members.order_by("service_version__feature_service__name", "position"):
        found.setdefault(member.service_version.feature_service, []).append(str(member))
    return list(found.items())
