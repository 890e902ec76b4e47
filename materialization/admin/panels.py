"""What registry pages show of materialization: coverage, freshness, runs, "materialize now"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.models import Q
from django.template.loader import render_to_string
from django.utils import timezone

from lib.clock import database_now
from materialization.admin.budgets import budget_panel
from materialization.catalogue import newest_event
from materialization.choices import AlertKind, QuarantineState
from materialization.markup import outcomes
from materialization.models import (
    Alert,
    MaterializationRun,
    MaterializationSchedule,
    Quarantine,
    TableCare,
)
from materialization.quality.freshness import freshness_of
from materialization.queries import coverage, warned
from materialization.readers import standings_of
from registry.admin.panels import panel
from registry.admin.scope import can_press
from registry.choices import SERVED_STATES, Right
from registry.models import FeatureView, FeatureViewVersion
from registry.newest import MOST_SHOWN, NEWEST_FIRST

if TYPE_CHECKING:
    from django.http import HttpRequest

    from materialization.quality.freshness import Freshness

RUNS_SHOWN = 5
CERTIFICATES_SHOWN = 60
SHARING_SHOWN = 10


@panel(FeatureViewVersion)
def version_panel(request: HttpRequest, version: FeatureViewVersion) -> str:
    """Show a served version's data and let those who may bring it up to date."""
    table = version.table
    if table is None or version.state not in SERVED_STATES:
        return ""
    windows = coverage(table)
    runs = table.runs.select_related("version__feature_view").order_by("-id")
    fresh = freshness_of([version], at=database_now()).get(version)
    others = table.versions.exclude(pk=version.pk).select_related("feature_view")
    others = others.defer("spec_json", "packet").order_by(*NEWEST_FIRST)
    context = {
        "version": version,
        "table": table,
        "fresh": fresh,
        "newest": newest_event(table),
        "windows": windows,
        "warned": warned(version),
        "held": Quarantine.objects.filter(table=table, state=QuarantineState.HELD).first(),
        "until": windows[-1].end if windows else None,
        "reads": standings_of(version, at=database_now()),
        "runs": runs[:RUNS_SHOWN],
        "care": TableCare.objects.filter(table=table).first(),
        "files_kept": settings.FILES_KEPT_HOURS,
        "history_days": settings.HISTORY_DAYS,
        "shared_with": others[:SHARING_SHOWN],
        "shared_with_more": max(others.count() - SHARING_SHOWN, 0),
        "schedule": MaterializationSchedule.objects.filter(version=version).first(),
        "may_run": can_press(request, Right.MATERIALIZE_FEATUREVIEW, version.feature_view),
        "now": timezone.now(),
        "features": version.features.all(),
        "drifted": Alert.objects.open().filter(kind=AlertKind.DRIFTED, version=version).first(),
    }
    return render_to_string("materialization/admin/version_panel.html", context, request=request)


@panel(FeatureViewVersion)
def certificate_panel(request: HttpRequest, version: FeatureViewVersion) -> str:
    """Show what the last comparisons of a served version's stores found, and have one made."""
    table = version.table
    if table is None or version.state not in SERVED_STATES or not version.spec.view.online:
        return ""
    found = list(table.certificates.order_by("-id")[:CERTIFICATES_SHOWN])
    context = {
        "version": version,
        "certificates": found[:RUNS_SHOWN],
        "chart": outcomes(found[::-1]),
        "may_run": can_press(request, Right.MATERIALIZE_FEATUREVIEW, version.feature_view),
    }
    return render_to_string(
        "materialization/admin/certificate_panel.html", context, request=request
    )


@panel(FeatureView)
def feature_view_panel(request: HttpRequest, feature_view: FeatureView) -> str:
    """Show how fresh the newest served versions are, and the default."""
    served = feature_view.versions.filter(state__in=SERVED_STATES, table__isnull=False)
    newest = served.order_by(*NEWEST_FIRST).values_list("pk", flat=True)[:MOST_SHOWN]
    wanted = Q(pk__in=set(newest)) | Q(pk=feature_view.default_version_id)
    versions = served.filter(wanted).order_by(*NEWEST_FIRST).defer("packet")
    shown = list(versions.select_related("table", "feature_view", "materialization_schedule"))
    if not shown:
        return ""
    found = freshness_of(shown, at=database_now())
    runs = {version.table_id: _latest_run(version) for version in shown}
    rows = [_standing(version, found[version], runs[version.table_id]) for version in shown]
    context = {"rows": rows, "others": served.count() - len(shown), "now": timezone.now()}
    return render_to_string("materialization/admin/view_panel.html", context, request=request)


panel(FeatureView)(budget_panel)  # after the one above


def _latest_run(version: FeatureViewVersion) -> MaterializationRun | None:
    runs = MaterializationRun.objects.filter(table=version.table_id)
    return runs.select_related("version__feature_view").defer("profile").order_by("-id").first()


def _standing(
    version: FeatureViewVersion, fresh: Freshness, run: MaterializationRun | None
) -> dict[str, Any]:
    return {
        "version": version,
        "fresh": fresh,
        "until": fresh.covered_until,
        "run": run,
        "schedule": getattr(version, "materialization_schedule", None),
    }
