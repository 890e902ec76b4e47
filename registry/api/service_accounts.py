"""Service accounts of a project over HTTP: made, listed, described, shut out.

Not for rules (``operations.people``), their tokens (``tokens``) or people (``accounts``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from django.contrib.auth.models import User
from django.db.models import Count, Q
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.api import API, described
from lib.instants import timestamp
from lib.parameters import PAGE, paged
from registry import access
from registry.api.requests import body_reader
from registry.api.tokens import token_output, with_people
from registry.choices import Right, Role
from registry.models import Account, ApiToken, Membership
from registry.operations.people.service_accounts import (
    change_service_account,
    find_owner,
    find_service_account,
    make_service_account,
    short_name,
)

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet
    from rest_framework.request import Request

    from registry.models import Project


class NewAccount(msgspec.Struct):
    name: str
    role: Role
    description: str = ""
    owner: str | None = None


class AccountChange(msgspec.Struct):
    description: str | None = None
    owner: str | None = None
    active: bool | None = None


_new_account = body_reader(NewAccount, 'like {"name": "churn", "role": "consumer"}')
_account_change = body_reader(AccountChange, 'like {"description": "…", "active": false}')


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
        tokens = with_people(ApiToken.objects.filter(user=account.user, project=found))[:100]
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


def _accounts(project: Project, at: datetime) -> QuerySet[Account]:
    is_live = Q(user__api_tokens__revoked_at=None, user__api_tokens__expires_at__gt=at)
    accounts = Account.objects.filter(project=project).select_related("user", "owner", "set_by")
    counted = Count("user__api_tokens", filter=is_live, distinct=True)
    return accounts.annotate(live_tokens=counted).order_by("user__username")


def _person(name: str | None, project: Project) -> User | None:
    return None if name is None else find_owner(project, name)
