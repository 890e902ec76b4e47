"""Schedules: when each version is materialized, edited by those who may, through one operation."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import OuterRef, Subquery
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from lib.clock import database_now
from lib.errors import AssayError
from lib.seen import ChangedMeanwhile
from materialization.models import MaterializationRun, MaterializationSchedule, StoredWindow
from materialization.queries import UNTOUCHED, end_of, standings
from materialization.requests.due import due_end
from materialization.requests.schedules import change_schedule
from registry import access
from registry.admin.attempts import attempt, refuse
from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter
from registry.admin.forms import SeenForm
from registry.choices import Right
from registry.markup import badge, breakable, dash, link, utc
from registry.spec.model import ScheduleSpec

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString


class ScheduleForm(SeenForm):
    every = forms.CharField(
        max_length=12,
        required=False,
        strip=False,
        help_text="A whole number and a unit, as in 15m, 1h or 1d.",
    )
    cron = forms.CharField(
        max_length=64,
        required=False,
        strip=False,
        help_text="Five fields in UTC, as in 15 * * * *.",
    )
    enabled = forms.BooleanField(required=False, label="Start runs by this schedule")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("every") and cleaned.get("cron"):
            raise forms.ValidationError("Give either a duration or a cron expression, not both.")
        return cleaned

    @property
    def spec(self) -> ScheduleSpec | None:
        every, cron = self.cleaned_data["every"].strip(), self.cleaned_data["cron"].strip()
        return ScheduleSpec(every=every or None, cron=cron or None) if every or cron else None


@admin.register(MaterializationSchedule)
class MaterializationScheduleAdmin(ScopedAdmin):
    project_path = "version__feature_view__project"
    page = "materialization/admin/schedule.html"
    posts: ClassVar[dict[str, str]] = {
        "edit": "changing a schedule",
        "toggle": "changing a schedule",
    }
    list_display = (
        "title",
        "project",
        "rhythm",
        "state",
        "covered",
        "last_run",
        "changed",
    )
    list_filter = ("enabled", ProjectFilter)
    search_fields = ("version__feature_view__name", "every", "cron")
    search_help_text = "Search by view"
    empty_hint = "Every approved version gets its schedule from its definition within seconds"

    def get_queryset(self, request: HttpRequest) -> QuerySet[MaterializationSchedule]:
        related = "version__feature_view__project", "version__table", "updated_by"
        rows: QuerySet[MaterializationSchedule] = super().get_queryset(request)
        windows = StoredWindow.objects.filter(table=OuterRef("version__table")).order_by(
            "-window_end"
        )
        runs = MaterializationRun.objects.filter(table=OuterRef("version__table")).order_by("-id")
        return rows.select_related(*related).annotate(
            covered_until=Subquery(windows.values("window_end")[:1]),
            latest_run=Subquery(runs.values("pk")[:1]),
        )

    def content(self, request: HttpRequest, obj: MaterializationSchedule) -> dict[str, Any]:
        initial = {"every": obj.every, "cron": obj.cron, "enabled": obj.enabled}
        table, now = obj.version.table, database_now()
        standing = standings([table.pk]).get(table.pk, UNTOUCHED) if table else UNTOUCHED
        return {
            "schedule": obj,
            "form": ScheduleForm(initial=initial),
            "may_change": access.can(request.user, Right.CHANGE_SCHEDULE, obj.version.feature_view),
            "covered": end_of(standing.covered),
            "due": due_end(obj, standing, at=now) if table and obj.enabled else None,
            "runs": table.runs.select_related("version__feature_view")[:10] if table else [],
            "makes_ticks": obj.version.spec.transform.makes_ticks,
            "declared": obj.version.spec.view.schedule,
        }

    def edit(self, request: HttpRequest, obj: MaterializationSchedule) -> HttpResponse | None:
        form = ScheduleForm(request.POST)
        context: dict[str, Any] = {"form": form}
        status = 422
        if form.is_valid():
            enabled = form.cleaned_data["enabled"]
            try:
                self._change(request, obj, form.spec, enabled, form.seen)
            except ChangedMeanwhile as error:
                refuse(request, error)
                obj.refresh_from_db()
                context, status = {}, 409
            except AssayError as error:
                refuse(request, error)
            else:
                return None
        context = self.frame(request, obj) | self.content(request, obj) | context
        return TemplateResponse(request, self.page, context, status=status)

    def toggle(self, request: HttpRequest, obj: MaterializationSchedule) -> None:
        turn = partial(self._change, request, obj, obj.spec, enabled=not obj.enabled)
        attempt(request, turn)

    def _change(
        self,
        request: HttpRequest,
        obj: MaterializationSchedule,
        spec: ScheduleSpec | None,
        enabled: bool,
        seen: dict[str, Any] | None = None,
    ) -> None:
        change_schedule(
            schedule=obj,
            spec=spec,
            enabled=enabled,
            actor=access.acting_user(request),
            at=timezone.now(),
            seen=seen,
        )
        messages.success(
            request, f"{obj.version}: {obj.spec or 'once'}, {'on' if enabled else 'paused'}."
        )

    @display(description="Version", ordering="version__feature_view__name")
    def title(self, schedule: MaterializationSchedule) -> SafeString:
        return link(schedule, str(schedule.version))

    @display(description="Project", ordering="version__feature_view__project__name")
    def project(self, schedule: MaterializationSchedule) -> SafeString:
        return breakable(schedule.version.feature_view.project.name)

    @display(description="Schedule")
    def rhythm(self, schedule: MaterializationSchedule) -> str | SafeString:
        if schedule.spec is None:
            return "once, then on request"
        return format_html('<span class="as-nowrap">{}</span>', schedule.spec)

    @display(description="State", ordering="enabled")
    def state(self, schedule: MaterializationSchedule) -> SafeString:
        return badge("on" if schedule.enabled else "paused")

    @display(description="Stored until")
    def covered(self, schedule: MaterializationSchedule) -> SafeString:
        return utc(schedule.covered_until)  # type: ignore[attr-defined]

    @display(description="Latest run")
    def last_run(self, schedule: MaterializationSchedule) -> SafeString:
        latest: int | None = schedule.latest_run  # type: ignore[attr-defined]
        return link(MaterializationRun(pk=latest), f"Run {latest}") if latest else dash()

    @display(description="Changed", ordering="updated_at")
    def changed(self, schedule: MaterializationSchedule) -> SafeString:
        who = schedule.updated_by.get_username() if schedule.updated_by else "by its definition"
        return format_html("{}<br>{}", breakable(who), utc(schedule.updated_at))
