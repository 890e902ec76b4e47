"""``POST get-online-features`` over HTTP: as little as possible between the bytes and the answer.

Not for what the answer is: ``read`` says that. Only answered requests skip DRF's dispatch.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone

from lib.accepting import acceptable
from lib.api import API
from lib.bodies import read_body
from lib.content_codings import is_coded
from lib.errors import AssayError, Unauthenticated, Unavailable
from lib.media_types import ARROW
from lib.parameters import check_parameters
from registry.authentication import HOW_TO_ASK, TokenMissing, bearer_token, find_token
from registry.scopes import networks_of, require_from
from serving.choices import Door
from serving.doors import MET
from serving.edges import online_limits
from serving.online.answer import FORMS, written
from serving.online.openapi import documented
from serving.online.read import get_online_features
from serving.online.request import parse_request
from serving.online.watching import note_refusal
from serving.said_headers import said_headers

if TYPE_CHECKING:
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase


class OnlineFeaturesAPI(API):
    """Latest feature values of many entities, in Feast's JSON.

    ``dispatch`` is ours for POST: DRF's parsers, negotiation and sessions would cost more than the
    read. Its schema, its errors and every other method are DRF's.
    """

    attempt = "reading online features"
    door = Door.ONLINE

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method != "POST":
            return super().dispatch(request, *args, **kwargs)
        began = perf_counter()
        try:
            if (met := request.META.get(MET)) is not None:
                raise met
            return self.post(request, **kwargs)
        except (Unauthenticated, Unavailable) as exc:
            refusal = self._refusal(request, exc)
        except AssayError as exc:
            refusal = self._refusal(request, _refusal_for_the_caller(request, exc))
        note_refusal(perf_counter() - began, refusal.status_code, door=self.door)
        return refusal

    def _refusal(self, request: HttpRequest, error: AssayError) -> HttpResponse:
        return cast("HttpResponse", self.get_exception_handler()(error, {"request": request}))

    @documented
    def post(self, request: HttpRequest, project: str) -> HttpResponse:
        """Read the latest value of each feature for each entity row; order and duplicates are kept.

        Statuses: PRESENT, NULL_VALUE (stored null), NOT_FOUND (no row), OUTSIDE_MAX_AGE (older than
        the TTL now; the value is null). Deprecated versions answer and say so in Assay-Warnings.
        """
        check_parameters(request.GET, self.parameters)
        form = acceptable(request.META.get("HTTP_ACCEPT", ""), FORMS)
        token, said = read_token(request), parse_request(sent_body(request), form=form)
        answer = get_online_features(
            project=project,
            token=token,
            request=said,
            at=timezone.now(),
            limits=online_limits(),
            environ=request.META,
            stored=form == ARROW,
        )
        text = written(answer, form, int64_as_text=said.int64_as_text)
        response = HttpResponse(text, content_type=form)
        for name, value in said_headers(answer.warnings, answer.plan.deprecation):
            response[name] = value
        return response


def _refusal_for_the_caller(request: HttpRequest, error: AssayError) -> AssayError:
    """Return what is wrong for those with a live token, for all others that they have none.

    An answer needs no query for this, because its plan knows the token; most refusals come before
    any plan, and the trail of one needs to know who it was.
    """
    try:
        token = find_token(read_token(request), at=timezone.now())
        require_from(networks_of(token.networks), request.META)
        request.user = token.user
    except Unauthenticated as exc:
        return exc
    return error


def read_token(request: HttpRequest) -> str:
    """:raises TokenMissing: saying which header to send."""
    token = bearer_token(request.META.get("HTTP_AUTHORIZATION", ""))
    if not token:
        raise TokenMissing(HOW_TO_ASK)
    return token


def sent_body(request: HttpRequest) -> bytes:
    """:raises AssayError: it is longer than online reads may be, or of no length."""
    if is_coded(request.META.get("HTTP_CONTENT_ENCODING", "")):
        # Little that is sent may be much to read: only for those we know.
        find_token(read_token(request), at=timezone.now())
    setting = "ONLINE_MAX_BYTES"
    advice = f"One call takes {settings.ONLINE_MAX_ENTITY_ROWS} entity rows."
    return read_body(request, limit=getattr(settings, setting), setting=setting, advice=advice)
