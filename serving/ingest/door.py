"""The short way of rows that are sent: taken by a plan at the WSGI door, before Django's stack.

Not a second API: whatever is not a plain 200 goes to the view behind it, with its errors, its trail
and its log. What may have been taken is not tried again there: the view answers what was met here.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

import msgspec
from django.conf import settings
from django.db import close_old_connections, connection
from django.utils import timezone

from lib.accepting import preferred
from lib.bodies import BadBody, read_up_to
from lib.errors import AssayError, Unavailable
from lib.media_types import JSON
from materialization.errors import EngineLimitExceeded, PythonFailed
from materialization.ingest.taking import TooManyEvents
from registry.authentication import bearer_token, digest, find_token
from serving.doors import MET, ok_headers, plain_post
from serving.edges import push_limits
from serving.ingest.plans import PLANS
from serving.ingest.pushing import Asked, push_at_once
from serving.ingest.request import idempotency_key, parse_push, parse_write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from serving.doors import Application, Environ, StartResponse
    from serving.ingest.request import PushRequest, WriteRequest

_PATH = re.compile(r"/api/v1/projects/([-a-zA-Z0-9_]+)/(push|write-to-online-store)")
PARSE: dict[str, Callable[[bytes], PushRequest | WriteRequest]] = {
    "push": parse_push,
    "write-to-online-store": parse_write,
}
#: Rows may have been taken already; or it was found out at length, and would be for as long again.
_NOT_TWICE = (Unavailable, PythonFailed, EngineLimitExceeded, TooManyEvents)

_encode = msgspec.json.Encoder().encode


def is_push(method: str, path: str) -> bool:
    return method == "POST" and _PATH.fullmatch(path) is not None


class PushesFirst:
    """A WSGI application in front of Django's."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        found = _PATH.fullmatch(environ["PATH_INFO"])
        length = plain_post(environ, most=settings.PUSH_MAX_BYTES) if found else None
        token = bearer_token(environ.get("HTTP_AUTHORIZATION", ""))
        takes = preferred(environ.get("HTTP_ACCEPT", ""), (JSON,))
        if found is None or length is None or not token or takes is None:
            return self._application(environ, start_response)
        try:
            answer = _answer(found[1], found[2], token, environ, length)
        except Exception as exc:  # noqa: BLE001 - the view says, logs and records what it was
            if isinstance(exc, _NOT_TWICE) or not isinstance(exc, AssayError):
                environ[MET] = exc
            return self._application(environ, start_response)
        start_response("200 OK", ok_headers(JSON, answer))
        return [answer]


def _answer(project: str, call: str, token: str, environ: Environ, length: int) -> bytes:
    """:raises BadBody: it ended before its announced length."""
    if not connection.in_atomic_block:
        close_old_connections()
    at = timezone.now()
    if not PLANS.knows(project, digest(token)):
        find_token(token, at=at)  # of nobody a body is read
    body = read_up_to(environ["wsgi.input"], length)
    environ["wsgi.input"] = io.BytesIO(body)  # whoever reads it again has it
    if len(body) < length:
        raise BadBody("the body ended early.")
    key = idempotency_key(environ.get("HTTP_IDEMPOTENCY_KEY"))
    asked, said = Asked(project, token, key, body, environ), PARSE[call](body)
    return _encode(push_at_once(asked, said, limits=push_limits(), at=timezone.now()))
