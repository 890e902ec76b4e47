"""What the caller was told of, over HTTP; having read it, and choosing what to hear.

Not for telling anybody (``registry.news``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypedDict

import msgspec
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import Instant, answers, pages
from lib.api import API, described
from lib.bodies import BadBody, body_reader
from lib.body_schemas import body_of
from lib.instants import timestamp
from lib.parameters import PAGE, flag, one_of, paged
from registry import access
from registry.authentication import token_of
from registry.choices import NewsKind
from registry.news import heard_by
from registry.operations.people.news import choice_of, choose_news, mark_read

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from rest_framework.request import Request

    from registry.models import NewsChoice, Notification

#: Notifications that one call marks.
MOST_MARKED = 500
#: The highest key a database has.
MOST_ID = 2**63 - 1


class NotificationAnswer(TypedDict):
    """What somebody was told of."""

    id: int
    kind: str
    project: str | None
    says: str
    subject: str
    at: Instant
    read_at: Instant | None


class ReadAnswer(TypedDict):
    """How many were marked."""

    read: int


class NewsChoiceAnswer(TypedDict):
    """What there is to hear of, what of it somebody does not want, and whether by mail too."""

    kinds: list[str]
    muted: list[str]
    by_mail: bool


class NotificationsAPI(API):
    """What the caller was told of, newest first."""

    attempt = "reading notifications"
    parameters: ClassVar[dict[str, str]] = {
        "unread": "true: only what is not read yet",
        "kind": "only those of this kind",
        **PAGE,
    }

    @extend_schema(
        operation_id="list_notifications",
        parameters=described(parameters),
        responses=pages(NotificationAnswer),
    )
    def get(self, request: Request) -> Response:
        rows = _of(request)
        if flag(request.query_params, "unread"):
            rows = rows.filter(read_at=None)
        if kind := one_of(request.query_params, "kind", NewsKind):
            rows = rows.filter(kind=kind)
        return paged(request, rows, _output)


def _of(request: Request) -> QuerySet[Notification]:
    """Return what the caller hears; with a token limited to one project, of that one."""
    rows = heard_by(access.acting_user(request))
    token = token_of(request)
    return rows.filter(project=token.project_id) if token and token.project_id else rows


def _output(one: Notification) -> NotificationAnswer:
    return {
        "id": one.pk,
        "kind": one.kind,
        "project": one.project.name if one.project else None,
        "says": str(one),
        "subject": one.label,
        "at": timestamp(one.at),
        "read_at": timestamp(one.read_at),
    }


class ReadInput(msgspec.Struct, forbid_unknown_fields=True):
    """Which were read; without ``ids`` the newest 500 that are not."""

    ids: list[int] | None = None


_read = body_reader(ReadInput, '{"ids": [1, 2]}')


class ReadNotificationsAPI(API):
    """Note that the caller has read some of their notifications, or all."""

    attempt = "marking notifications as read"

    @extend_schema(
        operation_id="read_notifications",
        request=body_of(ReadInput),
        responses=answers(ReadAnswer),
    )
    def post(self, request: Request) -> Response:
        ids = _read(request).ids
        if ids is not None and len(ids) > MOST_MARKED:
            raise BadBody(f"{len(ids)} ids; send at most {MOST_MARKED} at once.")
        if ids is None:
            found = list(
                _of(request).filter(read_at=None)[:MOST_MARKED].values_list("pk", flat=True)
            )
        else:
            found = [pk for pk in ids if 0 < pk <= MOST_ID]
        count = mark_read(user=access.acting_user(request), at=timezone.now(), ids=found)
        told: ReadAnswer = {"read": count}
        return Response(told)


class ChoiceInput(msgspec.Struct, forbid_unknown_fields=True):
    muted: list[str]
    by_mail: bool


_read_choice = body_reader(ChoiceInput, '{"muted": ["comment"], "by_mail": true}')


class NewsChoiceAPI(API):
    """What the caller wants to hear of, and whether by mail too."""

    attempt = "choosing what to hear of"

    @extend_schema(operation_id="get_news_choice", responses=answers(NewsChoiceAnswer))
    def get(self, request: Request) -> Response:
        return Response(_choice_output(choice_of(access.acting_user(request))))

    @extend_schema(
        operation_id="choose_news",
        request=body_of(ChoiceInput),
        responses=answers(NewsChoiceAnswer),
    )
    def post(self, request: Request) -> Response:
        told = _read_choice(request)
        user = access.acting_user(request)
        chosen = choose_news(user=user, muted=told.muted, by_mail=told.by_mail)
        return Response(_choice_output(chosen))


def _choice_output(choice: NewsChoice) -> NewsChoiceAnswer:
    return {"kinds": list(NewsKind), "muted": choice.muted, "by_mail": choice.by_mail}
