"""Who asks and what they see: whoami, the projects they are in, and what those may read.

Not for changing roles: the admin and the commands do.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import Instant, answers, pages
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


class ProjectAnswer(TypedDict):
    """A project by its name and title."""

    name: str
    title: str


class ProjectsAnswer(TypedDict):
    """All projects that somebody has a role in."""

    results: list[ProjectAnswer]


class TokenLimits(TypedDict):
    """What a token is limited to: nothing where a list is empty."""

    project: str | None
    views: list[str]
    rights: list[str]
    networks: list[str]
    calls_per_minute: int | None


class WhoAmIAnswer(TypedDict):
    """Who asks, by which token, and their roles by project."""

    user: str
    token: str | None
    expires_at: Instant | None
    limits: TokenLimits | None
    projects: dict[str, list[str]]


class RootAnswer(TypedDict):
    """A directory of sources; where it is, for the project's owners."""

    name: str
    identity: str
    since: Instant
    path: NotRequired[str]


class ProjectsAPI(API):
    """The projects in which the asking user has a role."""

    attempt = "listing projects"

    @extend_schema(operation_id="list_projects", responses=answers(ProjectsAnswer))
    def get(self, request: Request) -> Response:
        projects = _projects(request)
        told: ProjectsAnswer = {
            "results": [{"name": each.name, "title": each.title} for each in projects]
        }
        return Response(told)


class WhoAmIAPI(API):
    """Who a token speaks for, until when, and what they are in each project."""

    attempt = "asking who a token speaks for"

    @extend_schema(operation_id="whoami", responses=answers(WhoAmIAnswer))
    def get(self, request: Request) -> Response:
        token = token_of(request)
        roles: dict[str, list[str]] = {project.name: [] for project in _projects(request)}
        memberships = Membership.objects.filter(user=access.acting_user(request))
        for membership in memberships.select_related("project"):
            roles.get(membership.project.name, []).append(membership.role)
        told: WhoAmIAnswer = {
            "user": request.user.get_username(),
            "token": token.prefix if token else None,
            "expires_at": timestamp(token.expires_at) if token else None,
            "limits": _limits(token) if token else None,
            "projects": roles,
        }
        return Response(told)


def _limits(token: ApiToken) -> TokenLimits:
    return {
        "project": token.project.name if token.project else None,
        "views": token.views,
        "rights": token.rights,
        "networks": token.networks,
        "calls_per_minute": token.calls_per_minute,
    }


class RootsAPI(API):
    """The directories a project's file sources are read from; where one is, for its owners only."""

    attempt = "listing roots"
    parameters = PAGE

    @extend_schema(
        operation_id="list_roots", parameters=described(PAGE), responses=pages(RootAnswer)
    )
    def get(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project)
        see_paths = access.can(request.user, Right.MANAGE_MEMBERS, found)
        return paged(request, found.roots.all(), partial(_root, see_path=see_paths))


def _root(root: FileRoot, *, see_path: bool) -> RootAnswer:
    said: RootAnswer = {
        "name": root.name,
        "identity": root.identity,
        "since": timestamp(root.assigned_at),
    }
    if see_path:
        said["path"] = root.path
    return said


def _projects(request: Request) -> QuerySet[Any]:
    """Return the projects the user sees; with a token limited to one, that one."""
    projects = access.visible_projects(request.user)
    token = token_of(request)
    return projects.filter(pk=token.project_id) if token and token.project_id else projects
