"""What the first page shows of materialization: runs under way, and tables whose last run failed.

Not for starting or ending runs: every line leads to the page that does.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from materialization.choices import LIVE_STATUSES, UNSUCCESSFUL_STATUSES, RunStatus
from materialization.clocks import clocks_apart
from materialization.edges.stores import fullness
from materialization.growth import OVER, days_until, growth_by_view, together
from materialization.models import MaterializationRun, ProcessClock
from materialization.repairs import repaired_by
from registry.admin.panels import Card, Tile, overview
from registry.admin.scope import projects_with

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.db.models import QuerySet
    from django.http import HttpRequest

LINES = 8
#: A forecast is shown from here on; beyond it says little.
FULL_WITHIN_DAYS = 90
#: Most failures looked at, the newest first.
LOOKED_AT = 500
#: How far back a failure still asks for attention.
RECENT = timedelta(hours=24)


@overview
def runs(request: HttpRequest) -> Iterator[Tile | Card]:
    """Show what runs now and what failed and is not repaired."""
    now = timezone.now()
    seen = _runs(projects_with(request))
    live, failed = seen.filter(status__in=LIVE_STATUSES), unrepaired(seen, now)
    url, count = reverse("admin:materialization_materializationrun_changelist"), live.count()
    hint = "shown below as they go" if count else "nothing runs now"
    yield Tile(20, "Runs under way", "play_circle", url, count, hint)
    yield Tile(
        30,
        "Failed and not repaired",
        "error",
        f"{url}?status={RunStatus.FAILED}",
        len(failed),
        "tables, in the last 24 hours",
        is_bad=bool(failed),
    )
    context = {"live": live.order_by("id")[:LINES], "failed": failed[:LINES], "now": now}
    yield Card(20, render_to_string("materialization/admin/overview.html", context, request))


@overview
def clocks(request: HttpRequest) -> Iterator[Tile]:
    """Show superusers, who run the server, that clocks differ; nothing while they do not."""
    apart = clocks_apart() if request.user.is_superuser else ProcessClock.objects.none()
    if count := apart.count():
        names = ", ".join(clock.process for clock in apart[:LINES])
        url = reverse("admin:index")
        yield Tile(31, "Clocks apart", "schedule", url, count, f"as seen by {names}", is_bad=True)


@overview
def room(request: HttpRequest) -> Iterator[Tile]:
    """Show superusers when a store would be full as it grows now; nothing while that is far."""
    if not request.user.is_superuser:
        return
    growth = together(growth_by_view(at=timezone.now()).values())
    a_day = {"offline store": growth.disk, "online store": growth.memory}
    for name, full in fullness().items():
        days = days_until(full.limit, full.used, a_day[name])
        if days is not None and days <= FULL_WITHIN_DAYS:
            url = reverse("admin:registry_featuretable_changelist")
            hint = f"days until the {name} is full, as it grew in the last {OVER.days}"
            yield Tile(32, f"Room in the {name}", "database", url, days, hint, is_bad=True)


def _runs(visible: frozenset[int]) -> QuerySet[MaterializationRun]:
    rows = MaterializationRun.objects.filter(version__feature_view__project__in=visible)
    return rows.select_related("version__feature_view", "requested_by").defer(
        "traceback", "profile"
    )


def unrepaired(seen: QuerySet[MaterializationRun], now: datetime) -> list[MaterializationRun]:
    """Return each table's newest failure within ``RECENT`` that no later run has made good."""
    failures = seen.filter(requested_at__gte=now - RECENT, status__in=UNSUCCESSFUL_STATUSES)
    newest: dict[int, MaterializationRun] = {}
    for run in failures.select_related("table").order_by("-id")[:LOOKED_AT]:
        newest.setdefault(run.table_id, run)
    return [run for run in newest.values() if repaired_by(run) is None]
