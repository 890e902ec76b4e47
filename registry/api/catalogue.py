"""The catalogue over HTTP: entities, data sources, feature views and services, listed and single.

Not for changing them: definitions are registered, see ``definitions``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.response import Response

from lib.answer_schemas import answers, pages
from lib.api import API, described
from lib.errors import NotFound, did_you_mean
from lib.parameters import PAGE, paged
from registry import access
from registry.api.answers import (
    DataSourceAnswer,
    EntityAnswer,
    FeatureServiceAnswer,
    FeatureViewAnswer,
    MemberHealthAnswer,
    OneFeatureService,
    VersionLine,
)
from registry.api.filters import is_searched, matching
from registry.api.serializers import (
    data_source_output,
    entity_output,
    feature_service_output,
    feature_view_brief,
    feature_view_output,
)
from registry.catalogue.facts import facts_of
from registry.catalogue.told import told_of
from registry.choices import SERVED_STATES
from registry.glass import GLASS
from registry.models import DataSource, Entity, FeatureService, FeatureView
from registry.newest import shown_of, shown_versions, states_of
from registry.service_health import health_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from django.db.models import QuerySet
    from rest_framework.request import Request

QUERY = {
    "q": "words in name, description or feature names",
    "tag": "key or key:value",
    "owner": "owner",
    "entity": "entity name",
    "sensitivity": "of any feature",
    "state": "of any version",
    **PAGE,
}


class Catalogue(NamedTuple):
    """One kind of object: its rows, how some of them are described, and as what they are searched.

    A list may be long: all of it is searched by as little as is asked, and one page is described.
    """

    rows: QuerySet[Any]
    outputs: Callable[[QuerySet[Any]], list[Any]]
    #: Of all rows, in their order; as they are described where that is short.
    briefs: Callable[[QuerySet[Any]], Iterable[dict[str, Any]]]


def _each(rows: QuerySet[Any], output: Callable[[Any], Any]) -> Catalogue:
    def outputs(some: QuerySet[Any]) -> list[Any]:
        return [output(row) for row in some]

    return Catalogue(rows, outputs, outputs)


def _view_outputs(views: QuerySet[FeatureView]) -> list[FeatureViewAnswer]:
    """Describe views, with what other apps say of their versions that are shown."""
    shown = shown_of(views)
    found = [(view, shown[view.pk]) for view in views if view.pk in shown]
    outputs = [feature_view_output(view, each) for view, each in found]
    served = [v for _, each in found for v in each.newest if v.state in SERVED_STATES]
    said = facts_of(served)
    for output, (_, each) in zip(outputs, found, strict=True):
        for line, version in zip(output["versions"], each.newest, strict=True):
            line.update(cast("VersionLine", said.get(version.pk, {})))
    return outputs


def _view_briefs(views: QuerySet[FeatureView]) -> Iterator[dict[str, Any]]:
    speaks, states = shown_versions(views), states_of(views)
    for view in views:
        if view.pk in speaks:
            yield feature_view_brief(view, speaks[view.pk], states[view.pk])


ENTITIES = _each(Entity.objects.order_by("name"), entity_output)
DATA_SOURCES = _each(DataSource.objects.order_by("name"), data_source_output)
FEATURE_VIEWS = Catalogue(
    FeatureView.objects.select_related(
        "default_version__table", *(f"default_version__{each}" for each in GLASS)
    )
    .defer("default_version__packet")
    .order_by("name"),
    _view_outputs,
    _view_briefs,
)
FEATURE_SERVICES = _each(
    FeatureService.objects.select_related("current")
    .prefetch_related("current__members__feature_view__default_version")
    .order_by("name"),
    feature_service_output,
)


class CatalogueListAPI(API):
    """What all lists share: who may see them, their filters and their pages."""

    attempt = "looking through the catalogue"
    parameters = QUERY
    catalogue: ClassVar[Catalogue]

    @extend_schema(parameters=described(QUERY))
    def get(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project)
        rows = told_of(request.user, found, self.catalogue.rows.filter(project=found))
        names: list[str] | QuerySet[Any] = rows.values_list("name", flat=True)
        if is_searched(request.query_params):
            briefs = matching(self.catalogue.briefs(rows), request.query_params)
            names = [brief["name"] for brief in briefs]
        response = paged(request, names)
        page = rows.filter(name__in=response.data["results"])
        response.data["results"] = self.catalogue.outputs(page)
        return response


class CatalogueDetailAPI(API):
    """What all single objects share: who may see them, and the nearest name for a wrong one."""

    attempt = "looking at {name}"
    catalogue: ClassVar[Catalogue]

    def get(self, request: Request, project: str, name: str) -> Response:
        found = access.access_project(request.user, project)
        rows = told_of(request.user, found, self.catalogue.rows.filter(project=found))
        outputs = self.catalogue.outputs(rows.filter(name=name))
        if not outputs:
            noun = self.catalogue.rows.model._meta.verbose_name
            known = rows.values_list("name", flat=True)
            raise NotFound(f"project {project} has no {noun} {name!r}.{did_you_mean(name, known)}")
        return Response(outputs[0] | self.more(rows.filter(name=name)))

    def more(self, rows: QuerySet[Any]) -> dict[str, Any]:
        """Return what only a single object says: too much to ask for each of a list."""
        return {}


def _operation(name: str, does: str, responses: dict[Any, Any]) -> Callable[[type[API]], type[API]]:
    said = extend_schema(operation_id=name, description=does, responses=responses)
    return extend_schema_view(get=said)


@_operation("list_entities", "List the entities.", pages(EntityAnswer))
class EntitiesAPI(CatalogueListAPI):
    catalogue = ENTITIES


@_operation("get_entity", "Describe one entity.", answers(EntityAnswer))
class EntityAPI(CatalogueDetailAPI):
    catalogue = ENTITIES


@_operation("list_data_sources", "List the data sources.", pages(DataSourceAnswer))
class DataSourcesAPI(CatalogueListAPI):
    catalogue = DATA_SOURCES


@_operation("get_data_source", "Describe one data source.", answers(DataSourceAnswer))
class DataSourceAPI(CatalogueDetailAPI):
    catalogue = DATA_SOURCES


@_operation(
    "list_feature_views",
    "List the feature views with their versions and features.",
    pages(FeatureViewAnswer),
)
class FeatureViewsAPI(CatalogueListAPI):
    catalogue = FEATURE_VIEWS


@_operation(
    "get_feature_view",
    "Describe one feature view by its default or newest version.",
    answers(FeatureViewAnswer),
)
class FeatureViewAPI(CatalogueDetailAPI):
    catalogue = FEATURE_VIEWS


@_operation("list_feature_services", "List the feature services.", pages(FeatureServiceAnswer))
class FeatureServicesAPI(CatalogueListAPI):
    catalogue = FEATURE_SERVICES


@_operation(
    "get_feature_service",
    "Describe the current version of one feature service.",
    answers(OneFeatureService),
)
class FeatureServiceAPI(CatalogueDetailAPI):
    catalogue = FEATURE_SERVICES

    def more(self, rows: QuerySet[FeatureService]) -> dict[str, Any]:
        row = rows.get()
        members = list(row.current.members.all()) if row.current else []
        health: list[MemberHealthAnswer] = [
            {
                "feature": str(each.member),
                "version": str(each.version) if each.version else None,
                "health": each.health,
                "why": each.why,
            }
            for each in health_of(row.project, members)
        ]
        return {"health": health}
