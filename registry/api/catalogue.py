"""The catalogue over HTTP: entities, data sources, feature views and services, listed and single.

Not for changing them: definitions are registered, see ``definitions``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.response import Response

from lib.api import API, described
from lib.errors import NotFound, did_you_mean
from lib.parameters import PAGE, paged
from registry import access
from registry.api.filters import matching
from registry.api.serializers import (
    data_source_output,
    entity_output,
    feature_service_output,
    feature_view_output,
)
from registry.choices import SERVED_STATES
from registry.facts import facts_of
from registry.models import DataSource, Entity, FeatureService, FeatureView, FeatureViewVersion

if TYPE_CHECKING:
    from collections.abc import Callable

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
    """One kind of object: its rows with all that describing them reads, and the description."""

    rows: QuerySet[Any]
    output: Callable[[Any], dict[str, Any]]
    #: Adds to those of a page, in a project, what is asked for all of them at once.
    finish: Callable[[str, list[dict[str, Any]]], None] = lambda project, outputs: None


def _add_facts(project: str, views: list[dict[str, Any]]) -> None:
    """Add to each version of the described views what other apps say of it."""
    names = {view["name"] for view in views}
    versions = FeatureViewVersion.objects.filter(
        feature_view__project__name=project, feature_view__name__in=names, state__in=SERVED_STATES
    )
    found = list(versions.select_related("feature_view", "table").defer("packet"))
    said = facts_of(found)
    by_name = {(each.feature_view.name, each.number): said[each.pk] for each in found}
    for view in views:
        for line in view["versions"]:
            line |= by_name.get((view["name"], line["version"]), {})


ENTITIES = Catalogue(Entity.objects.order_by("name"), entity_output)
DATA_SOURCES = Catalogue(DataSource.objects.order_by("name"), data_source_output)
FEATURE_VIEWS = Catalogue(
    FeatureView.objects.select_related("default_version")
    .prefetch_related("versions__table")
    .order_by("name"),
    feature_view_output,
    _add_facts,
)
FEATURE_SERVICES = Catalogue(
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

    @extend_schema(parameters=described(QUERY), responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project)
        rows = self.catalogue.rows.filter(project=found)
        outputs = (self.catalogue.output(row) for row in rows)
        response = paged(request, matching(outputs, request.query_params))
        self.catalogue.finish(project, response.data["results"])
        return response


class CatalogueDetailAPI(API):
    """What all single objects share: who may see them, and the nearest name for a wrong one."""

    attempt = "looking at {name}"
    catalogue: ClassVar[Catalogue]

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, project: str, name: str) -> Response:
        found = access.access_project(request.user, project)
        rows = self.catalogue.rows.filter(project=found)
        row = rows.filter(name=name).first()
        if row is None:
            noun = self.catalogue.rows.model._meta.verbose_name
            known = rows.values_list("name", flat=True)
            raise NotFound(f"project {project} has no {noun} {name!r}.{did_you_mean(name, known)}")
        output = self.catalogue.output(row)
        self.catalogue.finish(project, [output])
        return Response(output)


def _operation(name: str, does: str) -> Callable[[type[API]], type[API]]:
    return extend_schema_view(get=extend_schema(operation_id=name, description=does))


@_operation("list_entities", "List the entities.")
class EntitiesAPI(CatalogueListAPI):
    catalogue = ENTITIES


@_operation("get_entity", "Describe one entity.")
class EntityAPI(CatalogueDetailAPI):
    catalogue = ENTITIES


@_operation("list_data_sources", "List the data sources.")
class DataSourcesAPI(CatalogueListAPI):
    catalogue = DATA_SOURCES


@_operation("get_data_source", "Describe one data source.")
class DataSourceAPI(CatalogueDetailAPI):
    catalogue = DATA_SOURCES


@_operation("list_feature_views", "List the feature views with their versions and features.")
class FeatureViewsAPI(CatalogueListAPI):
    catalogue = FEATURE_VIEWS


@_operation("get_feature_view", "Describe one feature view by its default or newest version.")
class FeatureViewAPI(CatalogueDetailAPI):
    catalogue = FEATURE_VIEWS


@_operation("list_feature_services", "List the feature services.")
class FeatureServicesAPI(CatalogueListAPI):
    catalogue = FEATURE_SERVICES


@_operation("get_feature_service", "Describe the current version of one feature service.")
class FeatureServiceAPI(CatalogueDetailAPI):
    catalogue = FEATURE_SERVICES
