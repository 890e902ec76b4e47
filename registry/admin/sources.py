"""Data sources: what versions took each for, what it is now, and what depends on it.

Not for its files and how fresh they are: apps that read them add panels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.template.response import TemplateResponse
from unfold.decorators import display

from lib.pools import Pool
from registry.admin.attempts import attempt
from registry.admin.catalog import CatalogAdmin
from registry.admin.feature_page import lineage_context
from registry.admin.scope import can_press
from registry.choices import Right
from registry.contracts import as_read, contract_of, newest_reader
from registry.lineage import graph_of
from registry.lineage_graph import Key, NodeKind
from registry.looking import get_looking
from registry.models import DataSource
from registry.operations.lifecycle.submissions import looked_at
from registry.spec.sources.push import PushSource

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from registry.contracts import Contract
    from registry.looking import Look
    from registry.models.catalog import CatalogObject

#: Features that a column's line names.
MOST_NAMED = 8
#: Columns that the page shows.
MOST_COLUMNS = 500


@admin.register(DataSource)
class DataSourceAdmin(CatalogAdmin):
    page = "registry/admin/source.html"
    list_display = ("title", "project", "kind", "path", "words", "owned_by", "changed")
    posts: ClassVar[dict[str, str]] = {"look": "looking at a source"}
    pools: ClassVar[dict[str, Pool]] = {"look": Pool.PLANS}

    def is_used(self, obj: CatalogObject, view: Any) -> bool:
        return obj.name in (view.source, *(join.name for join in view.sources))

    def content(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        return self._content(request, obj, None)

    def look(self, request: HttpRequest, obj: DataSource) -> HttpResponse | None:
        """Look at what the source is now, as the newest version reads it."""
        version = newest_reader(contract_of(obj))
        if version is None or not can_press(request, Right.CHANGE_FEATUREVIEW, obj.project):
            return None
        specs = [as_read(looked_at(version), obj.name)]

        def see() -> Look:
            return get_looking()(specs=specs, project=obj.project)[0]

        seen = attempt(request, see, wanted=f"looking at {obj}")
        context = self.frame(request, obj) | self._content(request, obj, seen)
        return TemplateResponse(request, self.page, context)

    def _content(self, request: HttpRequest, obj: DataSource, seen: Look | None) -> dict[str, Any]:
        contract = contract_of(obj, seen.schema if seen else None)
        graph = graph_of(obj.project)
        key = Key(NodeKind.SOURCE, obj.name)
        return {
            **super().content(request, obj),
            "columns": _columns(contract),
            "columns_count": len(contract.columns),
            "has_more_versions": contract.has_more,
            "seen": seen,
            "broken": [c for c in contract.columns if c.is_gone or c.is_other],
            "may_look": bool(contract.versions)
            and not isinstance(obj.spec, PushSource)  # its columns are what is declared
            and can_press(request, Right.CHANGE_FEATUREVIEW, obj.project),
            **lineage_context(graph, obj.project.name, [key]),
        }

    @display(description="Type")
    def kind(self, source: DataSource) -> str:
        return source.spec.type

    @display(description="Path")
    def path(self, source: DataSource) -> str:
        return source.spec.where()


def _columns(contract: Contract) -> list[dict[str, Any]]:
    return [
        {
            "column": column,
            "types": [
                (kind, versions if len(column.types) > 1 else [])
                for kind, versions in column.types.items()
            ],
            "features": column.features[:MOST_NAMED],
            "more": max(0, len(column.features) - MOST_NAMED),
        }
        for column in contract.columns[:MOST_COLUMNS]
    ]
