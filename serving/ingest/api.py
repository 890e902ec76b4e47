"""Rows that are sent, over HTTP: ``push``, ``write-to-online-store`` and ``compute``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec
from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.response import Response

from lib.api import API
from lib.bodies import read_body
from lib.content_codings import is_coded
from lib.errors import AssayError, Invalid, Unavailable
from lib.media_types import JSON
from lib.pools import Pool
from registry import access
from registry.authentication import bearer_token, digest, find_token
from serving.edges import push_limits
from serving.ingest.computing import compute
from serving.ingest.openapi import documented_compute, documented_push, documented_write
from serving.ingest.plans import PLANS
from serving.ingest.pushing import Asked, Caller, push, push_at_once
from serving.ingest.request import MAX_KEY, parse_compute, parse_push, parse_write

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from serving.ingest.request import PushRequest, WriteRequest

_encode = msgspec.json.Encoder().encode


class BadIdempotencyKey(Invalid):
    code = "invalid_idempotency_key"


class _RowsAPI(API):
    """Takes rows by a plan where it can: what is no plain 200 goes the long way, with its trail.

    ``dispatch`` is ours for that: DRF's, and asking the database who sends, cost ten times what
    taking a row does.
    """

    def parse(self, body: bytes) -> PushRequest | WriteRequest:
        """Read what was sent."""
        raise NotImplementedError

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        token = bearer_token(request.META.get("HTTP_AUTHORIZATION", ""))
        is_coded_body = is_coded(request.META.get("HTTP_CONTENT_ENCODING", ""))
        if request.method != "POST" or not token or request.GET or is_coded_body:
            return super().dispatch(request, *args, **kwargs)
        try:
            if not PLANS.knows(kwargs["project"], digest(token)):
                find_token(token, at=timezone.now())  # of nobody a body is read
            body = _body(request)
            request._body = body  # whoever reads it again has it
            asked = Asked(kwargs["project"], token, _key(request), body, request.META)
            said = self.parse(body)
            answer = push_at_once(asked, said, limits=push_limits(), at=timezone.now())
        except Unavailable as exc:  # not again: some of it may be taken, and nobody heard
            return cast("HttpResponse", self.get_exception_handler()(exc, {"request": request}))
        except AssayError:
            return super().dispatch(request, *args, **kwargs)
        return HttpResponse(_encode(answer), content_type=JSON)

    def _pushed(self, request: Request, project: str) -> Response:
        user = access.acting_user(request)
        access.access_project(user, project)
        caller = Caller(user.pk, project, _key(request), _body(request))
        said = self.parse(caller.body)
        return Response(push(user, caller, said, limits=push_limits(), at=timezone.now()))


class PushAPI(_RowsAPI):
    """Rows of a push source, readable online when the call returns."""

    def parse(self, body: bytes) -> PushRequest:
        return parse_push(body)

    attempt = "pushing rows"
    pool = Pool.ROWS

    @documented_push
    def post(self, request: Request, project: str) -> Response:
        """Take rows for every served version that reads the push source.

        All of them or none, unless ``partial``. They are readable online when this answers, and
        offline within a minute.
        """
        return self._pushed(request, project)


class WriteToOnlineStoreAPI(_RowsAPI):
    """Feature values of one view, as Feast's clients write them."""

    def parse(self, body: bytes) -> WriteRequest:
        return parse_write(body)

    attempt = "writing to the online store"
    pool = Pool.ROWS

    @documented_write
    def post(self, request: Request, project: str) -> Response:
        """Take rows of a view over a push source: join keys, features, ``event_timestamp``.

        They go the way that pushed rows go, to every served version of the view or to the one that
        is named.
        """
        return self._pushed(request, project)


class ComputeAPI(API):
    """What a view makes of rows, and nothing stored."""

    attempt = "computing features"
    pool = Pool.PLANS

    @documented_compute
    def post(self, request: Request, project: str) -> Response:
        """Return the features that a version makes of rows with its source's columns.

        By its own transform, as it is for rows that are pushed or loaded; nothing is kept of them.
        """
        user = access.acting_user(request)
        access.access_project(user, project)
        said = parse_compute(_body(request))
        most = settings.PUSH_MAX_ROWS
        return Response(compute(user, project, said, most_rows=most, at=timezone.now()))


def _key(request: HttpRequest | Request) -> str | None:
    """:raises BadIdempotencyKey: what is sent cannot be one."""
    key: str | None = request.headers.get("Idempotency-Key")
    if key is not None and not (0 < len(key) <= MAX_KEY and key.isprintable()):
        raise BadIdempotencyKey(
            f"an Idempotency-Key has 1 to {MAX_KEY} characters that print; this one has {len(key)}."
        )
    return key


def _body(request: HttpRequest | Request) -> bytes:
    advice = f"One call takes {settings.PUSH_MAX_ROWS} rows; send several."
    return read_body(
        request, limit=settings.PUSH_MAX_BYTES, setting="PUSH_MAX_BYTES", advice=advice
    )
