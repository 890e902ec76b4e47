"""The registry over HTTP: translate, one call, translate.

Not for rules: ``access`` loads and authorises, ``operations`` decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

from registry import access
from registry.choices import Action
from registry.errors import NotFound, did_you_mean
from registry.filters import matching, page_bounds
from registry.models import (
    ApiToken,
    AuditEntry,
    DataSource,
    Entity,
    FeatureService,
    FeatureView,
    Membership,
)
from registry.operations import releases, reviews
from registry.operations.definitions import apply_definitions
from registry.parsers import DefinitionsParser, DefinitionsYamlParser, LooseJsonParser
from registry.probe import get_probe
from registry.serializers import (
    applied_output,
    audit_output,
    data_source_output,
    entity_output,
    feature_service_output,
    feature_view_output,
    review_output,
    timestamp,
    version_output,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rest_framework.request import Request

_QUERY = [OpenApiParameter(name, str, description=text) for name, text in {
    "q": "words in name, description or feature names", "tag": "key or key:value", "owner": "owner",
    "entity": "entity name", "sensitivity": "of any feature", "state": "of any version",
    "limit": "1 to 500, default 50", "offset": "rows to pass over",
}.items()]  # fmt: skip


def editor_ids(request: Request) -> frozenset[int]:
    """Return who counts as having written this: the user, and whoever made the token they came with."""
    token = request.auth if isinstance(request.auth, ApiToken) else None
    return frozenset({request.user.pk, *([token.created_by_id] if token else [])})


def flag(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() in ("1", "true", "yes")


def paged(request: Request, rows: list[Any]) -> Response:
    """Answer one page of rows already in order."""
    limit, offset = page_bounds(request.query_params)
    return Response(
        {
            "count": len(rows),
            **_links(request, len(rows), limit, offset),
            "results": rows[offset : offset + limit],
        }
    )


def _links(request: Request, count: int, limit: int, offset: int) -> dict[str, str | None]:
    def link(to: int) -> str:
        query = request.query_params.copy()
        query["limit"], query["offset"] = str(limit), str(to)
        return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")

    return {
        "next": link(offset + limit) if offset + limit < count else None,
        "previous": link(max(offset - limit, 0)) if offset else None,
    }


class DefinitionsAPI(APIView):
    """Plan or register definitions."""

    parser_classes: ClassVar[Any] = [DefinitionsYamlParser, DefinitionsParser]

    @extend_schema(
        parameters=[
            OpenApiParameter("dry_run", bool, description="plan only, store nothing"),
            OpenApiParameter("submit", bool, description="submit the drafts for review"),
        ],
        request={"application/yaml": OpenApiTypes.STR, "application/json": OpenApiTypes.OBJECT},
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project, "add_featureview")
        dry_run = flag(request, "dry_run")
        changes = apply_definitions(
            request.data,
            project=found,
            actor=request.user,
            at=timezone.now(),
            probe=get_probe(),
            editor_ids=editor_ids(request),
            dry_run=dry_run,
            submit=flag(request, "submit"),
        )
        return Response(
            {
                "project": project,
                "dry_run": dry_run,
                "changes": [applied_output(c) for c in changes],
            }
        )


class CatalogAPI(APIView):
    """Shared by the four catalogue lists and their single objects."""

    model: ClassVar[type[Any]]
    output: ClassVar[Callable[[Any], dict[str, Any]]]

    def objects(self, request: Request, project: str) -> Any:
        found = access.access_project(request.user, project)
        return self.model.objects.filter(project=found).order_by("name")


class CatalogListAPI(CatalogAPI):
    @extend_schema(parameters=_QUERY, responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, project: str) -> Response:
        rows = [type(self).output(thing) for thing in self.objects(request, project)]
        return paged(request, matching(rows, request.query_params))


class CatalogDetailAPI(CatalogAPI):
    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, project: str, name: str) -> Response:
        things = self.objects(request, project)
        thing = things.filter(name=name).first()
        if thing is None:
            noun = self.model._meta.verbose_name
            known = things.values_list("name", flat=True)
            raise NotFound(f"project {project} has no {noun} {name!r}.{did_you_mean(name, known)}")
        return Response(type(self).output(thing))


class EntitiesAPI(CatalogListAPI):
    model, output = Entity, staticmethod(entity_output)


class EntityAPI(CatalogDetailAPI):
    model, output = Entity, staticmethod(entity_output)


class DataSourcesAPI(CatalogListAPI):
    model, output = DataSource, staticmethod(data_source_output)


class DataSourceAPI(CatalogDetailAPI):
    model, output = DataSource, staticmethod(data_source_output)


class FeatureViewsAPI(CatalogListAPI):
    model, output = FeatureView, staticmethod(feature_view_output)


class FeatureViewAPI(CatalogDetailAPI):
    model, output = FeatureView, staticmethod(feature_view_output)


class FeatureServicesAPI(CatalogListAPI):
    model, output = FeatureService, staticmethod(feature_service_output)


class FeatureServiceAPI(CatalogDetailAPI):
    model, output = FeatureService, staticmethod(feature_service_output)


class VersionAPI(APIView):
    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, project: str, name: str, version: str) -> Response:
        return Response(version_output(access.access_version(request.user, project, name, version)))


class ReviewAPI(APIView):
    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, project: str, name: str, version: str) -> Response:
        return Response(review_output(access.access_version(request.user, project, name, version)))


class ActionAPI(APIView):
    """``POST …/{action}`` with ``{"comment": …}``: one step of the lifecycle."""

    parser_classes: ClassVar[Any] = [LooseJsonParser]

    @extend_schema(request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT)
    def post(
        self, request: Request, project: str, name: str, version: str, action: str
    ) -> Response:
        found = access.access_version(request.user, project, name, version)
        body: dict[str, Any] = {
            "actor": request.user,
            "at": timezone.now(),
            "comment": request.data.get("comment", ""),
        }
        if action == Action.SUBMIT:
            body |= {"probe": get_probe(), "editor_ids": editor_ids(request)}
        if action == Action.RETIRE:
            body["force"] = bool(request.data.get("force", False))
        return Response(version_output(OPERATIONS[Action(action)](version=found, **body)))


OPERATIONS: dict[Action, Any] = {
    Action.SUBMIT: reviews.submit_version,
    Action.WITHDRAW: reviews.withdraw_version,
    Action.APPROVE: reviews.approve_version,
    Action.REJECT: reviews.reject_version,
    Action.PROMOTE: releases.promote_version,
    Action.DEPRECATE: releases.deprecate_version,
    Action.RESTORE: releases.restore_version,
    Action.RETIRE: releases.retire_version,
}


class AuditAPI(APIView):
    """Who did what, newest first."""

    @extend_schema(
        parameters=[
            OpenApiParameter(name, str) for name in ("verb", "subject", "actor", "limit", "offset")
        ],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project, "view_auditentry")
        entries = AuditEntry.objects.filter(project_name=found.name)
        for parameter, column in {
            "verb": "verb",
            "subject": "subject_label__startswith",
            "actor": "actor_name",
        }.items():
            if value := request.query_params.get(parameter):
                entries = entries.filter(**{column: value})
        limit, offset = page_bounds(request.query_params)
        count = entries.count()
        rows = [audit_output(entry) for entry in entries[offset : offset + limit]]
        return Response({"count": count, **_links(request, count, limit, offset), "results": rows})


class ProjectsAPI(APIView):
    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        projects = access.visible_projects(request.user)
        return Response(
            {"results": [{"name": project.name, "title": project.title} for project in projects]}
        )


class WhoAmIAPI(APIView):
    """Who a token speaks for, until when, and what they are in each project."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        token = request.auth if isinstance(request.auth, ApiToken) else None
        roles: dict[str, list[str]] = {
            project.name: [] for project in access.visible_projects(request.user)
        }
        for membership in Membership.objects.filter(user=request.user).select_related("project"):
            roles[membership.project.name].append(membership.role)
        return Response(
            {
                "user": request.user.get_username(),
                "token": token.prefix if token else None,
                "expires_at": timestamp(token.expires_at) if token else None,
                "projects": roles,
            }
        )
