"""Alerts: what is wrong now, what was, and the button that says somebody knows.

Not for where alerts are sent: ``channels`` has those pages.
"""

from __future__ import annotations

from functools import partial
from textwrap import shorten
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import F, Q
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from unfold.decorators import display

from lib.clock import database_now
from lib.errors import Forbidden
from materialization.choices import AlertState, Severity
from materialization.models import Alert
from materialization.models.alerts import STATES
from materialization.requests.alerts import acknowledge_alert, require_acknowledge
from registry import access
from registry.admin.attempts import attempt
from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter, TextFilter, column_filter
from registry.admin.panels import Card, Tile, overview
from registry.admin.scope import projects_with
from registry.markup import badge, breakable, link, muted, utc_stacked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import Model, QuerySet
    from django.http import HttpRequest
    from django.utils.safestring import SafeString

LINES = 8
#: Characters of what an alert says, in a line of the list.
SAID = 160


class StateFilter(TextFilter):
    """Open and not acknowledged, open and acknowledged, or closed."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state) for state in AlertState]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(**STATES[AlertState(value)]) if value in STATES else queryset


@admin.register(Alert)
class AlertAdmin(ScopedAdmin):
    """Open ones first. What belongs to no project is for superusers."""

    page = "materialization/admin/alert.html"
    posts: ClassVar[dict[str, str]] = {"acknowledge": "acknowledging alert {object_id}"}
    list_display = ("title", "project_name", "state_badge", "said", "times", "opened")
    list_filter = (StateFilter, column_filter("kind"), column_filter("severity"), ProjectFilter)
    search_fields = ("subject", "words")
    search_help_text = "Search by subject or words"
    ordering: ClassVar[Any] = (
        F("closed_at").desc(nulls_first=True),
        "severity",
        "-last_seen_at",
    )
    empty_hint = "Nothing is wrong, and nothing was: an alert opens by itself and closes so too"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        rows = Alert.objects.select_related("project", "version__feature_view", "run__version")
        return rows.filter(_visible(request))

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        if isinstance(obj, Alert) and obj.project_id is None:
            return bool(request.user.is_active and request.user.is_superuser)
        return super().has_view_permission(request, obj)

    def content(self, request: HttpRequest, obj: Alert) -> dict[str, Any]:
        return {"alert": obj, "may_acknowledge": _may_acknowledge(request, obj)}

    def acknowledge(self, request: HttpRequest, obj: Alert) -> None:
        actor, at = access.acting_user(request), database_now()
        say = partial(acknowledge_alert, alert=obj, actor=actor, at=at)
        attempt(request, say, done="It stays open, and quiet, until its cause is gone.")

    @display(description="Alert")
    def title(self, alert: Alert) -> SafeString:
        kind = alert.kind.replace("_", " ")
        return format_html("{}<br>{}", link(alert, kind), breakable(alert.subject))

    @display(description="Project", ordering="project__name")
    def project_name(self, alert: Alert) -> SafeString:
        return breakable(alert.project.name) if alert.project else muted("the installation")

    @display(description="State")
    def state_badge(self, alert: Alert) -> SafeString:
        grave = badge(alert.severity) if alert.closed_at is None else ""
        return format_html('<div class="as-badges">{}{}</div>', badge(alert.state), grave)

    @display(description="What was said last")
    def said(self, alert: Alert) -> SafeString:
        return format_html(
            '<span class="as-small">{}</span>',
            breakable(shorten(alert.words, SAID, placeholder=" …")),
        )

    @display(description="Times", ordering="count")
    def times(self, alert: Alert) -> int:
        return alert.count

    @display(description="Opened, closed", ordering="opened_at")
    def opened(self, alert: Alert) -> SafeString:
        return format_html("{}<br>{}", utc_stacked(alert.opened_at), utc_stacked(alert.closed_at))


@overview
def alerts(request: HttpRequest) -> Iterator[Tile | Card]:
    """Show what is wrong now; nothing while nothing is."""
    found = Alert.objects.open().filter(_visible(request)).select_related("project", "version")
    if count := found.count():
        url = reverse("admin:materialization_alert_changelist") + "?state=open"
        worst = found.filter(severity=Severity.CRITICAL).count()
        hint = f"{worst} critical" if worst else "none critical"
        yield Tile(29, "Open alerts", "notifications", url, count, hint, is_bad=bool(worst))
        first = found.order_by("acknowledged_at", "severity", "-last_seen_at")[:LINES]
        context = {"alerts": first, "count": count, "now": database_now()}
        yield Card(4, render_to_string("materialization/admin/alerts_card.html", context, request))


def _visible(request: HttpRequest) -> Q:
    mine = Q(project__in=projects_with(request))
    return mine | Q(project=None) if request.user.is_superuser else mine


def _may_acknowledge(request: HttpRequest, alert: Alert) -> bool:
    if alert.state != AlertState.OPEN:
        return False
    try:
        require_acknowledge(request.user, alert)
    except Forbidden:
        return False
    return True
