"""API tokens of a project over HTTP: made, listed, rotated, ended.

Not for rules: ``operations.people`` has them. The text of a token is in the answer that makes it,
and in no other.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypedDict

import msgspec
from django.db.models import Q
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import Instant, answers, pages
from lib.api import API, described
from lib.bodies import body_reader
from lib.body_schemas import body_of
from lib.instants import timestamp
from lib.parameters import PAGE, flag, paged
from registry import access
from registry.choices import Right
from registry.models import ApiToken
from registry.operations.people.service_accounts import find_service_account
from registry.operations.people.tokens import (
    Limits,
    TokenNotFound,
    issue_token,
    revoke_token,
    rotate_token,
)

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet
    from rest_framework.request import Request

    from registry.models import Project


class NewToken(msgspec.Struct):
    name: str
    service_account: str | None = None
    days: int = 90
    views: list[str] = []
    rights: list[str] = []
    networks: list[str] = []
    calls_per_minute: int | None = None


class Rotation(msgspec.Struct):
    days: int | None = None
    overlap_hours: int = 24


class TokenAnswer(TypedDict):
    """A token without its text, which is not kept."""

    id: int
    name: str
    prefix: str
    user: str
    state: str
    views: list[str]
    rights: list[str]
    networks: list[str]
    calls_per_minute: int | None
    issued_by: str
    issued_at: Instant
    expires_at: Instant
    revoked_at: Instant | None
    last_used_at: Instant | None
    replaces: int | None


class NewTokenAnswer(TokenAnswer):
    """A token and its text, which no other answer has."""

    token: str


_new_token = body_reader(NewToken, 'like {"name": "production", "service_account": "churn"}')
_rotation = body_reader(Rotation, 'like {"overlap_hours": 24}')


class TokensAPI(API):
    """The tokens that are limited to a project: one's own, and for its owners all."""

    attempt = "managing API tokens"
    parameters: ClassVar[dict[str, str]] = {"live": "true: only those that work now", **PAGE}

    @extend_schema(
        operation_id="list_tokens",
        parameters=described(parameters),
        responses=pages(TokenAnswer),
    )
    def get(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project)
        at = timezone.now()
        rows = _seen(request, found)
        if flag(request.query_params, "live"):
            rows = rows.filter(revoked_at=None, expires_at__gt=at)
        return paged(request, rows, partial(token_output, at=at))

    @extend_schema(
        operation_id="issue_token",
        request=body_of(NewToken),
        responses=answers(NewTokenAnswer, 201),
    )
    def post(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project)
        body = _new_token(request)
        actor = access.acting_user(request)
        user = actor
        if body.service_account is not None:
            access.require(request.user, Right.MANAGE_MEMBERS, found)
            user = find_service_account(found, body.service_account).user
        at = timezone.now()
        token, text = issue_token(
            user=user,
            name=body.name,
            days=body.days,
            limits=Limits(body.views, body.rights, body.networks, body.calls_per_minute),
            project=found,
            actor=actor,
            at=at,
        )
        return shown_once(token, text, at)


class RotateTokenAPI(API):
    """Make a token's successor; the token itself goes on for an overlap, then ends."""

    attempt = "rotating an API token"

    @extend_schema(
        operation_id="rotate_token",
        request=body_of(Rotation),
        responses=answers(NewTokenAnswer, 201),
    )
    def post(self, request: Request, project: str, token_id: int) -> Response:
        found = access.access_project(request.user, project)
        body = _rotation(request)
        at = timezone.now()
        successor, text = rotate_token(
            token=_token(request, found, token_id),
            days=body.days,
            overlap_hours=body.overlap_hours,
            actor=access.acting_user(request),
            at=at,
        )
        return shown_once(successor, text, at)


class RevokeTokenAPI(API):
    """End a token: it is refused from the very next request on."""

    attempt = "revoking an API token"

    @extend_schema(operation_id="revoke_token", request=None, responses=answers(TokenAnswer))
    def post(self, request: Request, project: str, token_id: int) -> Response:
        found = access.access_project(request.user, project)
        token, at = _token(request, found, token_id), timezone.now()
        revoke_token(token=token, actor=access.acting_user(request), at=at)
        return Response(token_output(token, at))


def token_output(token: ApiToken, at: datetime) -> TokenAnswer:
    """Return a token as it is told; the text is not kept."""
    is_shut = not (token.user.is_active and token.created_by.is_active)
    state = "live" if token.is_live(at) else "expired"
    return {
        "id": token.pk,
        "name": token.name,
        "prefix": token.prefix,
        "user": token.user.get_username(),
        "state": "revoked" if token.revoked_at else "shut_out" if is_shut else state,
        "views": token.views,
        "rights": token.rights,
        "networks": token.networks,
        "calls_per_minute": token.calls_per_minute,
        "issued_by": token.created_by.get_username(),
        "issued_at": timestamp(token.created_at),
        "expires_at": timestamp(token.expires_at),
        "revoked_at": timestamp(token.revoked_at) if token.revoked_at else None,
        "last_used_at": timestamp(token.last_used_at) if token.last_used_at else None,
        "replaces": token.replaces_id,
    }


def shown_once(token: ApiToken, text: str, at: datetime) -> Response:
    """Answer a new token with its text, which nothing on the way may keep."""
    told: NewTokenAnswer = {**token_output(token, at), "token": text}
    answer = Response(told, status=201)
    answer["Cache-Control"] = "no-store"
    return answer


def with_people(rows: QuerySet[ApiToken]) -> QuerySet[ApiToken]:
    return rows.select_related("user", "project", "created_by").order_by("-created_at", "-pk")


def _seen(request: Request, project: Project) -> QuerySet[ApiToken]:
    rows = with_people(ApiToken.objects.filter(project=project))
    if access.can(request.user, Right.MANAGE_MEMBERS, project):
        return rows
    return rows.filter(Q(user=request.user.pk) | Q(created_by=request.user.pk))


def _token(request: Request, project: Project, token_id: int) -> ApiToken:
    """:raises TokenNotFound: there is none of this number here, or not for whoever asks."""
    found = _seen(request, project).filter(pk=token_id).first()
    if found is None:
        raise TokenNotFound(f"{project} has no token {token_id} that you can see.")
    return found
