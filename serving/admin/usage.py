"""Who reads a feature, a service or a version that is to go: parts of the registry's pages.

What is shown is what ``GET usage`` tells the same person. Not for who may read: grants and roles.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone

from lib.errors import Unavailable
from materialization.charts import course
from registry.access import acting_user
from registry.admin.panels import panel
from registry.choices import State
from registry.models import Feature, FeatureService, FeatureViewVersion, Project
from registry.models.names import pseudonym_of
from serving.usage.asking import answer, seen_by, shown_days, told_by_token, versions_in
from serving.usage.edges import counted_until, is_noted, stored_usage
from serving.usage.queries import Asked, Question
from serving.usage.standing import noted_since

if TYPE_CHECKING:
    from datetime import date, datetime

    from django.http import HttpRequest

    from serving.usage.queries import Used

#: Readers that are named.
MOST_NAMED = 10


@panel(Feature, is_wide=True)
def feature_usage_panel(request: HttpRequest, feature: Feature) -> str:
    """Show who read the feature of this version, day by day."""
    version = feature.version
    if not version.number:
        return ""
    view = version.feature_view
    asked = asked_by(request, view.project)._replace(
        view=view.name, version=version.number, feature=feature.name
    )
    return _panel(request, asked, version.approved_at)


@panel(FeatureService, is_wide=True)
def service_usage_panel(request: HttpRequest, service: FeatureService) -> str:
    """Show who asked for the service by its name, day by day."""
    asked = asked_by(request, service.project)._replace(service=service.name)
    return _panel(request, asked, None)


@panel(FeatureViewVersion, is_wide=True)
def deprecated_usage_panel(request: HttpRequest, version: FeatureViewVersion) -> str:
    """Show who still reads a deprecated version."""
    if version.state != State.DEPRECATED or not version.number:
        return ""
    view = version.feature_view
    asked = asked_by(request, view.project)._replace(view=view.name, version=version.number)
    return _panel(request, asked, version.approved_at, is_deprecated=True)


@panel(Project)
def project_usage_panel(request: HttpRequest, project: Project) -> str:
    """Show who reads most of a project, and who still reads what is deprecated."""
    if not is_noted():
        return ""
    asked = asked_by(request, project)
    leaving = tuple(map(str, versions_in(project, State.DEPRECATED)))
    context: dict[str, Any] = _until() | {"sees_all": asked.views is None}
    old = Question(["view", "version", "reader"], leaving)
    try:
        readers, on_old = answer(stored_usage(), asked, Question(["reader"]), old)
    except Unavailable as exc:
        context["why_not"] = exc.message
    else:
        context |= {
            "readers": readers[:MOST_NAMED],
            "more": max(0, len(readers) - MOST_NAMED),
            "on_old": on_old[:MOST_NAMED],
            "more_old": max(0, len(on_old) - MOST_NAMED),
        }
    return render_to_string("serving/admin/project_usage_panel.html", context, request)


def asked_by(request: HttpRequest, project: Project) -> Asked:
    """Ask for the reads of a project that whoever looks may see, of as many days as are shown."""
    user = acting_user(request)
    since = timezone.now() - timedelta(days=shown_days(settings.USAGE_DAYS))
    asked = Asked(project.name, since, views=seen_by(user, project), own=pseudonym_of(user))
    return told_by_token(asked, project=project, user=user)


def _until() -> dict[str, Any]:
    """Return of which days a panel tells, and until when what it tells is all."""
    days, now = shown_days(settings.USAGE_DAYS), timezone.now()
    return {"days": days, "now": now, "counted_until": counted_until(now)}


def _panel(
    request: HttpRequest, asked: Asked, since: datetime | None, *, is_deprecated: bool = False
) -> str:
    """Return the panel; ``since``: from when on it could be read."""
    if not is_noted():
        return ""
    context: dict[str, Any] = _until() | {
        "sees_all": asked.views is None or asked.view in asked.views,
        "is_deprecated": is_deprecated,
    }
    try:
        questions = Question(["reader", "door"]), Question(["day"])
        readers, by_day = answer(stored_usage(), asked, *questions)
    except Unavailable as exc:
        return _rendered(request, context | {"why_not": exc.message})
    began = max(filter(None, (since, noted_since(context["now"]), asked.since)))
    return _rendered(
        request,
        context
        | {
            "readers": readers[:MOST_NAMED],
            "more": max(0, len(readers) - MOST_NAMED),
            "reads": sum(each.reads for each in readers),
            "last_at": max((each.last_at for each in readers), default=None),
            "chart": _chart(by_day, context["days"]),
            "began": began,
            "is_old": began <= asked.since,
            "is_counted": began < (context["counted_until"] or began),
        },
    )


def _chart(by_day: list[Used], of_days: int) -> str:
    reads: dict[date, int] = {each.by["day"]: each.reads for each in by_day}
    if not reads:
        return ""
    today = timezone.now().date()
    days = [today - timedelta(days=back) for back in range(of_days, -1, -1)]
    values = [float(reads.get(day, 0)) for day in days]
    words = f"Reads a day, over {of_days} days"
    return course(values, words, shape="{:,.0f}", ends=[f"{days[0]}", f"{days[-1]}"])


def _rendered(request: HttpRequest, context: dict[str, Any]) -> str:
    return render_to_string("serving/admin/usage_panel.html", context, request)
