"""What every request passes on its way to a view, beside Django's own parts.

Not for the API's views: each asks ``lib.bodies`` for its own body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore_project.problem import is_api, respond
from lib.bodies import LengthRequired, require_length

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    GetResponse = Callable[[HttpRequest], HttpResponseBase]

#: Of the admin's pages and of the API's documentation. Scripts are files of ours and never part of
#: a page, so markup that slips into one runs nothing. ``unsafe-eval`` is for unfold's Alpine.js,
#: which evaluates what its attributes say; styles in attributes are unfold's and ours.
PAGES = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
#: Of every other answer: a browser that opens one loads and runs nothing.
DATA = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
PERMISSIONS = ", ".join(
    f"{feature}=()"
    for feature in (
        "camera", "display-capture", "geolocation", "microphone", "payment", "usb",
    )
)  # fmt: skip


def what_browsers_may(get_response: GetResponse) -> GetResponse:
    """Say with each answer what a browser may do with it: run, load, frame, ask the machine for."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        is_data = is_api(request) and not request.path.startswith("/api/docs")
        response.headers.setdefault("Content-Security-Policy", DATA if is_data else PAGES)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        return response

    return answer


def forms_have_a_length(get_response: GetResponse) -> GetResponse:
    """Refuse a form in chunks: Django takes it for an empty one, a reason or a choice left out."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        try:
            if not is_api(request):
                require_length(request, "a form")
        except LengthRequired as exc:
            return respond(exc)
        return get_response(request)

    return answer
