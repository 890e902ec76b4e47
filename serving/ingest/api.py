"""Rows that are sent, over HTTP: ``push``, ``write-to-online-store`` and ``compute``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.utils import timezone
from rest_framework.response import Response

from lib.api import API
from lib.bodies import read_body
from lib.pools import Pool
from registry import access
from serving.doors import MET
from serving.edges import push_limits
from serving.ingest.computing import compute
from serving.ingest.openapi import documented_compute, documented_push, documented_write
from serving.ingest.pushing import Caller, push
from serving.ingest.request import idempotency_key, parse_compute, parse_push, parse_write

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse
    from django.http.response import HttpResponseBase
    from rest_framework.request import Request

    from serving.ingest.request import PushRequest, WriteRequest


class _RowsAPI(API):
    """Takes the rows that the door does not: what is no plain 200, with its trail (``door``)."""

    def parse(self, body: bytes) -> PushRequest | WriteRequest:
        """Read what was sent."""
        raise NotImplementedError

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if (met := request.META.get(MET)) is not None:
            return cast("HttpResponse", self.get_exception_handler()(met, {"request": request}))
        return super().dispatch(request, *args, **kwargs)

    def _pushed(self, request: Request, project: str) -> Response:
        user = access.acting_user(request)
        access.access_project(user, project)
        key = request.headers.get("Idempotency-Key")
        caller = Caller(user.pk, project, idempotency_key(key), _body(request))
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


def _body(request: HttpRequest | Request) -> bytes:
    advice = f"One call takes {settings.PUSH_MAX_ROWS} rows; send several."
    return read_body(
        request, limit=settings.PUSH_MAX_BYTES, setting="PUSH_MAX_BYTES", advice=advice
    )
