"""Accounts over HTTP, for superusers: what they are, changing them, giving them a password.

What takes two people comes back as a proposal. No address has somebody's name in it, for the trail
keeps the address of what was refused; a password is in the body of its request and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypedDict

import msgspec
from django.contrib.auth.models import User
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from msgspec import UNSET, UnsetType
from rest_framework.response import Response

from lib.answer_schemas import answers, pages
from lib.api import API, described
from lib.bodies import body_reader
from lib.body_schemas import body_of
from lib.parameters import PAGE, paged, stored_text
from registry import access
from registry.api.proposals import ProposalAnswer, proposal_output
from registry.authentication import token_of
from registry.choices import AccountKind
from registry.operations.people import accounts
from registry.proposals import was_alone

if TYPE_CHECKING:
    from datetime import datetime

    from rest_framework.request import Request

    from registry.models import Proposal


class AccountChange(msgspec.Struct):
    user: str
    username: str | UnsetType = UNSET
    first_name: str | UnsetType = UNSET
    last_name: str | UnsetType = UNSET
    email: str | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET
    is_staff: bool | UnsetType = UNSET
    is_superuser: bool | UnsetType = UNSET
    kind: AccountKind | UnsetType = UNSET


class GivenPassword(msgspec.Struct):
    user: str
    password: str


class AccountAnswer(TypedDict):
    """The account of a person or a program."""

    user: str
    kind: str
    first_name: str
    last_name: str
    email: str
    is_active: bool
    is_staff: bool
    is_superuser: bool
    login: bool


class ChangedAccount(TypedDict):
    """The account as it is now, what waits for a second person, and whether there was none."""

    account: AccountAnswer
    proposal: ProposalAnswer | None
    alone: bool


_change = body_reader(AccountChange, 'like {"user": "ana", "is_active": false}')
_given = body_reader(GivenPassword, '{"user": "ana", "password": "…"}')


class AccountsAPI(API):
    """Accounts of people and programs, by name; for superusers."""

    attempt = "listing accounts"
    parameters: ClassVar[dict[str, str]] = {"user": "only the account of this name", **PAGE}

    @extend_schema(
        operation_id="list_accounts",
        parameters=described(parameters),
        responses=pages(AccountAnswer),
    )
    def get(self, request: Request) -> Response:
        access.require_superuser(request.user)
        rows = User.objects.order_by("username")
        if name := stored_text(request.query_params, "user"):
            rows = rows.filter(username=name)
        return paged(request, rows, account_output)


class ChangeAccountAPI(API):
    """``POST {"user", …}``: change what is sent; what takes two people waits for the second."""

    attempt = "changing an account"

    @extend_schema(
        operation_id="change_account",
        request=body_of(AccountChange),
        responses=answers(ChangedAccount),
    )
    def post(self, request: Request) -> Response:
        actor, now = access.acting_user(request), timezone.now()
        access.require_superuser(actor)
        sent = _change(request)
        wanted = {
            name: value for name in accounts.COLUMNS if (value := getattr(sent, name)) is not UNSET
        }
        user = accounts.find_account(sent.user, actor=actor)
        proposal = accounts.change_account(
            user=user,
            wanted=wanted,
            kind=None if sent.kind is UNSET else sent.kind,
            actor=actor,
            at=now,
            token=token_of(request),
        )
        return _answer(user, proposal, now)


class GivePasswordAPI(API):
    """``POST {"user", "password"}``: give somebody else one; that it is in no log or answer."""

    attempt = "giving an account a password"

    @extend_schema(
        operation_id="give_password",
        request=body_of(GivenPassword),
        responses=answers(ChangedAccount),
    )
    def post(self, request: Request) -> Response:
        actor, now = access.acting_user(request), timezone.now()
        access.require_superuser(actor)
        sent = _given(request)
        user = accounts.find_account(sent.user, actor=actor)
        proposal = accounts.give_password(
            user=user, password=sent.password, actor=actor, at=now, token=token_of(request)
        )
        return _answer(user, proposal, now)


def _answer(user: User, proposal: Proposal | None, at: datetime) -> Response:
    """Answer what the account is now, what waits, and whether it took two and there was one."""
    told: ChangedAccount = {
        "account": account_output(User.objects.get(pk=user.pk)),
        "proposal": proposal_output(proposal, at=at) if proposal else None,
        "alone": was_alone(user, at=at),
    }
    return Response(told)


def account_output(user: User) -> AccountAnswer:
    return {
        "user": user.get_username(),
        "kind": access.kind_of(user),
        "first_name": user.first_name,
        "last_name": user.last_name,
        "email": user.email,
        "is_active": user.is_active,
        "is_staff": user.is_staff,
        "is_superuser": user.is_superuser,
        "login": user.has_usable_password(),
    }
