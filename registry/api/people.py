"""Who asks and what they see: whoami, the projects they are in, and what those may read.

Not for changing roles: the admin and the commands do.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.api import API, described
from lib.instants import timestamp
from lib.parameters import PAGE, paged
from registry import access
from registry.authentication import token_of
from registry.choices import Right
from registry.models import FileRoot, Membership

if TYPE_CHECKING:
    from rest_framework.request import Request

    from registry.models import ApiToken


class ProjectsAPI(API):
    """The projects in which the asking user has a role."""

    attempt = "listing projects"

    @extend_schema(operation_id="list_projects", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        projects = _projects(request)
        return Response({"results": [{"name": p.name, "title": p.title} for p in projects]})


class WhoAmIAPI(API):
    """Who a token speaks for, until when, and what they are in each project."""

    attempt = "asking who a token speaks for"

    @extend_schema(operation_id="whoami", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        token = token_of(request)
        roles: dict[str, list[str]] = {project.name: [] for project in _projects(request)}
        memberships = Membership.objects.filter(user=access.acting_user(request))
        for membership in memberships.select_related("project"):
            roles.get(membership.project.name, []).append(membership.role)
        return Response(
            {
                "user": request.user.get_username(),
                "token": token.prefix if token else None,
                "expires_at": timestamp(token.expires_at) if token else None,
                "limits": _limits(token) if token else None,
                "projects": roles,
            }
        )


def _limits(token: ApiToken) -> dict[str, Any]:
    return {
        "project": token.project.name if token.project else None,
        "views": token.views,
        "rights": token.rights,
        "networks": token.networks,
    }


class RootsAPI(API):
    """The directories a project's file sources are read from; where one is, for its owners only."""

    attempt = "listing roots"
    parameters = PAGE

    @extend_schema(
        operation_id="list_roots", parameters=described(PAGE), responses=OpenApiTypes.OBJECT
    )
    def get(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project)
        see_paths = access.can(request.user, Right.MANAGE_MEMBERS, found)
        return paged(request, found.roots.all(), partial(_root, see_path=see_paths))


def _root(root: FileRoot, *, see_path: bool) -> dict[str, Any]:
    facts = {"name": root.name, "identity": root.identity, "since": timestamp(root.assigned_at)}
    return facts | ({"path": root.path} if see_path else {})


def _projects(request: Request) -> QuerySet[Any]:
    """Return the projects the user sees; with a token limited to one, that one."""
    projects = access.visible_projects(request.user)
    token = token_of(request)
    return projects.filter(pk=token.project_id) if token and token.project_id else projects
