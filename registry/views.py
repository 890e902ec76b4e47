"""The registry over HTTP: translate, one call, translate.

Not for rules: ``access`` loads and authorises, ``operations`` decide. The catalogue's lists are in
``catalogue_views``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

import msgspec
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

from lib.bodies import BadBody, LooseJsonParser
from lib.instants import timestamp
from lib.parameters import flag, paged
from registry import access
from registry.authentication import token_of
from registry.choices import Action
from registry.models import AuditEntry, Membership
from registry.operations import releases, reviews
from registry.operations.definitions import apply_definitions
from registry.parsers import DefinitionsParser, DefinitionsYamlParser
from registry.parsing import parse_files
from registry.probe import get_probe
from registry.serializers import (
    applied_output,
    audit_output,
    review_output,
    version_output,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rest_framework.request import Request

    from registry.parsing import Definition

#: The operation behind each action; the admin's buttons call the same.
OPERATIONS: dict[Action, Callable[..., Any]] = {
    Action.SUBMIT: reviews.submit_version,
    Action.WITHDRAW: reviews.withdraw_version,
    Action.APPROVE: reviews.approve_version,
    Action.REJECT: reviews.reject_version,
    Action.PROMOTE: releases.promote_version,
    Action.DEPRECATE: releases.deprecate_version,
    Action.RESTORE: releases.restore_version,
    Action.RETIRE: releases.retire_version,
}


def editor_ids(request: Request) -> frozenset[int]:
    """Return who counts as having written this: the user, and whoever made the token."""
    token = token_of(request)
    return frozenset({access.acting_user(request).pk, *([token.created_by_id] if token else [])})


class DefinitionsAPI(APIView):
    """Plan or register definitions."""

    parser_classes = (DefinitionsYamlParser, DefinitionsParser)

    @extend_schema(
        operation_id="apply_definitions",
        parameters=[
            OpenApiParameter("dry_run", bool, description="plan only, store nothing"),
            OpenApiParameter("submit", bool, description="submit the drafts for review"),
        ],
        request={"application/yaml": OpenApiTypes.STR, "application/json": OpenApiTypes.OBJECT},
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project, "add_featureview")
        dry_run = flag(request.query_params, "dry_run")
        body = cast("dict[str, list[Definition]]", request.data)
        changes = apply_definitions(
            body.get("definitions") or parse_files([]),
            project=found,
            actor=access.acting_user(request),
            at=timezone.now(),
            probe=get_probe(),
            editor_ids=editor_ids(request),
            dry_run=dry_run,
            submit=flag(request.query_params, "submit"),
        )
        answer = {"project": project, "dry_run": dry_run}
        return Response(answer | {"changes": [applied_output(each) for each in changes]})


class VersionAPI(APIView):
    """One version: its state and everything it means. ``draft`` names the newest draft."""

    @extend_schema(operation_id="get_version", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, project: str, name: str, version: str) -> Response:
        return Response(version_output(access.access_version(request.user, project, name, version)))


class ReviewAPI(APIView):
    """What a reviewer decides on, who decided so far, and how many have to agree."""

    @extend_schema(operation_id="get_review", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, project: str, name: str, version: str) -> Response:
        return Response(review_output(access.access_version(request.user, project, name, version)))


#: What single actions take beside a comment.
TAKES = {
    Action.APPROVE: {"packet_hash"},
    Action.REJECT: {"packet_hash"},
    Action.RETIRE: {"force"},
}


class ActionInput(msgspec.Struct, forbid_unknown_fields=True):
    """What an action may be told: ``force`` to retire, ``packet_hash`` (as seen) to decide."""

    comment: str = ""
    force: bool = False
    packet_hash: str | None = None


class ActionAPI(APIView):
    """``POST …/{action}`` with ``{"comment": …}``: one step of the lifecycle."""

    parser_classes = (LooseJsonParser,)

    @extend_schema(
        operation_id="act_on_version", request=OpenApiTypes.OBJECT, responses=OpenApiTypes.OBJECT
    )
    def post(
        self, request: Request, project: str, name: str, version: str, action: str
    ) -> Response:
        found = access.access_version(request.user, project, name, version)
        options = _options(request, Action(action))
        moved = OPERATIONS[Action(action)](
            version=found, actor=access.acting_user(request), at=timezone.now(), **options
        )
        return Response(version_output(moved))


def _options(request: Request, action: Action) -> dict[str, Any]:
    """Return what an action's operation takes beside the version, the actor and the time."""
    try:
        body = msgspec.convert(request.data, ActionInput)
    except msgspec.ValidationError as exc:
        raise BadBody(f'send {{"comment": "…"}}: {exc}.') from exc
    given = {name for name in ("force", "packet_hash") if getattr(body, name)}
    if extra := given - TAKES.get(action, set()):
        raise BadBody(f"{action} does not take {', '.join(sorted(extra))}.")
    options: dict[str, Any] = {"comment": body.comment}
    token = token_of(request)
    if action is Action.SUBMIT:
        options |= {"probe": get_probe(), "editor_ids": editor_ids(request)}
    elif action in (Action.APPROVE, Action.REJECT):
        owner = token.created_by if token else None
        options |= {"token_owner": owner, "packet_hash": body.packet_hash}
    elif action is Action.RETIRE:
        options["force"] = body.force
    return options


class AuditAPI(APIView):
    """Who did what, newest first."""

    FILTERS: ClassVar[dict[str, str]] = {
        "verb": "verb",
        "subject": "subject_label__startswith",
        "actor": "actor_name",
    }

    @extend_schema(
        operation_id="list_audit_entries",
        parameters=[OpenApiParameter(name, str) for name in (*FILTERS, "limit", "offset")],
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project, "view_auditentry")
        entries = AuditEntry.objects.filter(project_name=found.name)
        for parameter, column in self.FILTERS.items():
            if value := request.query_params.get(parameter):
                entries = entries.filter(**{column: value.replace("\x00", "")})
        return paged(request, entries, audit_output)


class ProjectsAPI(APIView):
    """The projects in which the asking user has a role."""

    @extend_schema(operation_id="list_projects", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request) -> Response:
        projects = _projects(request)
        return Response({"results": [{"name": p.name, "title": p.title} for p in projects]})


class WhoAmIAPI(APIView):
    """Who a token speaks for, until when, and what they are in each project."""

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
