"""Stored data: what each table holds in the stores, for whom, and up to when. Read only.

Not for filling or emptying tables: runs fill them, and retiring every version empties them.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.db.models import OuterRef, Prefetch, Subquery
from django.http import HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.urls import path
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.decorators import display
from unfold.views import ChangeList

from lib.errors import Unavailable
from materialization.admin.budgets import met_on, set_from_page
from materialization.budgets import uses
from materialization.edges.stores import offline_store
from materialization.growth import OVER, Growth, growth_by_view, growth_of
from materialization.models import StoredWindow, TableSize
from materialization.queries import table_at
from materialization.stores.offline_protocol import OfflineStoreBehind
from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter
from registry.markup import badge, breakable, link, muted, utc_stacked
from registry.models import FeatureTable, FeatureViewVersion
from registry.newest import NEWEST_FIRST

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern

    from materialization.budgets import Use


#: Versions of one table that its line names.
MOST_NAMED = 10


class _Lines(ChangeList):
    """Gives each table of the page what its view takes and how that grows; a few questions."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        views = {table.feature_view_id for table in self.result_list}
        found, growths = uses(views), growth_by_view(views, at=timezone.now())
        for table in self.result_list:
            table.uses = found.get(table.feature_view_id, [])
            table.growth = growths.get(table.feature_view_id, Growth())


@admin.register(FeatureTable)
class StoredDataAdmin(ScopedAdmin):
    """One line a table. Its rows are asked of the offline store, one short look a line."""

    project_path = "feature_view__project"
    list_display = (
        "title",
        "versions",
        "offline",
        "takes",
        "budget",
        "covered",
        "ready",
        "online",
    )
    list_filter = (ProjectFilter,)
    search_fields = ("feature_view__name", "uid")
    search_help_text = "Search by view or table"
    ordering = ("feature_view__name", "-id")
    empty_hint = "A version gets its table when it is submitted, and rows after its approval"

    def get_queryset(self, request: HttpRequest) -> QuerySet[FeatureTable]:
        # Definitions and packets are long and not shown.
        versions = FeatureViewVersion.objects.defer("spec_json", "packet").order_by(*NEWEST_FIRST)
        sizes = TableSize.objects.filter(day__gte=(timezone.now() - OVER).date())
        windows = StoredWindow.objects.filter(table=OuterRef("pk")).order_by("-window_end")
        rows: QuerySet[FeatureTable] = super().get_queryset(request)
        return (
            rows.select_related("feature_view__project")
            .prefetch_related(
                Prefetch("versions", versions[: MOST_NAMED + 1], "newest"), Prefetch("sizes", sizes)
            )
            .annotate(covered_until=Subquery(windows.values("window_end")[:1]))
        )

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(set_from_page)
        own = path("budget/<int:view_id>/", view, name="materialization_budget")
        return [own, *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return _Lines

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return super().changelist_view(request, {"title": "Stored data", **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Lead to the view's page, which shows all there is to say of one table."""
        table = self.get_object(request, unquote(object_id))
        if table is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[no-any-return]
        return HttpResponseRedirect(self.url_of(table.feature_view))

    @display(description="Feature view", ordering="feature_view__name")
    def title(self, table: FeatureTable) -> SafeString:
        return format_html(
            '{}<br><small class="as-muted">{}<br>{}</small>',
            link(table.feature_view),
            breakable(table.feature_view.project.name),
            table.uid,
        )

    @display(description="Versions")
    def versions(self, table: FeatureTable) -> SafeString:
        """Name the versions that share the table, the newest of them; later ones first."""
        newest: list[FeatureViewVersion] = table.newest  # type: ignore[attr-defined]
        lines = [
            (link(version, version.number or "draft"), badge(version.state))
            for version in newest[:MOST_NAMED]
        ]
        if len(newest) > MOST_NAMED:
            lines.append((muted("and older ones"), SafeString()))
        return format_html_join("", '<div class="as-nowrap">{} {}</div>', lines)

    @display(description="Offline store")
    def offline(self, table: FeatureTable) -> SafeString:
        return stored_rows(table, is_expected=table.covered_until is not None)  # type: ignore[attr-defined]

    @display(description="Takes")
    def takes(self, table: FeatureTable) -> SafeString:
        return taken(table, timezone.now())

    @display(description="Budget")
    def budget(self, table: FeatureTable) -> SafeString:
        return used_up(table.uses, table.growth, timezone.now().date())  # type: ignore[attr-defined]

    @display(description="Covered until")
    def covered(self, table: FeatureTable) -> SafeString:
        return utc_stacked(table.covered_until)  # type: ignore[attr-defined]

    @display(description="Ready since", ordering="ready_at")
    def ready(self, table: FeatureTable) -> SafeString:
        return utc_stacked(table.ready_at)

    @display(description="Kept online", ordering="kept_for")
    def online(self, table: FeatureTable) -> SafeString | str:
        return kept_words(table.kept_for)


def stored_rows(table: FeatureTable, *, is_expected: bool) -> SafeString:
    """Show a table's rows and Delta version as the store has them now.

    A store that does not answer, or that has less than was stored, is said to have: it must not
    look like one without rows.
    """
    try:
        found = offline_store().snapshot(table_at(table))
    except OfflineStoreBehind:
        return badge("missing")
    except Unavailable:
        return badge("no answer")
    if found.version < 0:
        return badge("missing") if is_expected else muted("nothing yet")
    return format_html(
        '<span class="as-nowrap">{}<br><small class="as-muted">Delta version {}</small></span>',
        f"{found.rows:,} {'row' if found.rows == 1 else 'rows'}",
        found.version,
    )


def taken(table: FeatureTable, now: datetime) -> SafeString:
    """Show what a table took in both stores on the last day it was measured, and how it grows."""
    sizes = list(table.sizes.all())
    if not sizes:
        return muted("–")
    last, growth = sizes[-1], growth_of(sizes)
    online = muted("not known")
    if last.online_keys is not None:
        online = format_html(
            "{} online, {:s} keys", filesizeformat(last.online_bytes or 0), f"{last.online_keys:,}"
        )
    lines = [format_html("{} offline", filesizeformat(last.offline_bytes)), online]
    if growth.disk is not None:
        a_day = growth.disk + (growth.memory or 0)
        sign = "−" if a_day < 0 else "+"
        lines.append(muted(f"{sign}{filesizeformat(abs(a_day))} a day"))
    return format_html_join("", '<div class="as-nowrap">{}</div>', ((line,) for line in lines))


def used_up(found: Sequence[Use], growth: Growth, today: date) -> SafeString:
    """Show what of a view's budgets is used, and on which day each is met as it grows."""
    lines = [
        format_html("{} {}{}", use.of, _share(use), f", {when}" if when[:1].isdigit() else "")
        for use in found
        if use.budget
        for when in [met_on(use, growth, today)]
    ]
    if not lines:
        return muted("none")
    return format_html_join("", '<div class="as-nowrap">{}</div>', ((line,) for line in lines))


def _share(use: Use) -> SafeString | str:
    return badge("nearly full", f"{use.percent} %") if use.is_near else f"{use.percent} %"


def kept_words(kept_for: timedelta | None) -> SafeString | str:
    """Say for how long after their event rows stay in the online store."""
    if kept_for is None:
        return "for ever"
    if not kept_for:
        return muted("not online")
    return str(kept_for).removesuffix(", 0:00:00")
