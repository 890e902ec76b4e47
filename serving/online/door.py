"""The short way to online features: answers at the WSGI door what needs nothing of Django.

Not a second API: whatever is not a plain 200 goes to the view behind it, with its errors, its trail
and its log. Measured, Django's middleware and URL resolving cost more than the whole read.
"""

from __future__ import annotations

import io
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.utils import timezone

from lib.accepting import acceptable
from lib.bodies import read_up_to
from lib.media_types import ARROW
from registry.authentication import bearer_token
from serving.edges import online_limits
from serving.online.answer import FORMS, said_headers, written
from serving.online.read import get_online_features
from serving.online.request import parse_request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Environ = dict[str, Any]
    StartResponse = Callable[..., Any]
    Application = Callable[[Environ, StartResponse], Iterable[bytes]]

_PATH = re.compile(r"/api/v1/projects/([-a-zA-Z0-9_]+)/get-online-features")


def is_online_read(method: str, path: str) -> bool:
    return method == "POST" and _PATH.fullmatch(path) is not None


class OnlineFirst:
    """A WSGI application in front of Django's."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        found = _PATH.fullmatch(environ["PATH_INFO"])
        length = environ.get("CONTENT_LENGTH", "")
        is_short = length.isdecimal() and int(length) <= settings.ONLINE_MAX_BYTES
        is_plain = environ["REQUEST_METHOD"] == "POST" and not (
            environ.get("QUERY_STRING") or environ.get("HTTP_CONTENT_ENCODING")
        )
        is_ours = _is_ours(environ.get("HTTP_HOST", ""))
        if found is None or not is_short or not is_plain or not is_ours:
            return self._application(environ, start_response)
        body = read_up_to(environ["wsgi.input"], int(length))
        try:
            answer, headers = _answer(found[1], environ, body)
        except Exception:  # noqa: BLE001 - the view meets it again and says, logs and records it
            environ["wsgi.input"] = io.BytesIO(body)
            return self._application(environ, start_response)
        start_response("200 OK", headers)
        return [answer]


@lru_cache(maxsize=64)
def _is_ours(host: str) -> bool:
    """Tell whether the server answers to this name; what it does not, Django refuses in words."""
    name, _ = split_domain_port(host)
    return bool(name) and validate_host(name, settings.ALLOWED_HOSTS)


def _answer(project: str, environ: Environ, body: bytes) -> tuple[bytes, list[tuple[str, str]]]:
    form = acceptable(environ.get("HTTP_ACCEPT", ""), FORMS)
    request = parse_request(body, form=form)
    answer = get_online_features(
        project=project,
        token=bearer_token(environ.get("HTTP_AUTHORIZATION", "")) or "",
        request=request,
        at=timezone.now(),
        limits=online_limits(),
        environ=environ,
        stored=form == ARROW,
    )
    text = written(answer, form, int64_as_text=request.int64_as_text)
    headers = [
        ("Content-Type", form),
        ("Content-Length", str(len(text))),
        ("X-Content-Type-Options", "nosniff"),
    ]
    return text, headers + said_headers(answer.warnings, answer.plan.deprecation)
