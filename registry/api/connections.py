"""The connections that a project's sources may name, and trying one.

Not for writing one down: whoever runs the server does. No answer has who logs in, or with what.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NotRequired, TypedDict

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import Instant, answers, pages
from lib.api import API, described
from lib.instants import timestamp
from lib.parameters import PAGE, paged
from registry import access
from registry.operations.connecting import (
    listed_connections,
    shows_addresses,
    try_connection,
)

if TYPE_CHECKING:
    from rest_framework.request import Request

    from registry.operations.connecting import Listed


class ConnectionAnswer(TypedDict):
    """A connection: where it leads, for those who may know, and when it answered last."""

    name: str
    kind: str
    address: NotRequired[str]
    identity: str
    last_tried: Instant | None
    ok: bool | None
    error: str


class ConnectionsAPI(API):
    """What the project's sources may be read by, where each leads, and when it answered last."""

    attempt = "listing connections"
    parameters = PAGE

    @extend_schema(
        operation_id="list_connections",
        parameters=described(PAGE),
        responses=pages(ConnectionAnswer),
    )
    def get(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project)
        shows = shows_addresses(access.acting_user(request), found)
        return paged(request, listed_connections(found), partial(_output, shows_address=shows))


class ConnectionTestAPI(API):
    """Ask a connection's system whether it answers."""

    attempt = "trying a connection"

    @extend_schema(operation_id="try_connection", request=None, responses=answers(ConnectionAnswer))
    def post(self, request: Request, project: str, name: str) -> Response:
        found = access.access_project(request.user, project)
        tried = try_connection(
            project=found, name=name, actor=access.acting_user(request), at=timezone.now()
        )
        return Response(_output(tried, shows_address=True))


def _output(listed: Listed, *, shows_address: bool) -> ConnectionAnswer:
    last = listed.last
    said: ConnectionAnswer = {
        "name": listed.name,
        "kind": listed.connection.kind,
        "identity": listed.connection.identity,
        "last_tried": timestamp(last.tried_at) if last else None,
        "ok": not last.error if last else None,
        "error": last.error if last else "",
    }
    if shows_address:
        said["address"] = listed.connection.address
    return said
