"""What registry pages show of materialization: coverage, freshness, runs, "materialize now"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone

from lib.clock import database_now
from materialization.admin.budgets import budget_panel
from materialization.catalogue import newest_event
from materialization.choices import AlertKind, QuarantineState
from materialization.markup import outcomes
from materialization.models import Alert, MaterializationSchedule, Quarantine, TableCare
from materialization.quality.freshness import freshness_of
from materialization.queries import coverage, warned
from registry import access
from registry.admin.panels import panel
from registry.choices import SERVED_STATES, Right
from registry.models import FeatureView, FeatureViewVersion

if TYPE_CHECKING:
    from django.http import HttpRequest

    from materialization.quality.freshness import Freshness

RUNS_SHOWN = 5
CERTIFICATES_SHOWN = 60


@panel(FeatureViewVersion)
def version_panel(request: HttpRequest, version: FeatureViewVersion) -> str:
    """Show a served version's data and let those who may bring it up to date."""
    table = version.table
    if table is None or version.state not in SERVED_STATES:
        return ""
    windows = coverage(table)
    runs = table.runs.select_related("version__feature_view").order_by("-id")
    fresh = freshness_of([version], at=database_now()).get(version)
    context = {
        "version": version,
        "table": table,
        "fresh": fresh,
        "newest": newest_event(table),
        "windows": windows,
        "warned": warned(version),
        "held": Quarantine.objects.filter(table=table, state=QuarantineState.HELD).first(),
        "until": windows[-1].end if windows else None,
        "runs": runs[:RUNS_SHOWN],
        "care": TableCare.objects.filter(table=table).first(),
        "files_kept": settings.FILES_KEPT_HOURS,
        "history_days": settings.HISTORY_DAYS,
        "shared_with": table.versions.exclude(pk=version.pk).select_related("feature_view"),
        "schedule": MaterializationSchedule.objects.filter(version=version).first(),
        "may_run": access.can(request.user, Right.MATERIALIZE_FEATUREVIEW, version.feature_view),
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
        "may_run": access.can(request.user, Right.MATERIALIZE_FEATUREVIEW, version.feature_view),
    }
    return render_to_string(
        "materialization/admin/certificate_panel.html", context, request=request
    )


@panel(FeatureView)
def feature_view_panel(request: HttpRequest, feature_view: FeatureView) -> str:
    """Show how fresh each served version is."""
    served = feature_view.versions.filter(state__in=SERVED_STATES, table__isnull=False)
    versions = served.select_related("table", "feature_view", "materialization_schedule")
    shown = list(versions.order_by("-major", "-minor", "-patch"))
    if not shown:
        return ""
    found = freshness_of(shown, at=database_now())
    rows = [_standing(version, found[version]) for version in shown]
    context = {"rows": rows, "now": timezone.now()}
    return render_to_string("materialization/admin/view_panel.html", context, request=request)


panel(FeatureView)(budget_panel)  # after the one above


def _standing(version: FeatureViewVersion, fresh: Freshness) -> dict[str, Any]:
    table: Any = version.table
    return {
        "version": version,
        "fresh": fresh,
        "until": fresh.covered_until,
        "run": table.runs.select_related("version__feature_view").order_by("-id").first(),
        "schedule": getattr(version, "materialization_schedule", None),
    }
