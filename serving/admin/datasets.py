"""Datasets: what each is made of, what its values look like, who made and downloaded it.

Not for its rows: those are downloaded.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import display

from lib.clock import database_now
from materialization.admin.profile_table import profile_table
from materialization.disclosure import Disclosure
from materialization.edges.stores import dataset_files
from registry import access
from registry.admin import addresses
from registry.admin.attempts import attempt
from registry.admin.base import ScopedAdmin
from registry.admin.feature_page import lineage_context
from registry.admin.filters import ProjectFilter, column_filter
from registry.admin.scope import projects_with
from registry.choices import Right
from registry.lineage import graph_of
from registry.lineage_graph import Key
from registry.markup import badge, breakable, link, muted, utc_stacked
from registry.models import AuditEntry
from serving.choices import WorkStatus
from serving.datasets.checks import request_check
from serving.datasets.comparing import differences
from serving.datasets.disclosure import WHY_WITHHELD, may_know, without_hashes
from serving.datasets.ending import downloads_in_trail, downloads_of, end_dataset, may_end
from serving.datasets.lineage import KIND, find
from serving.models import Dataset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest, HttpResponse
    from django.utils.safestring import SafeString

    from serving.models import DatasetPart

#: Checks, downloads, and other versions that a page names.
SHOWN = 20


@admin.register(Dataset)
class DatasetAdmin(ScopedAdmin):
    page = "serving/admin/dataset.html"
    posts: ClassVar[dict[str, str]] = {
        "verify": "having dataset {object_id} computed again",
        "end": "ending dataset {object_id}",
    }
    list_display = ("title", "status_badge", "rows_count", "features", "asked", "hash_start")
    list_filter = (column_filter("status"), ProjectFilter)
    search_fields = ("name", "manifest_hash")
    search_help_text = "Search by name or manifest's hash"
    empty_hint = "A program makes one: store.create_dataset(name, frame, features)"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Dataset]:
        rows: QuerySet[Dataset] = super().get_queryset(request)
        return rows.select_related("project", "requested_by", "ended_by").defer(
            "manifest", "profile"
        )

    def content(self, request: HttpRequest, obj: Dataset) -> dict[str, Any]:
        related = "version__feature_view__project", "version__table", "hold"
        parts = list(obj.parts.select_related(*related))
        may_read = all(
            access.can(request.user, Right.READ_OFFLINE, part.version.feature_view)
            for part in parts
        )
        knows = may_know(obj, request.user, at=timezone.now())
        others = Dataset.objects.filter(project=obj.project, name=obj.name).exclude(pk=obj.pk)
        return {
            "dataset": obj,
            "knows": knows,
            "withheld": WHY_WITHHELD,
            "manifest": _manifest(obj, knows=knows),
            "parts": parts,
            "profile": _profile(request, obj, parts),
            "checks": obj.checks.select_related("requested_by")[:SHOWN],
            "downloads": _downloads(request, obj),
            "others": others.defer("manifest", "profile")[:SHOWN],
            "compared": _compared(request, obj, others),
            "may_verify": may_read and obj.status == WorkStatus.DONE,
            "may_end": obj.status == WorkStatus.DONE and may_end(obj, request.user),
            "known_downloads": downloads_of(obj),
            **_lineage(obj),
        }

    def verify(self, request: HttpRequest, obj: Dataset) -> HttpResponse | None:
        actor, at = access.acting_user(request), database_now()
        attempt(request, partial(request_check, dataset=obj, actor=actor, at=at))
        return None

    def end(self, request: HttpRequest, obj: Dataset) -> HttpResponse | None:
        operation = partial(
            end_dataset,
            dataset=obj,
            actor=access.acting_user(request),
            reason=request.POST.get("reason", ""),
            despite_downloads="despite_downloads" in request.POST,
            keeper=dataset_files(),
            at=database_now(),
        )
        attempt(request, operation, done=f"{obj} is ended: its rows are removed.")
        return None

    @display(description="Dataset", ordering="name")
    def title(self, dataset: Dataset) -> SafeString:
        return link(dataset)

    @display(description="Status", ordering="status")
    def status_badge(self, dataset: Dataset) -> SafeString:
        return badge(dataset.status)

    @display(description="Rows", ordering="rows")
    def rows_count(self, dataset: Dataset) -> str:
        return f"{dataset.rows:,}"

    @display(description="Features")
    def features(self, dataset: Dataset) -> str:
        return f"{len(dataset.columns):,}"

    @display(description="Asked for by", ordering="requested_at")
    def asked(self, dataset: Dataset) -> SafeString:
        who = breakable(dataset.requested_by.get_username())
        return format_html("{}<br>{}", who, utc_stacked(dataset.requested_at))

    @display(description="Manifest's hash")
    def hash_start(self, dataset: Dataset) -> SafeString | str:
        return dataset.manifest_hash[:12] or muted("none")


def _lineage(dataset: Dataset) -> dict[str, Any]:
    """Return what it comes from; nothing of one that has no rows yet."""
    key = Key(KIND, str(dataset))
    graph = graph_of(dataset.project, named=key)
    return lineage_context(graph, dataset.project.name, [key]) if graph.has(key) else {}


def _profile(
    request: HttpRequest, dataset: Dataset, parts: Sequence[DatasetPart]
) -> dict[str, Any]:
    """Return what the values look like, as far as whoever looks may know."""
    said = dataset.profile
    if not said:
        return {}
    shown = Disclosure(request.user, at=timezone.now())
    columns = []
    for column, found in zip(dataset.columns, said["columns"], strict=True):
        version = parts[column["part"]].version
        told = shown.column(version, {**found, "name": column["feature"]})
        columns.append({**told, "name": column["name"]})
    return profile_table({**said, "columns": columns}, ())


def _downloads(request: HttpRequest, dataset: Dataset) -> list[AuditEntry] | None:
    """Return who downloaded it, newest first; None for those who may not read the trail."""
    if dataset.project_id not in projects_with(request, Right.VIEW_AUDITENTRY):
        return None
    entries = AuditEntry.objects.named().filter(pk__in=downloads_in_trail(dataset).values("pk"))
    return list(entries.order_by("-id")[:SHOWN])


def _compared(
    request: HttpRequest, dataset: Dataset, others: QuerySet[Dataset]
) -> dict[str, Any] | None:
    """Return how it differs from the version that the address asks it to be compared with."""
    number = request.GET.get("with", "")
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        return None
    other = others.filter(number=int(number)).first()
    if other is None or not (dataset.manifest and other.manifest):
        return None
    before, after = (
        _manifest(each, knows=may_know(each, request.user, at=timezone.now()))
        for each in (other, dataset)
    )
    return {"other": other, "lines": list(differences(before, after))}


def _manifest(dataset: Dataset, *, knows: bool) -> dict[str, Any]:
    return dataset.manifest if knows else without_hashes(dataset.manifest)


addresses.register(KIND, find)
