"""Grants to read sensitive values over HTTP: who has which, asking for one, the steps of one.

Not for what a grant lets somebody read: ``registry.grants`` decides that at every door.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypedDict

import msgspec
from django.contrib.auth.models import User
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import Instant, answers, pages
from lib.api import API, described
from lib.bodies import body_reader
from lib.body_schemas import body_of
from lib.errors import SHOWN_LENGTH, NotFound
from lib.instants import sent_instant, timestamp
from lib.parameters import PAGE, one_of, paged, stored_text
from registry import access
from registry.api.requests import CommentInput, read_comment
from registry.authentication import token_of
from registry.grants import Standing, standing, visible_grants, with_standing
from registry.operations.people import grants as operations
from registry.operations.people.grants import BadGrantRequest, Hand, NoRole, Scope

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from rest_framework.request import Request

    from registry.models import Project, ReadGrant


class GrantNotFound(NotFound):
    code = "grant_not_found"


class GrantAnswer(TypedDict):
    """A grant, or what was asked for: of one view, or of all of a project's up to a level."""

    id: int
    user: str
    feature_view: str | None
    level: str | None
    purpose: str
    ends_at: Instant
    state: str
    asked_by: str
    asked_at: Instant
    decided_by: str | None
    decided_at: Instant | None
    unseconded: bool
    revoked_by: str | None
    revoked_at: Instant | None
    comment: str


class GrantInput(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked for: ``user`` is the asking person where it is left out."""

    purpose: str
    ends_at: str
    feature_view: str = ""
    level: str = ""
    user: str = ""


_read_grant = body_reader(
    GrantInput,
    '{"purpose": "…", "ends_at": "2026-12-31T00:00:00Z"} and "feature_view" or "level"',
)
_step_schema = partial(
    extend_schema,
    request=body_of(CommentInput),
    responses=answers(GrantAnswer),
)


class GrantsAPI(API):
    """Grants to read confidential and restricted values, and asking for one.

    Those who give grants or read the trail see all of the project's; others see their own.
    """

    attempt = "looking at or asking for grants"
    parameters: ClassVar[dict[str, str]] = {
        "state": f"only those that are {', '.join(Standing)}",
        "user": "only this account's",
        "feature_view": "only those of this view",
        **PAGE,
    }

    @extend_schema(
        operation_id="list_grants",
        parameters=described(parameters),
        responses=pages(GrantAnswer),
    )
    def get(self, request: Request, project: str) -> Response:
        found, now = access.access_project(request.user, project), timezone.now()
        rows = visible_grants(request.user, found)
        if state := one_of(request.query_params, "state", Standing):
            rows = with_standing(rows, Standing(state), at=now)
        if user := stored_text(request.query_params, "user"):
            rows = rows.filter(user__username=user)
        if view := stored_text(request.query_params, "feature_view"):
            rows = rows.filter(feature_view__name=view)
        return paged(request, rows, partial(grant_output, at=now))

    @extend_schema(
        operation_id="ask_for_grant",
        request=body_of(GrantInput),
        responses=answers(GrantAnswer, 201),
    )
    def post(self, request: Request, project: str) -> Response:
        found, now = access.access_project(request.user, project), timezone.now()
        asked = _read_grant(request)
        grant = operations.ask_for_grant(
            project=found,
            user=_subject(asked, found, access.acting_user(request)),
            scope=_scope(request, asked, found),
            purpose=asked.purpose,
            ends_at=sent_instant("ends_at", asked.ends_at, BadGrantRequest),
            by=hand_of(request),
            at=now,
        )
        return Response(grant_output(grant, at=now), status=201)


class GrantAPI(API):
    """One grant: for whom, of what, why, until when, and who agreed."""

    attempt = "looking at grant {grant_id}"

    @extend_schema(operation_id="get_grant", responses=answers(GrantAnswer))
    def get(self, request: Request, project: str, grant_id: int) -> Response:
        return Response(grant_output(_grant(request, project, grant_id), at=timezone.now()))


class _StepAPI(API):
    step: ClassVar[Callable[..., ReadGrant]]

    def post(self, request: Request, project: str, grant_id: int) -> Response:
        grant, now = _grant(request, project, grant_id), timezone.now()
        comment = read_comment(request).comment
        done = type(self).step(grant=grant, by=hand_of(request), comment=comment, at=now)
        return Response(grant_output(done, at=now))


@_step_schema(operation_id="give_grant")
class GiveGrantAPI(_StepAPI):
    """``POST {"comment"?}``: give what somebody else asked for."""

    attempt = "giving grant {grant_id}"
    step = operations.give_grant


@_step_schema(operation_id="refuse_grant")
class RefuseGrantAPI(_StepAPI):
    """``POST {"comment"}``: refuse what somebody asked for, and say why."""

    attempt = "refusing grant {grant_id}"
    step = operations.refuse_grant


@_step_schema(operation_id="revoke_grant")
class RevokeGrantAPI(_StepAPI):
    """``POST {"comment"?}``: take a grant back, or what was asked for."""

    attempt = "taking back grant {grant_id}"
    step = operations.revoke_grant


def hand_of(request: Request) -> Hand:
    return Hand(access.acting_user(request), token_of(request))


def grant_output(grant: ReadGrant, *, at: datetime) -> GrantAnswer:
    return {
        "id": grant.pk,
        "user": str(grant.user),
        "feature_view": str(grant.feature_view) if grant.feature_view else None,
        "level": grant.level or None,
        "purpose": grant.purpose,
        "ends_at": timestamp(grant.ends_at),
        "state": standing(grant, at=at),
        "asked_by": str(grant.asked_by),
        "asked_at": timestamp(grant.asked_at),
        "decided_by": str(grant.decided_by) if grant.decided_by else None,
        "decided_at": timestamp(grant.decided_at) if grant.decided_at else None,
        "unseconded": grant.is_unseconded,
        "revoked_by": str(grant.revoked_by) if grant.revoked_by else None,
        "revoked_at": timestamp(grant.revoked_at) if grant.revoked_at else None,
        "comment": grant.comment,
    }


def _grant(request: Request, project: str, grant_id: int) -> ReadGrant:
    found = access.access_project(request.user, project)
    grant = visible_grants(request.user, found).filter(pk=grant_id).first()
    if grant is None:
        raise GrantNotFound(f"project {found} has no grant {grant_id} that you may see.")
    return grant


def _subject(asked: GrantInput, project: Project, asker: User) -> User:
    if asked.user in ("", asker.get_username()):
        return asker
    found = User.objects.filter(username=_plain(asked.user)).first()
    if found is None:
        raise NoRole(asked.user, project)
    return found


def _scope(request: Request, asked: GrantInput, project: Project) -> Scope:
    if not asked.feature_view:
        return Scope(level=asked.level)
    name = _plain(asked.feature_view)
    return Scope(access.access_feature_view(request.user, project.name, name), asked.level)


def _plain(text: str) -> str:
    """Return a text that a query compares with stored text.

    :raises BadGrantRequest: it holds a NUL, which no stored text can, so databases refuse it.
    """
    if "\x00" in text:
        raise BadGrantRequest(f"{text[:SHOWN_LENGTH]!r} holds a NUL; no name here has one.")
    return text
