"""Runs: the list with live progress, the page of one, cancel, and "materialize now"."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.contrib import admin
from django.http import Http404, HttpResponseRedirect, JsonResponse
from django.urls import path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.timesince import timesince
from django.views.decorators.http import require_POST
from unfold.decorators import display

from lib.clock import database_now
from lib.instants import EPOCH
from materialization.admin.profile_table import profile_table
from materialization.admin.run_drift import drift_of_run
from materialization.choices import (
    COMPARING_KINDS,
    LIVE_STATUSES,
    UNFINISHED_STATUSES,
    RunKind,
    RunStatus,
    RunStep,
)
from materialization.chunks import read_chunks
from materialization.disclosure import Disclosure
from materialization.markup import status_with_bar, window_text
from materialization.models import MaterializationRun, MaterializationSchedule, Quarantine
from materialization.outlook import outlook, said_left
from materialization.quality.stored_profiles import stored_profile
from materialization.queries import coverage, covered_until, gaps, source_counts
from materialization.repairs import repaired_by
from materialization.requests.baselines import set_baseline
from materialization.requests.cancelling import cancel_run
from materialization.requests.pausing import pause_run, resume_run
from materialization.requests.runs import request_run
from registry import access
from registry.admin.attempts import attempt
from registry.admin.base import ScopedAdmin
from registry.admin.filters import ProjectFilter, column_filter
from registry.admin.scope import projects_with
from registry.choices import SERVED_STATES, Right
from registry.denials import attempting
from registry.markup import breakable, link, utc
from registry.models import FeatureViewVersion

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
    from django.utils.safestring import SafeString


#: Most runs one poll may ask about.
MAX_POLLED = 200
MAX_ID_DIGITS = 18


@admin.register(MaterializationRun)
class MaterializationRunAdmin(ScopedAdmin):
    project_path = "version__feature_view__project"
    page = "materialization/admin/run.html"
    posts: ClassVar[dict[str, str]] = {
        "take_as_baseline": "taking run {object_id} as the baseline",
        "cancel": "cancelling run {object_id}",
        "pause": "pausing run {object_id}",
        "resume": "resuming run {object_id}",
    }
    list_display = (
        "title",
        "version_link",
        "window",
        "status_badge",
        "rows",
        "requested",
    )
    list_filter = (column_filter("status"), column_filter("kind"), ProjectFilter)
    search_fields = ("=id", "version__feature_view__name", "requested_by__username", "error")
    search_help_text = "Search by view, person or error"
    empty_hint = (
        "Approved versions are materialized by themselves; the first run follows the first approval"
    )
    list_before_template = "materialization/admin/live.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[MaterializationRun]:
        related = "version__feature_view__project", "table", "requested_by"
        rows: QuerySet[MaterializationRun] = super().get_queryset(request)
        return rows.select_related(*related).defer("traceback", "profile")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("progress/", view(self.progress), name="materialization_progress"),
            path(
                "materialize/<int:version_id>/",
                view(require_POST(self.materialize)),
                name="materialization_materialize",
            ),
            *super().get_urls(),
        ]

    def not_there(self, object_id: str) -> str:
        return (
            f"There is no run {object_id[:20]} among those that you may see. Runs that ended more"
            f" than {settings.HISTORY_DAYS} days ago expire; the trail has them."
        )

    def content(self, request: HttpRequest, obj: MaterializationRun) -> dict[str, Any]:
        may_run = access.can(request.user, Right.MATERIALIZE_FEATUREVIEW, obj.version.feature_view)
        shown, far = Disclosure(request.user, at=timezone.now()), outlook(obj, at=database_now())
        return {
            "run": obj,
            "found": source_counts(obj),
            "example": shown.example(obj),
            "checks": shown.checks(obj),
            "repaired_by": repaired_by(obj),
            "quarantine": Quarantine.objects.filter(run=obj).first(),
            "lacking": gaps(obj.version, coverage(obj.table)),
            "has_created": obj.version.spec.rows_from.created_timestamp is not None,
            "is_retried": is_retried(obj),
            "may_run": may_run and obj.version.state in SERVED_STATES,
            "steps": list(_steps(obj)),
            "profile": profile_table(shown.profile(obj), obj.version.spec.features),
            "drift": drift_of_run(obj, shown),
            "may_read": shown.may_read(obj.version.feature_view),
            "withheld": sorted(shown.withheld(obj.version)),
            "may_set_baseline": _may_be_baseline(request, obj),
            "took": duration(obj),
            "may_cancel": may_run and _may_stop(obj),
            "may_pause": may_run and obj.is_live and _may_stop(obj) and not obj.pause_requested,
            "may_resume": may_run
            and (obj.status == RunStatus.PAUSED or (obj.is_live and obj.pause_requested)),
            "outlook": far,
            "left": said_left(far.seconds_left),
            "chunks": read_chunks(obj.chunks) if len(obj.chunks) > 1 else [],
            "may_see_traceback": request.user.is_superuser,
        }

    def take_as_baseline(self, request: HttpRequest, obj: MaterializationRun) -> None:
        take = partial(
            set_baseline, version=obj.version, first_run=obj.pk, last_run=obj.pk,
            reason=request.POST.get("reason", ""),
            actor=access.acting_user(request), at=database_now(),
        )  # fmt: skip
        attempt(request, take, done=f"Runs of {obj.version} are compared with {obj} from now on.")

    def cancel(self, request: HttpRequest, obj: MaterializationRun) -> None:
        end = partial(cancel_run, run=obj, actor=access.acting_user(request), at=database_now())
        attempt(request, end, done=f"{obj} ends at its next step; nothing half-done is published.")

    def pause(self, request: HttpRequest, obj: MaterializationRun) -> None:
        lay = partial(pause_run, run=obj, actor=access.acting_user(request), at=database_now())
        attempt(request, lay, done=f"{obj} stops at its next step; what it stored stays.")

    def resume(self, request: HttpRequest, obj: MaterializationRun) -> None:
        go_on = partial(resume_run, run=obj, actor=access.acting_user(request), at=database_now())
        attempt(request, go_on, done=f"{obj} goes on where it stopped.")

    @attempting("starting a run")
    def materialize(self, request: HttpRequest, version_id: int) -> HttpResponse:
        """Queue an incremental run of a version up to now."""
        versions = FeatureViewVersion.objects.select_related("feature_view__project", "table")
        visible = projects_with(request)
        version = versions.filter(pk=version_id, feature_view__project__in=visible).first()
        if version is None:
            raise Http404
        now = database_now()
        start = partial(
            request_run, version=version, window_end=now, at=now, actor=access.acting_user(request)
        )
        run = attempt(request, start)
        return HttpResponseRedirect(self.url_of(run or version))

    def progress(self, request: HttpRequest) -> HttpResponse:
        """Answer how far the runs of ``?ids=1,2`` are, as JSON, for pages that show them live."""
        asked = request.GET.get("ids", "").split(",")[:MAX_POLLED]
        runs = self.get_queryset(request).filter(pk__in=[int(t) for t in asked if _is_id(t)])
        return JsonResponse({str(run.pk): _progress(run) for run in runs})

    @display(description="Run", ordering="id")
    def title(self, run: MaterializationRun) -> SafeString:
        return link(run, f"Run {run.pk}")

    @display(description="Version", ordering="version__feature_view__name")
    def version_link(self, run: MaterializationRun) -> SafeString:
        return link(run.version)

    @display(description="Window", ordering="window_end")
    def window(self, run: MaterializationRun) -> SafeString:
        return window_text(run)

    @display(description="Status", ordering="status")
    def status_badge(self, run: MaterializationRun) -> SafeString:
        return status_with_bar(run)

    @display(description="Stored", ordering="rows_offline")
    def rows(self, run: MaterializationRun) -> SafeString:
        took = f"in {duration(run)}" if duration(run) else ""
        return format_html(
            '<span class="as-nowrap">{}<br><small class="as-muted">{}</small></span>',
            f"{run.rows_offline:,}",
            took,
        )

    @display(description="Asked for by", ordering="requested_at")
    def requested(self, run: MaterializationRun) -> SafeString:
        who = run.requested_by.get_username() if run.requested_by else "the schedule"
        return format_html("{}<br>{}", breakable(who), utc(run.requested_at))


def _may_stop(run: MaterializationRun) -> bool:
    stands = run.is_live or run.status == RunStatus.PAUSED
    return stands and not (run.cancel_requested or run.publishing)


def _may_be_baseline(request: HttpRequest, run: MaterializationRun) -> bool:
    is_over = run.status not in UNFINISHED_STATUSES
    stored = is_over and run.rows_offline and run.has_profile and stored_profile(run) is not None
    may = access.can(request.user, Right.APPROVE_FEATUREVIEW, run.version.feature_view)
    return bool(stored and may and run.version.state in SERVED_STATES)


def is_retried(run: MaterializationRun) -> bool:
    """Tell whether the sweep tries by itself what ``run`` did not get done."""
    if run.kind in COMPARING_KINDS and run.step != RunStep.ONLINE:
        return False
    table = run.table
    served = table.versions.filter(state__in=SERVED_STATES)
    if run.kind == RunKind.RELOAD:
        return served.exists()
    schedules = MaterializationSchedule.objects.filter(enabled=True, version__in=served)
    if covered_until(table) is None or table.ready_at is None:
        return schedules.exists()
    return any(schedule.spec is not None for schedule in schedules)


def duration(run: MaterializationRun) -> str:
    """Say how long a run worked, and apart from it how long it lay paused, once it has ended."""
    if run.finished_at is None or (worked := run.worked(at=run.finished_at)) is None:
        return ""
    lay = run.lay_paused(at=run.finished_at)
    return f"{_lasted(worked)}{f', paused for {_lasted(lay)}' if lay else ''}"


def _lasted(span: timedelta) -> str:
    """Say it in tenths of a second below a minute."""
    seconds = span.total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else timesince(EPOCH, EPOCH + span)


def _is_id(text: str) -> bool:
    """Tell whether a run could have this number: databases count to 19 digits, we not as far."""
    return text.isascii() and text.isdecimal() and len(text) <= MAX_ID_DIGITS


def _progress(run: MaterializationRun) -> dict[str, Any]:
    far = outlook(run, at=database_now())
    return {
        "status": run.status,
        "step": run.step,
        "progress": round(run.progress, 4),
        "rows_read": run.rows_read,
        "rows_offline": run.rows_offline,
        "rows_online": run.rows_online,
        "chunks_done": far.chunks_done,
        "chunks": far.chunks,
        "seconds_left": said_left(far.seconds_left),
        "live": run.status in LIVE_STATUSES,
    }


def _steps(run: MaterializationRun) -> Iterator[tuple[str, str]]:
    """Yield each step with how it stands: done, now, broken, or empty for still to come."""
    reached = list(RunStep).index(RunStep(run.step))
    for index, step in enumerate(RunStep):
        if index < reached or run.step == RunStep.DONE:
            yield step, "done"
        elif index > reached:
            yield step, ""
        else:
            yield step, "now" if run.is_live else "broken"
