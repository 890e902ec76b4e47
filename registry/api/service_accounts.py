"""Service accounts of a project over HTTP: made, listed, described, shut out.

Not for rules (``operations.people``), their tokens (``tokens``) or people (``accounts``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypedDict

import msgspec
from django.contrib.auth.models import User
from django.db.models import Count, Q
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import Instant, answers, pages
from lib.api import API, described
from lib.bodies import body_reader
from lib.body_schemas import body_of
from lib.instants import timestamp
from lib.parameters import PAGE, paged
from registry import access
from registry.api.tokens import TokenAnswer, token_output, with_people
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
    calls_per_minute: int | None = None


class ServiceAccountAnswer(TypedDict):
    """The account of a project's program."""

    name: str
    account: str
    description: str
    owner: str | None
    active: bool
    roles: list[str]
    calls_per_minute: int | None
    live_tokens: int | None
    made_by: str
    made_at: Instant


class ServiceAccountWithTokens(ServiceAccountAnswer):
    """The same, with its newest tokens."""

    tokens: list[TokenAnswer]


_new_account = body_reader(NewAccount, 'like {"name": "churn", "role": "consumer"}')
_account_change = body_reader(AccountChange, 'like {"description": "…", "active": false}')


class ServiceAccountsAPI(API):
    """The accounts of a project's programs: whose they are, what for, how many live tokens."""

    attempt = "managing service accounts"
    parameters = PAGE

    @extend_schema(
        operation_id="list_service_accounts",
        parameters=described(PAGE),
        responses=pages(ServiceAccountAnswer),
    )
    def get(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project, Right.MANAGE_MEMBERS)
        at = timezone.now()
        return paged(request, _accounts(found, at), partial(account_output, project=found))

    @extend_schema(
        operation_id="make_service_account",
        request=body_of(NewAccount),
        responses=answers(ServiceAccountAnswer, 201),
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

    @extend_schema(operation_id="get_service_account", responses=answers(ServiceAccountWithTokens))
    def get(self, request: Request, project: str, name: str) -> Response:
        found = access.access_project(request.user, project, Right.MANAGE_MEMBERS)
        account = find_service_account(found, name)
        tokens = with_people(ApiToken.objects.filter(user=account.user, project=found))[:100]
        at = timezone.now()
        lines = [token_output(token, at) for token in tokens]
        told: ServiceAccountWithTokens = {**account_output(account, project=found), "tokens": lines}
        return Response(told)

    @extend_schema(
        operation_id="change_service_account",
        request=body_of(AccountChange),
        responses=answers(ServiceAccountAnswer),
    )
    def post(self, request: Request, project: str, name: str) -> Response:
        found = access.access_project(request.user, project, Right.MANAGE_MEMBERS)
        body = _account_change(request)
        account = change_service_account(
            account=find_service_account(found, name),
            description=body.description,
            owner=_person(body.owner, found),
            active=body.active,
            calls_per_minute=body.calls_per_minute,
            actor=access.acting_user(request),
            at=timezone.now(),
        )
        return Response(account_output(account, project=found))


def account_output(account: Account, *, project: Project) -> ServiceAccountAnswer:
    roles = Membership.objects.filter(user=account.user, project=project)
    return {
        "name": short_name(account),
        "account": account.user.get_username(),
        "description": account.description,
        "owner": account.owner.get_username() if account.owner else None,
        "active": account.user.is_active,
        "roles": sorted(roles.values_list("role", flat=True)),
        "calls_per_minute": account.calls_per_minute,
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
