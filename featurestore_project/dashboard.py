"""The admin's first page: what waits, what runs, what failed, what happened last.

Not for deciding or changing anything: every line leads to the page that does.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models import Count
from django.utils import timezone

from materialization.choices import LIVE_STATUSES, UNSUCCESSFUL_STATUSES
from materialization.models import MaterializationRun
from registry.admin.audit import latest_deeds, may_read
from registry.admin.review import with_agreed
from registry.admin.scope import projects_with
from registry.choices import State
from registry.models import FeatureView, FeatureViewVersion, Project
from registry.operations.lifecycle.reviews import approvals_required
from registry.queries import waiting_for_review

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet
    from django.http import HttpRequest

LINES = 8
#: How far back a failure still asks for attention.
RECENT = timedelta(hours=24)


class Share(NamedTuple):
    """One state's part of all feature views; ``percent`` is rounded for the bar."""

    state: str
    views: int
    percent: int


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add what the page shows to the admin's context."""
    now = timezone.now()
    visible = projects_with(request)
    waiting = waiting_for_review(Project.objects.filter(pk__in=visible))
    runs = _runs(visible)
    live = runs.filter(status__in=LIVE_STATUSES)
    failed = unrepaired(runs, now)
    views = FeatureView.objects.filter(project__in=visible)
    return context | {
        "now": now,
        "has_projects": bool(visible),
        "waiting": [
            {"version": version, "required": approvals_required(version)}
            for version in with_agreed(waiting).select_related("based_on")[:LINES]
        ],
        "waiting_count": waiting.count(),
        "live": live.order_by("id")[:LINES],
        "live_count": live.count(),
        "failed": failed[:LINES],
        "failed_count": len(failed),
        "view_count": views.count(),
        "served_count": views.filter(default_version__isnull=False).count(),
        "shares": view_states(visible),
        "entries": latest_deeds(request)[:LINES] if may_read(request) else None,
    }


def _runs(visible: frozenset[int]) -> QuerySet[MaterializationRun]:
    runs = MaterializationRun.objects.filter(version__feature_view__project__in=visible)
    return runs.select_related("version__feature_view", "requested_by").defer(
        "traceback", "profile"
    )


def unrepaired(runs: QuerySet[MaterializationRun], now: datetime) -> list[MaterializationRun]:
    """Return the newest run of each table whose latest finished run failed within ``RECENT``."""
    recent = runs.filter(requested_at__gte=now - RECENT).exclude(status__in=LIVE_STATUSES)
    newest: dict[int, MaterializationRun] = {}
    for run in recent.order_by("-id"):
        newest.setdefault(run.table_id, run)
    return [run for run in newest.values() if run.status in UNSUCCESSFUL_STATUSES]


def view_states(visible: frozenset[int]) -> list[Share]:
    """Return how many views have a version in each state, in the order of the lifecycle."""
    rows = (
        FeatureViewVersion.objects.filter(feature_view__project__in=visible)
        .values("state")
        .annotate(views=Count("feature_view", distinct=True))
        .order_by("state")
    )
    counts = {row["state"]: row["views"] for row in rows}
    most = max(counts.values(), default=0)
    return (
        [
            Share(state, counts.get(state, 0), round(100 * counts.get(state, 0) / most))
            for state in State
        ]
        if most
        else []
    )
