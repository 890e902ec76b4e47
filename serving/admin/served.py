"""What reads of a feature answered beside its baseline: a part of the feature's page, and links to
it on its version's.

Shown while the project samples its reads, to those whom ``GET usage`` shows samples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone

from lib.errors import Forbidden, NotFound, Unavailable
from materialization.admin.shares import shares_of
from registry.access import acting_user, can
from registry.admin.panels import panel
from registry.choices import SENSITIVE, Right
from registry.models import Feature, FeatureViewVersion
from registry.spec.drift import MEASURES
from serving.admin.usage import asked_by
from serving.usage.asking import shown_days
from serving.usage.edges import is_noted, stored_usage
from serving.usage.sampled import newest_samples, require_samples
from serving.usage.served import MOST_COMPARED, compared

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from django.http import HttpRequest

    from serving.usage.served import Served

#: Features of a version that are named.
MOST_LINKS = 50


@panel(Feature, is_wide=True)
def served_panel(request: HttpRequest, feature: Feature) -> str:
    """Compare sampled values of this version with its baseline, for those who may see them."""
    version = feature.version
    project, view = version.feature_view.project, version.feature_view.name
    if not (version.number and is_noted() and project.usage_sampled_one_in):
        return ""
    asked = asked_by(request, project)._replace(
        view=view, version=version.number, feature=feature.name
    )
    try:
        require_samples(asked, project=project, user=acting_user(request), at=timezone.now())
    except (Forbidden, NotFound):
        return ""
    context: dict[str, Any] = {"days": shown_days(settings.USAGE_DAYS), "project": project}
    try:
        newest, unkept = newest_samples(stored_usage(), asked, MOST_COMPARED)
    except Unavailable as exc:
        context["why_not"] = exc.message
    else:
        found = compared(newest, [feature])
        context |= _shown(found[0]) if found else {}
        context["unkept"] = unkept
    return render_to_string("serving/admin/served_panel.html", context, request)


@panel(FeatureViewVersion)
def served_links_panel(request: HttpRequest, version: FeatureViewVersion) -> str:
    """Lead to what sampled reads of each feature answered: all at once would read all for each."""
    view = version.feature_view
    if not (version.number and is_noted() and view.project.usage_sampled_one_in):
        return ""
    if not can(acting_user(request), Right.READ_OFFLINE, view):
        return ""
    open_ones = {each.name for each in version.spec.features if each.sensitivity not in SENSITIVE}
    features = list(version.features.filter(name__in=open_ones).order_by("pk"))
    context = {"features": features[:MOST_LINKS], "more": max(0, len(features) - MOST_LINKS)}
    return render_to_string("serving/admin/served_links_panel.html", context) if features else ""


def _shown(served: Served) -> dict[str, Any]:
    now, base = served.now, served.base
    return {
        "served": served,
        "is_part": served.samples >= MOST_COMPARED,
        "statuses": sorted(served.statuses.items()),
        "figures": list(_figures(served)),
        "shares": shares_of(base, now, "at the baseline and in sampled reads")
        if "psi" in served.drift
        else None,
    }


def _figures(served: Served) -> Iterator[tuple[str, str]]:
    """Yield what was measured, in words: nulls as the shares they are, the rest as distances."""
    if "null_share" in served.drift and served.base is not None:
        for words, each in ("in the baseline", served.base), ("in the samples", served.now):
            yield f"share of nulls {words}", f"{each.nulls / each.rows:.2%}"
    for name, words in MEASURES.items():
        if name in served.drift and name != "null_share":
            yield f"{words}, from the baseline", f"{float(served.drift[name]):,.4g}"
