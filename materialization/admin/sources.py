"""What a source's page shows of reading it: how fresh each view is, and which files were read.

Not for the source as it is now: the registry's page looks at that when it is asked to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.db.models import Count, Max, Min
from django.template.loader import render_to_string
from django.utils import timezone

from lib.clock import database_now
from materialization.models import MaterializationRun, SourcePart
from materialization.quality.freshness import freshness_of
from registry import access
from registry.admin.panels import panel
from registry.choices import SERVED_STATES, EvidencePart, Right
from registry.contracts import contract_of
from registry.evidence import evidence_of, shown_parts, sight_of
from registry.models import DataSource
from registry.spec.sources.arriving import ArrivingSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.http import HttpRequest

    from registry.models import FeatureViewVersion

FILES = 25
MOST_VIEWS = 50
#: Versions whose evidence is looked through for rows that may be shown.
MOST_TRIED = 10


@panel(DataSource, is_wide=True)
def reading_panel(request: HttpRequest, source: DataSource) -> str:
    """Show how fresh what is read of the source is; its files to those who may read or run."""
    if isinstance(source.spec, ArrivingSource):
        return ""  # no run reads it; what waits and was stored is another panel's
    read_by = contract_of(source).versions
    versions = [v for v in read_by if v.state in SERVED_STATES and v.table_id]
    may_see = access.can(request.user, Right.READ_OFFLINE, source.project) or access.can(
        request.user, Right.MATERIALIZE_FEATUREVIEW, source.project
    )
    context = {
        "source": source,
        "lines": _lines(versions[:MOST_VIEWS]),
        "more": max(0, len(versions) - MOST_VIEWS),
        "files": _files(request, versions) if may_see else None,
        "sample": _sample(request, read_by),
    }
    return render_to_string("materialization/admin/source_reading.html", context, request)


def _sample(request: HttpRequest, versions: Sequence[FeatureViewVersion]) -> dict[str, Any] | None:
    """Return rows as the newest version makes them whose evidence has some that may be shown."""
    newest = sorted(versions, key=lambda version: version.pk, reverse=True)
    for version in newest[:MOST_TRIED]:
        evidence = evidence_of(version) if version.packet_hash else None
        if evidence is None or not evidence.is_computed:
            continue
        sight = sight_of(request.user, version, at=timezone.now())
        profile = shown_parts(evidence, sight).get(EvidencePart.PROFILE, {})
        rows, withheld = profile.get("values", {}).get("sample"), sorted(sight.withheld)
        # Where a grant is lacking there may be no rows left to show: the page says so.
        if rows or (sight.values and withheld):
            return {"version": version, "rows": rows or [], "withheld": withheld}
    return None


def _lines(versions: Sequence[FeatureViewVersion]) -> list[dict[str, Any]]:
    fresh = freshness_of(versions, at=database_now())
    newest = MaterializationRun.objects.filter(table__in={v.table_id for v in versions})
    last = dict(newest.order_by().values_list("table").annotate(Max("pk")))
    runs = MaterializationRun.objects.select_related("version__feature_view").in_bulk(
        list(last.values())
    )
    return [
        {
            "version": version,
            "fresh": fresh.get(version),
            "run": runs.get(last.get(version.table_id, 0)),
        }
        for version in versions
    ]


def _files(request: HttpRequest, versions: Sequence[FeatureViewVersion]) -> Any:
    """Return a page of the files, each once however many tables read it."""
    parts = SourcePart.objects.filter(table__in={v.table_id for v in versions})
    files = (
        parts.order_by().values("name").annotate(
            tables=Count("table"), read_until=Min("read_until"), known_since=Min("known_since")
        ).order_by("name")
    )  # fmt: skip
    return Paginator(files, FILES).get_page(request.GET.get("files"))
