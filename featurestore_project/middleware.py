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
