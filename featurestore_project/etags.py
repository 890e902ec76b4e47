"""``ETag`` and ``If-None-Match`` of what is read of the API: what is unchanged is not sent again.

Not for downloads, which have their own (``lib.resumable``). Who asks is looked at each time: an
unchanged answer is made, and only not sent.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from http import HTTPStatus
from typing import TYPE_CHECKING

from django.http import HttpResponse
from django.utils.cache import get_conditional_response, patch_cache_control

from featurestore_project.problem import is_api

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    GetResponse = Callable[[HttpRequest], HttpResponseBase]


#: How old something is by now: when it was so is said beside it.
_AGE = re.compile(rb'"age_seconds":[-+0-9.eE]+')


def unchanged_answers(get_response: GetResponse) -> GetResponse:
    """Name each answer to a GET by its bytes; 304 for whoever has them."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        is_read = request.method in ("GET", "HEAD") and response.status_code == HTTPStatus.OK
        if not (is_read and is_api(request) and isinstance(response, HttpResponse)):
            return response
        if response.has_header("ETag"):
            return response
        tag = response["ETag"] = _tag(response.content)
        patch_cache_control(response, private=True, no_cache=True)
        return get_conditional_response(request, etag=tag, response=response) or response

    return answer


def _tag(content: bytes) -> str:
    """Return a name of bytes; of what says an age a weak one, for that alone changes with time."""
    lasting, ages = _AGE.subn(b"", content)
    tag = f'"{blake2b(lasting, digest_size=16).hexdigest()}"'
    return f"W/{tag}" if ages else tag
