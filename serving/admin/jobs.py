"""Historical jobs: whose they are, how far, and cancelling them. Rows are for their askers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from lib.clock import database_now
from materialization.edges.stores import job_files
from registry import access
from registry.admin.attempts import attempt
from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter, column_filter
from registry.markup import badge, breakable, link, muted, utc_stacked
from serving.jobs.ending import cancel_job, may_cancel
from serving.jobs.room import WITH_FILES
from serving.jobs.words import progress_of
from serving.models import HistoricalJob

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString


@admin.register(HistoricalJob)
class HistoricalJobAdmin(ScopedAdmin):
    page = "serving/admin/historical_job.html"
    posts: ClassVar[dict[str, str]] = {"cancel": "cancelling historical job {object_id}"}
    list_display = ("title", "status_badge", "how_far", "features", "asked", "expires")
    list_filter = (column_filter("status"), ProjectFilter)
    empty_hint = "A program asks for one: store.get_historical_features(…, as_job=True)"

    def get_queryset(self, request: HttpRequest) -> QuerySet[HistoricalJob]:
        rows: QuerySet[HistoricalJob] = super().get_queryset(request)
        return rows.select_related("project", "requested_by")

    def content(self, request: HttpRequest, obj: HistoricalJob) -> dict[str, Any]:
        is_there = obj.status in WITH_FILES
        is_theirs = obj.requested_by_id == request.user.pk
        return {
            "job": obj,
            "progress": progress_of(obj),
            "parts": list(obj.parts.select_related("version__feature_view__project")),
            "warnings": obj.found.get("warnings", []) if is_theirs else [],
            "is_theirs": is_theirs,
            "may_cancel": is_there and may_cancel(obj, request.user),
            "has_file": obj.is_there(timezone.now()),
        }

    def cancel(self, request: HttpRequest, obj: HistoricalJob) -> HttpResponse | None:
        actor, at = access.acting_user(request), database_now()
        attempt(request, partial(cancel_job, job=obj, actor=actor, keeper=job_files(), at=at))
        return None

    @display(description="Job", ordering="pk")
    def title(self, job: HistoricalJob) -> SafeString:
        return link(job)

    @display(description="Status", ordering="status")
    def status_badge(self, job: HistoricalJob) -> SafeString:
        return badge(job.status)

    @display(description="How far")
    def how_far(self, job: HistoricalJob) -> str:
        return progress_of(job)

    @display(description="Features")
    def features(self, job: HistoricalJob) -> str:
        return f"{len(job.columns):,}"

    @display(description="Asked for by", ordering="requested_at")
    def asked(self, job: HistoricalJob) -> SafeString:
        who = breakable(job.requested_by.get_username())
        return format_html("{}<br>{}", who, utc_stacked(job.requested_at))

    @display(description="Kept until", ordering="expires_at")
    def expires(self, job: HistoricalJob) -> SafeString | str:
        return utc_stacked(job.expires_at) if job.expires_at else muted("no file")
