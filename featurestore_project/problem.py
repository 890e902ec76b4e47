"""Every error of the API as problem+json: the one table from kinds to HTTP statuses.

Not for deciding what is an error: the apps raise, this translates. Unknown ones stay 500.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec
from django.core.exceptions import (
    BadRequest,
    DisallowedHost,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
)
from django.http import Http404, HttpResponse
from django.utils import timezone
from django.views import defaults
from rest_framework.exceptions import APIException, AuthenticationFailed, NotAuthenticated
from rest_framework.views import set_rollback

from featurestore_project.feast_errors import in_feasts_words, is_of_feasts_client
from lib import errors
from lib.accepting import NotAcceptable
from lib.bodies import LengthRequired
from lib.errors import printable
from lib.outages import outage
from lib.resumable import RangeNotSatisfiable
from registry.access import ProjectNotFound
from registry.authentication import HOW_TO_ASK
from registry.denials import (
    DenialNotRecorded,
    RefusedTooOften,
    count_stranger,
    record_denial,
    record_hidden,
)

if TYPE_CHECKING:
    from datetime import datetime

    from django.http import HttpRequest
    from rest_framework.request import Request

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 1
#: Characters of a path in the log.
PATH_LENGTH = 300
#: Refusals that say something of the request alone, and nothing of rights or of the server.
QUIET = {400, 404, 405, 406, 409, 410, 411, 413, 415, 416, 422}
#: Fields that a Problem sets itself; an error's data cannot take their place.
RESERVED = {"type", "title", "status", "code", "detail"}

#: Kind to status. An error gets the first kind it is an instance of.
STATUS: dict[type[errors.AssayError], HTTPStatus] = {
    LengthRequired: HTTPStatus.LENGTH_REQUIRED,
    RangeNotSatisfiable: HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
    NotAcceptable: HTTPStatus.NOT_ACCEPTABLE,
    errors.Invalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.Forbidden: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.Gone: HTTPStatus.GONE,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.TooOften: HTTPStatus.TOO_MANY_REQUESTS,
    errors.QualityRejected: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}

#: What Django raises by itself: (status, code, detail).
DJANGO: dict[type[Exception], tuple[HTTPStatus, str, str]] = {
    Http404: (
        HTTPStatus.NOT_FOUND,
        "not_found",
        "There is nothing here. The paths are listed at /api/docs.",
    ),
    PermissionDenied: (HTTPStatus.FORBIDDEN, "forbidden", "You may not do this."),
    RequestDataTooBig: (
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too_large",
        "The request body is over the limit.",
    ),
    DisallowedHost: (
        HTTPStatus.BAD_REQUEST,
        "host_not_allowed",
        "The server does not answer to this host name. Whoever runs it lists its names in"
        " ALLOWED_HOSTS.",
    ),
    SuspiciousOperation: (HTTPStatus.BAD_REQUEST, "bad_request", "The request is malformed."),
    BadRequest: (HTTPStatus.BAD_REQUEST, "bad_request", "The request is malformed."),
}


def exception_handler(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """Answer an exception that left an API view (DRF's ``EXCEPTION_HANDLER``)."""
    request: Request | None = context.get("request")
    if request is not None:
        try:
            note_refusal(request, error, at=timezone.now())
        except (DenialNotRecorded, RefusedTooOften) as instead:
            error = instead
    response = respond(error)
    challenge = getattr(error, "auth_header", "")
    if response.status_code == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = challenge or 'Bearer realm="assay"'
    set_rollback()
    if request is not None:
        if is_of_feasts_client(request):
            response = in_feasts_words(response)
        say_refusal(request, response, getattr(error, "code", ""))
    return response


def say_refusal(request: Request, response: HttpResponse, code: object) -> None:
    """Leave one line in the log for a request that is refused; Django's own says less.

    Names in a path are what a client sent; what it asked, and the body, are not in the line.
    """
    path = printable(request.path)[:PATH_LENGTH]
    fields = {
        "event": "request_refused",
        "method": request.method,
        "path": path,
        "status": response.status_code,
        "code": str(code),
        "user": _user_of(request),
    }
    level = logging.INFO if response.status_code in QUIET else logging.WARNING
    words = "refused: %s %s %s %s"
    said = (request.method, path, response.status_code, code)
    logger.log(level, words, *said, extra={"fields": fields})
    response._has_been_logged = True  # type: ignore[attr-defined]


def _user_of(request: Request) -> str:
    """Return who asked as far as that is known by now: asking could be refused once more."""
    user = getattr(getattr(request, "_request", request), "user", None)
    return user.get_username() if user is not None and user.is_authenticated else ""


def note_refusal(request: Request, error: Exception, *, at: datetime) -> None:
    """Record what somebody known was refused, and count both that and callers nobody knows.

    :raises DenialNotRecorded, RefusedTooOften: to be answered instead.
    """
    if isinstance(error, errors.Forbidden):
        record_denial(request, error, at=at)
    elif isinstance(error, ProjectNotFound) and request.user.is_authenticated:
        record_hidden(request, _project_asked(request), at=at)
    elif isinstance(error, (errors.Unauthenticated, NotAuthenticated, AuthenticationFailed)):
        count_stranger(request, at=at)


def _project_asked(request: Request) -> str:
    return str(request.resolver_match.kwargs.get("project", "")) if request.resolver_match else ""


def respond(error: Exception) -> HttpResponse:
    """Return the problem+json answer of an exception; logs and hides what is not known."""
    if isinstance(error, errors.AssayError):
        return _from_assay(error)
    if (lacking := outage(error)) is not None:
        return _from_outage(lacking, error)
    if isinstance(error, APIException):
        return _from_rest(error)
    for kind, (status, code, detail) in DJANGO.items():
        if isinstance(error, kind):
            return problem(status, code, detail)
    logger.error("unexpected error", exc_info=error)
    return unexpected()


def problem(status: int, code: str, detail: str, /, **data: Any) -> HttpResponse:
    """Return an RFC 9457 answer; ``data`` becomes members beside the standard ones."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "code": code,
        "detail": detail,
        **{key: value for key, value in data.items() if key not in RESERVED},
    }
    response = HttpResponse(
        msgspec.json.encode(body, enc_hook=str), status=status, content_type=CONTENT_TYPE
    )
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def unexpected() -> HttpResponse:
    """Return the answer that leaks nothing; the log has the traceback."""
    return problem(
        500, "unexpected", "Something went wrong on our side. The server's log says what."
    )


def _from_assay(error: errors.AssayError) -> HttpResponse:
    status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), None)
    if status is None:
        logger.error("an error of no known kind", exc_info=error)
        return unexpected()
    response = problem(status, error.code, error.message, **error.data)
    if isinstance(error, errors.TooOften):
        response["Retry-After"] = str(error.wait_seconds)
    if isinstance(error, RangeNotSatisfiable):
        response["Content-Range"] = f"bytes */{error.data['size']}"
    return response


def _from_outage(lacking: errors.Unavailable, error: Exception) -> HttpResponse:
    """Answer what a database or a disk could not do; its own words are for the log."""
    logger.warning("%s: %s", lacking.code, error)
    return _from_assay(lacking)


def _from_rest(error: APIException) -> HttpResponse:
    """Translate DRF's own: what it collects per field goes to ``errors``."""
    code = (
        "unauthenticated"
        if isinstance(error, (NotAuthenticated, AuthenticationFailed))
        else error.default_code
    )
    status = HTTPStatus.UNAUTHORIZED if code == "unauthenticated" else error.status_code
    if isinstance(error, NotAuthenticated):  # DRF's words do not say what to send
        response = problem(status, code, f"nobody is logged in: {HOW_TO_ASK}")
    elif isinstance(error.detail, str):
        response = problem(status, code, str(error.detail))
    else:
        response = problem(
            status, code, "The request is not valid; see errors.", errors=error.detail
        )
    if wait := getattr(error, "wait", None):  # only Throttled has it
        response["Retry-After"] = str(int(wait) + 1)
    return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's ``handler400``: problem+json for the API, a page for the admin."""
    return respond(exception) if is_api(request) else defaults.bad_request(request, exception)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's ``handler403``, of pages: recorded as the API's refusals are."""
    if not is_api(request) and request.user.is_authenticated:
        refused = errors.Forbidden(str(exception) or "the page is not for this account.")
        with suppress(DenialNotRecorded, RefusedTooOften):  # refused and counted all the same
            record_denial(request, refused, at=timezone.now())
    return defaults.permission_denied(request, exception)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's ``handler404``."""
    return respond(Http404()) if is_api(request) else defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's ``handler500``: what left a view or a middleware, of which some passes by itself."""
    error = sys.exc_info()[1]
    lacking = outage(error) if error is not None else None
    if is_api(request):
        return _from_assay(lacking) if lacking is not None else unexpected()
    page = defaults.server_error(request)
    if lacking is not None:
        page.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        page["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return page


def is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")
