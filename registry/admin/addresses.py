"""Pages by name: addresses that stay when what they show gets another version.

Not for what the pages show: each has its own module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import Http404, HttpResponseRedirect
from django.urls import reverse

from registry.admin.scope import projects_with
from registry.catalogue.named import named_feature
from registry.lineage_graph import NodeKind
from registry.models import DataSource, FeatureService, FeatureView, Project

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import Model
    from django.http import HttpRequest, HttpResponse


#: How things of apps above are found by their names, by kind.
_finders: dict[str, Callable[[Project, str], Model | None]] = {}


def register(kind: str, find: Callable[[Project, str], Model | None]) -> None:
    """Have the pages of an app's things be found by name."""
    _finders[kind] = find


def named_url(project: str, kind: str, name: str) -> str:
    """Return the address of a thing's page by its name, which stays when the thing changes."""
    # Parts of an address that mean a folder would be taken away by the browser.
    if name in (".", "..") or "/../" in f"/{name}/" or "/./" in f"/{name}/":
        return reverse("admin:registry_feature_changelist")
    return reverse("admin:registry_feature_of", args=[project, kind, name])


def by_name_view(request: HttpRequest, project: str, kind: str, name: str) -> HttpResponse:
    """Lead from a name to the page that it means now."""
    found = Project.objects.filter(pk__in=projects_with(request), name=project).first()
    obj = _named(found, kind, name) if found else None
    if obj is None:
        raise Http404(f"there is no {kind} {name!r} that you can see")
    page = f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change"
    return HttpResponseRedirect(reverse(page, args=[obj.pk]))


def _named(project: Project, kind: str, name: str) -> Model | None:
    if kind == NodeKind.FEATURE:
        return named_feature(project, name)
    if kind == NodeKind.COLUMN:
        kind, name = NodeKind.SOURCE, name.partition(".")[0]
    if (find := _finders.get(kind)) is not None and "\x00" not in name:
        return find(project, name)
    models: dict[str, type[Model]] = {
        NodeKind.SOURCE: DataSource,
        NodeKind.SERVICE: FeatureService,
        "feature-view": FeatureView,
    }
    if kind not in models or "\x00" in name:
        return None
    return models[kind]._default_manager.filter(project=project, name=name).first()
