"""Logging in over HTTP, for people at a terminal: name and password for a token of their own.

Not for rules: ``operations.people.own_login`` has them. Passwords are in the body alone, so that no
log has one, and the answer is not kept by anybody on its way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from django.utils import timezone
from drf_spectacular.utils import extend_schema

from lib.addresses import address_of
from lib.answer_schemas import answers
from lib.api import API
from lib.bodies import body_reader
from lib.body_schemas import body_of
from registry.api.tokens import NewTokenAnswer, shown_once
from registry.operations.people.own_login import log_in

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.response import Response


class Credentials(msgspec.Struct):
    username: str
    password: str
    new_password: str | None = None
    token_name: str = "command line"  # noqa: S105 - what it is called
    days: int = 30


_read = body_reader(Credentials, '{"username": "ana", "password": "…"}')


class LoginAPI(API):
    """``POST {"username", "password"}``: a token of one's own, shown once."""

    attempt = "logging in"
    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        operation_id="log_in",
        request=body_of(Credentials),
        responses=answers(NewTokenAnswer, 201),
        auth=[],
    )
    def post(self, request: Request) -> Response:
        sent, at = _read(request), timezone.now()
        token, text = log_in(**msgspec.structs.asdict(sent), address=address_of(request), at=at)
        return shown_once(token, text, at)
