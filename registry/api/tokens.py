"""Service accounts and API tokens of a project over HTTP: made, listed, rotated, ended.

Not for rules: ``operations.people`` has them. The text of a token is in the answer that makes it,
and in no other.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from django.contrib.auth.models import User
from django.db.models import Count, Q
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.api import API, described
from lib.errors import did_you_mean
from lib.instants import timestamp
from lib.parameters import PAGE, flag, paged
from registry import access
from registry.api.requests import body_reader
from registry.choices import Right, Role
from registry.models import Account, ApiToken, Membership
from registry.operations.people.service_accounts import (
    BadServiceAccount,
    change_service_account,
    find_service_account,
    make_service_account,
    short_name,
)
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


#: Characters of the longest name that an account can have.
MAX_NAME = 150


class NewAccount(msgspec.Struct):
    name: str
    role: Role
    description: str = ""
    owner: str | None = None


class AccountChange(msgspec.Struct):
    description: str | None = None
    owner: str | None = None
    active: bool | None = None


class NewToken(msgspec.Struct):
    name: str
    service_account: str | None = None
    days: int = 90
    views: list[str] = []
    rights: list[str] = []
    networks: list[str] = []


class Rotation(msgspec.Struct):
    days: int | None = None
    overlap_hours: int = 24


_new_account = body_reader(NewAccount, 'like {"name": "churn", "role": "consumer"}')
_account_change = body_reader(AccountChange, 'like {"description": "…", "active": false}')
_new_token = body_reader(NewToken, 'like {"name": "production", "service_account": "churn"}')
_rotation = body_reader(Rotation, 'like {"overlap_hours": 24}')


class ServiceAccountsAPI(API):
    """The accounts of a project's programs: whose they are, what for, how many live tokens."""

    attempt = "managing service accounts"
    parameters = PAGE

    @extend_schema(
        operation_id="list_service_accounts",
        parameters=described(PAGE),
        responses=OpenApiTypes.OBJECT,
    )
    def get(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project, Right.MANAGE_MEMBERS)
        at = timezone.now()
        return paged(request, _accounts(found, at), partial(account_output, project=found))

    @extend_schema(
        operation_id="make_service_account",
        request=OpenApiTypes.OBJECT,
        responses={201: OpenApiTypes.OBJECT},
    )
    def post(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project, Right.MANAGE_MEMBERS)
        body = _new_account(request)
        account = make_service_account(
            project=found,
            name=body.name,
            role=body.role,
            description=body.description,
            owner=_person(body.owner, found),
            actor=access.acting_user(request),
            at=timezone.now(),
        )
        return Response(account_output(account, project=found), status=201)


class ServiceAccountAPI(API):
    """One service account with its tokens."""

    attempt = "managing the service account {name}"

    @extend_schema(operation_id="get_service_account", responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, project: str, name: str) -> Response:
        found = access.access_project(request.user, project, Right.MANAGE_MEMBERS)
        account = find_service_account(found, name)
        tokens = _tokens(ApiToken.objects.filter(user=account.user, project=found))[:100]
        at = timezone.now()
        lines = [token_output(token, at) for token in tokens]
        return Response(account_output(account, project=found) | {"tokens": lines})

    @extend_schema(
        operation_id="change_service_account",
        request=OpenApiTypes.OBJECT,
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request, project: str, name: str) -> Response:
        found = access.access_project(request.user, project, Right.MANAGE_MEMBERS)
        body = _account_change(request)
        account = change_service_account(
            account=find_service_account(found, name),
            description=body.description,
            owner=_person(body.owner, found),
            active=body.active,
            actor=access.acting_user(request),
            at=timezone.now(),
        )
        return Response(account_output(account, project=found))


class TokensAPI(API):
    """The tokens that are limited to a project: one's own, and for its owners all."""

    attempt = "managing API tokens"
    parameters: ClassVar[dict[str, str]] = {"live": "true: only those that work now", **PAGE}

    @extend_schema(
        operation_id="list_tokens",
        parameters=described(parameters),
        responses=OpenApiTypes.OBJECT,
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
        request=OpenApiTypes.OBJECT,
        responses={201: OpenApiTypes.OBJECT},
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
            limits=Limits(body.views, body.rights, body.networks),
            project=found,
            actor=actor,
            at=at,
        )
        return _shown_once(token, text, at)


class RotateTokenAPI(API):
    """Make a token's successor; the token itself goes on for an overlap, then ends."""

    attempt = "rotating an API token"

    @extend_schema(
        operation_id="rotate_token",
        request=OpenApiTypes.OBJECT,
        responses={201: OpenApiTypes.OBJECT},
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
        return _shown_once(successor, text, at)


class RevokeTokenAPI(API):
    """End a token: it is refused from the very next request on."""

    attempt = "revoking an API token"

    @extend_schema(operation_id="revoke_token", request=None, responses=OpenApiTypes.OBJECT)
    def post(self, request: Request, project: str, token_id: int) -> Response:
        found = access.access_project(request.user, project)
        token, at = _token(request, found, token_id), timezone.now()
        revoke_token(token=token, actor=access.acting_user(request), at=at)
        return Response(token_output(token, at))


def token_output(token: ApiToken, at: datetime) -> dict[str, Any]:
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
        "issued_by": token.created_by.get_username(),
        "issued_at": timestamp(token.created_at),
        "expires_at": timestamp(token.expires_at),
        "revoked_at": timestamp(token.revoked_at) if token.revoked_at else None,
        "last_used_at": timestamp(token.last_used_at) if token.last_used_at else None,
        "replaces": token.replaces_id,
    }


def account_output(account: Account, *, project: Project) -> dict[str, Any]:
    roles = Membership.objects.filter(user=account.user, project=project)
    return {
        "name": short_name(account),
        "account": account.user.get_username(),
        "description": account.description,
        "owner": account.owner.get_username() if account.owner else None,
        "active": account.user.is_active,
        "roles": sorted(roles.values_list("role", flat=True)),
        "live_tokens": getattr(account, "live_tokens", None),
        "made_by": account.set_by.get_username(),
        "made_at": timestamp(account.set_at),
    }


def _shown_once(token: ApiToken, text: str, at: datetime) -> Response:
    answer = Response(token_output(token, at) | {"token": text}, status=201)
    answer["Cache-Control"] = "no-store"
    return answer


def _accounts(project: Project, at: datetime) -> QuerySet[Account]:
    is_live = Q(user__api_tokens__revoked_at=None, user__api_tokens__expires_at__gt=at)
    accounts = Account.objects.filter(project=project).select_related("user", "owner", "set_by")
    counted = Count("user__api_tokens", filter=is_live, distinct=True)
    return accounts.annotate(live_tokens=counted).order_by("user__username")


def _tokens(rows: QuerySet[ApiToken]) -> QuerySet[ApiToken]:
    return rows.select_related("user", "project", "created_by").order_by("-created_at", "-pk")


def _seen(request: Request, project: Project) -> QuerySet[ApiToken]:
    rows = _tokens(ApiToken.objects.filter(project=project))
    if access.can(request.user, Right.MANAGE_MEMBERS, project):
        return rows
    return rows.filter(Q(user=request.user.pk) | Q(created_by=request.user.pk))


def _token(request: Request, project: Project, token_id: int) -> ApiToken:
    """:raises TokenNotFound: there is none of this number here, or not for whoever asks."""
    found = _seen(request, project).filter(pk=token_id).first()
    if found is None:
        raise TokenNotFound(f"{project} has no token {token_id} that you can see.")
    return found


def _person(name: str | None, project: Project) -> User | None:
    """Return the member of this name; None where none is named.

    :raises BadServiceAccount: nobody of the project is called that.
    """
    if name is None:
        return None
    members = User.objects.filter(memberships__project=project).distinct()
    name = name[:MAX_NAME].replace("\x00", "")
    found = members.filter(username=name).first()
    if found is None:
        known = members.filter(access.PERSON).values_list("username", flat=True)
        hint = did_you_mean(name, known)
        raise BadServiceAccount(f"{project} has no member {name!r}.{hint}")
    return found
