"""Who asks and what they see: whoami, and the projects they are in.

Not for changing roles: the admin and the commands do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.api import API
from lib.instants import timestamp
from registry import access
from registry.authentication import token_of
from registry.models import Membership

if TYPE_CHECKING:
    from rest_framework.request import Request


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
                "projects": roles,
            }
        )


def _projects(request: Request) -> QuerySet[Any]:
    """Return the projects the user sees; with a token limited to one, that one."""
    projects = access.visible_projects(request.user)
    token = token_of(request)
    return projects.filter(pk=token.project_id) if token and token.project_id else projects
