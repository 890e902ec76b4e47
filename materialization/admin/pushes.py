"""What a source's page shows of rows that arrive: which wait to be stored, or for their time.

Not for taking them, nor for what streams have left (``streams``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.template.loader import render_to_string

from lib.clock import database_now
from lib.errors import AssayError
from materialization.edges.stores import later_rows, push_log
from materialization.requests.draining import DRAINED_WITHIN
from registry import access
from registry.admin.panels import panel
from registry.choices import SERVED_STATES, Right
from registry.models import AuditEntry, DataSource, FeatureViewVersion
from registry.queries import may_arrive
from registry.spec.sources.arriving import ArrivingSource
from registry.spec.sources.push import PushSource

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest

    from materialization.stores.log_standing import LogStanding

MOST_TABLES = 50
#: Versions of a project, the newest, among which those of a source are looked for.
MOST_VERSIONS = 1_000
#: How far back the trail is looked through, and how many entries of it at most.
DAY, MOST_ENTRIES = timedelta(days=1), 2_000
#: Whoever may do one of these to the source's views sees how they are fed.
MAY_SEE = (Right.READ_OFFLINE, Right.MATERIALIZE_FEATUREVIEW, Right.PUSH_FEATUREVIEW)
#: As ``serving`` calls them in the trail.
_VERBS = {"rows.pushed": "taken", "rows.refused": "refused"}


class Line(NamedTuple):
    """One table: the versions it serves, its log, and how many of its rows lie in the future."""

    versions: list[FeatureViewVersion]
    log: LogStanding
    later: int
    is_late: bool


@panel(DataSource, is_wide=True)
def pushed_panel(request: HttpRequest, source: DataSource) -> str:
    """Show, of a source whose rows arrive, what of them waits; nothing of others."""
    project = source.project
    if not isinstance(source.spec, ArrivingSource):
        return ""
    if not any(access.can(request.user, right, project) for right in MAY_SEE):
        return ""
    reading = _reading(source)
    versions = [each for each in reading if each.state in SERVED_STATES]
    now = database_now()
    context: dict[str, Any] = {"is_pushed": isinstance(source.spec, PushSource)}
    try:
        context |= _standing(versions, now)
    except AssayError as exc:
        context["silent"] = exc.message
    if context["is_pushed"]:
        context |= _told({str(each) for each in reading}, source, now)
    return render_to_string("materialization/admin/source_pushes.html", context, request)


def _reading(source: DataSource) -> list[FeatureViewVersion]:
    """Return the versions that a source's rows go to, or went to."""
    found = FeatureViewVersion.objects.filter(
        may_arrive(), feature_view__project=source.project, table__isnull=False
    )
    found = found.select_related("feature_view__project", "table").defer("packet")
    return [
        each
        for each in found.order_by("-pk")[:MOST_VERSIONS]
        if each.spec.is_pushed and each.spec.rows_from.name == source.name
    ][::-1]


def _standing(versions: list[FeatureViewVersion], now: datetime) -> dict[str, Any]:
    """:raises Unavailable: Redis does not answer."""
    tables: dict[str, list[FeatureViewVersion]] = {}
    for version in versions:
        if version.table is not None:
            tables.setdefault(version.table.uid, []).append(version)
    pushed, later = push_log(), later_rows()
    lines = []
    for uid, served in list(tables.items())[:MOST_TABLES]:
        log = pushed.standing(uid)
        is_late = log.since is not None and now - log.since > DRAINED_WITHIN
        lines.append(Line(served, log, later.waiting(uid), is_late))
    return {"lines": lines, "more": max(0, len(tables) - MOST_TABLES)}


def _told(versions: set[str], source: DataSource, now: datetime) -> dict[str, Any]:
    """Return how many rows for these versions the trail says were taken and refused, since when."""
    newest = AuditEntry.objects.filter(project_name=source.project.name).order_by("-id")
    oldest, since = newest[MOST_ENTRIES - 1 : MOST_ENTRIES].values_list("at", flat=True), now - DAY
    entries = AuditEntry.objects.filter(
        pk__in=newest.values("pk")[:MOST_ENTRIES], verb__in=_VERBS, at__gte=since
    )
    found = dict.fromkeys(_VERBS.values(), 0)
    for verb, label, after in entries.order_by().values_list("verb", "subject_label", "after"):
        if not versions.isdisjoint(label.split()):
            found[_VERBS[verb]] += (after or {}).get("more", 0)
    return found | {"since": max([since, *oldest]), "told_every": settings.PUSHES_TOLD_SECONDS}
