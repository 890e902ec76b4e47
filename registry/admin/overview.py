"""What the first page shows of the registry: versions that wait, states of views, latest deeds.

Not for deciding or changing anything: every line leads to the page that does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db.models import Count
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from registry.admin.audit import latest_deeds, may_read
from registry.admin.panels import Card, Tile, overview
from registry.admin.queue import waiting_for
from registry.admin.scope import projects_with
from registry.approval import agreed, approvals_required
from registry.breakage import broken_services
from registry.choices import State
from registry.glass import is_unlooked
from registry.models import FeatureView, FeatureViewVersion, Project
from registry.queries import waiting_for_review
from registry.reviewers import asked_of, with_agreed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from django.http import HttpRequest

LINES = 8


class Share(NamedTuple):
    """One state's part of all feature views; ``percent`` is rounded for the bar."""

    state: str
    views: int
    percent: int


@overview
def reviews(request: HttpRequest) -> Iterator[Tile | Card]:
    """Show what waits for review: how much, since when, and the versions that came first."""
    waiting = waiting_for_review(Project.objects.filter(pk__in=projects_with(request)))
    count = waiting.count()
    first = list(with_agreed(waiting).select_related("based_on")[:LINES])
    times = [each.submitted_at for each in first if each.submitted_at]
    since = f"{min(times):%Y-%m-%d %H:%M}" if times else ""
    url = reverse("admin:registry_featureviewversion_changelist") + "?state=in_review"
    mine = asked_of(waiting_for(request), request.user).count()
    asked = f"{mine} asked of you, " if mine else ""
    hint = f"{asked}longest since {since} UTC" if since else "the desk is clear"
    yield Tile(10, "Waiting for review", "fact_check", url, count, hint)
    if broken := waiting.filter(is_unlooked()).count():
        hint = "approved by one person alone: look at it"
        yield Tile(5, "Broken glasses", "emergency_home", url, broken, hint, is_bad=True)
    lines = [
        {"version": each, "given": agreed(each), "required": approvals_required(each)}
        for each in first
    ]
    yield Card(10, _card(request, "waiting", waiting=lines, waiting_count=count))


@overview
def services(request: HttpRequest) -> Iterator[Tile | Card]:
    """Show the services whose readers are refused, because a default lacks what they name."""
    broken = broken_services(projects_with(request))
    if broken:
        url = reverse("admin:registry_featureservice_changelist")
        yield Tile(30, "Broken services", "link_off", url, len(broken), "reads fail", is_bad=True)
        lines = list(broken.items())[:LINES]
        yield Card(5, _card(request, "broken", broken=lines, broken_count=len(broken)))


@overview
def states(request: HttpRequest) -> Iterator[Tile | Card]:
    """Show how many views answer, and how many have a version in each state."""
    visible = projects_with(request)
    views = FeatureView.objects.filter(project__in=visible)
    yield Tile(
        40,
        "Feature views served",
        "table_view",
        reverse("admin:registry_featureview_changelist"),
        views.filter(default_version__isnull=False).count(),
        "have a default version that answers",
        of=views.count(),
    )
    yield Card(10, _card(request, "states", shares=view_states(visible)), is_side=True)


@overview
def trail(request: HttpRequest) -> Iterator[Card]:
    """Show the latest deeds to those who may read the trail."""
    if may_read(request):
        entries = latest_deeds(request)[:LINES]
        yield Card(20, _card(request, "trail", entries=entries), is_side=True)


def _card(request: HttpRequest, name: str, **context: Any) -> str:
    context["now"] = timezone.now()
    return render_to_string(f"registry/admin/overview/{name}.html", context, request)


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
