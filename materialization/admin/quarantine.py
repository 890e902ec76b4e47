"""Quarantine: what checks refused, why, the rows that fail, and the two decisions.

Not for holding or publishing rows: runs do.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Sum
from django.http import Http404
from django.template.defaultfilters import filesizeformat
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from lib.clock import database_now
from lib.errors import AssayError, Forbidden
from lib.pools import Pool, answered_in
from materialization.choices import KEPT_STATES, QuarantineState
from materialization.disclosure import Disclosure
from materialization.models import Quarantine
from materialization.repairs import ticks_went_on
from materialization.requests.quarantine import (
    discard_rows,
    release_rows,
    require_decider,
    require_release,
)
from materialization.requests.refused_rows import place_after, read_rows, stopped_by
from registry import access
from registry.admin.attempts import attempt
from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter, column_filter
from registry.markup import badge, link, utc_stacked

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString

#: Rows on a page.
SHOWN = 100
#: Features that a refusal names.
NAMED = 20


@admin.register(Quarantine)
class QuarantineAdmin(ScopedAdmin):
    project_path = "run__version__feature_view__project"
    page = "materialization/admin/quarantine.html"
    posts: ClassVar[dict[str, str]] = {
        "release": "releasing quarantine {object_id}",
        "discard": "discarding quarantine {object_id}",
    }
    list_display = ("title", "version_link", "state_badge", "size", "held")
    list_filter = (column_filter("state"), ProjectFilter)
    search_fields = ("=run__id", "run__version__feature_view__name", "reason")
    search_help_text = "Search by view, run or reason"
    empty_hint = "No check has refused rows: those that one refuses are kept here"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Quarantine]:
        rows: QuerySet[Quarantine] = super().get_queryset(request)
        related = "run__version__feature_view__project", "table__feature_view__project"
        return rows.select_related(*related, "decided_by", "ended_by__version__feature_view")

    def get_urls(self) -> list[URLPattern]:
        rows = path(
            "<int:pk>/rows/",
            self.admin_site.admin_view(self.rows),
            name="materialization_quarantine_rows",
        )
        return [rows, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        kept = self.get_queryset(request).filter(state__in=KEPT_STATES)
        size = kept.aggregate(size=Sum("size_bytes"))["size"] or 0
        said = {"subtitle": f"{filesizeformat(size)} are held"}
        return super().changelist_view(request, said | (extra_context or {}))

    def content(self, request: HttpRequest, obj: Quarantine) -> dict[str, Any]:
        is_held = obj.state == QuarantineState.HELD
        shown = Disclosure(request.user, at=timezone.now())
        stopped = {(each["feature"], each["check"]) for each in stopped_by(obj.run)}
        checks = [c for c in shown.checks(obj.run) if (c["feature"], c["check"]) in stopped]
        return {
            "quarantine": obj,
            "checks": [each for each in checks if not each["passed"]],
            "may_discard": is_held and _may(partial(require_decider, obj, request.user)),
            "may_release": is_held and _may(partial(require_release, obj, request.user)),
            "went_on": is_held and ticks_went_on(obj),
            "is_kept": obj.is_kept,
            "may_read": obj.is_kept and shown.may_read(obj.run.version.feature_view),
            "withheld": sorted(shown.withheld(obj.run.version)),
        }

    def rows(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show a page of the rows that fail, to those who may read the view's values."""
        obj = self.get_queryset(request).filter(pk=pk).first()
        if obj is None:
            raise Http404
        shown, version = Disclosure(request.user, at=timezone.now()), obj.run.version
        if not shown.may_read(version.feature_view):
            raise PermissionDenied("The rows are for those who may read the view's values.")
        if withheld := sorted(shown.withheld(version)):
            names = ", ".join(withheld[:NAMED])
            raise PermissionDenied(f"The rows have values that take a grant: {names}.")
        context: dict[str, Any] = {"quarantine": obj}
        try:
            actor = access.acting_user(request)
            after = place_after(request.GET.get("cursor", ""))
            found = read_rows(obj, actor=actor, limit=SHOWN, after=after, at=database_now())
            context |= {"rows": found.rows, "next": found.cursor, "is_first": after is None}
        except AssayError as exc:
            context["trouble"] = exc.message
        template = "materialization/admin/quarantine_rows.html"
        return TemplateResponse(request, template, self.frame(request, obj) | context)

    rows = answered_in(Pool.PLANS)(rows)

    def release(self, request: HttpRequest, obj: Quarantine) -> None:
        actor, reason = access.acting_user(request), request.POST.get("reason", "")
        act = partial(release_rows, quarantine=obj, actor=actor, reason=reason, at=database_now())
        attempt(request, act, done="A run publishes them as they are; see how far it is.")

    def discard(self, request: HttpRequest, obj: Quarantine) -> None:
        actor, reason = access.acting_user(request), request.POST.get("reason", "")
        act = partial(discard_rows, quarantine=obj, actor=actor, reason=reason, at=database_now())
        attempt(request, act, done="They are thrown away; the next run reads the source again.")

    @display(description="Rows of", ordering="id")
    def title(self, obj: Quarantine) -> SafeString:
        return link(obj, f"Run {obj.run_id}")

    @display(description="Version", ordering="run__version__feature_view__name")
    def version_link(self, obj: Quarantine) -> SafeString:
        return link(obj.run.version)

    @display(description="State", ordering="state")
    def state_badge(self, obj: Quarantine) -> SafeString:
        return badge(obj.state)

    @display(description="Rows", ordering="rows")
    def size(self, obj: Quarantine) -> SafeString:
        taken = filesizeformat(obj.size_bytes) if obj.stored_as else "removed"
        return format_html("{}<br>{}", f"{obj.rows:,}", taken)

    @display(description="Held since", ordering="held_at")
    def held(self, obj: Quarantine) -> SafeString:
        return utc_stacked(obj.held_at)


def _may(require: Callable[[], None]) -> bool:
    try:
        require()
    except Forbidden:
        return False
    return True
