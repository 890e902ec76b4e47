"""The short way to online features: answers at the WSGI door what needs nothing of Django.

Not a second API: whatever is not a plain 200 goes to the view behind it, with its errors, its trail
and its log. Measured, Django's middleware and URL resolving cost more than the whole read.
"""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.conf import settings

from lib.accepting import acceptable
from lib.bodies import read_up_to
from lib.errors import Unavailable
from lib.media_types import ARROW
from registry.authentication import bearer_token
from serving.doors import MET, ok_headers, plain_post
from serving.edges import online_limits
from serving.online.answer import FORMS, written
from serving.online.read import get_online_features
from serving.online.request import parse_request
from serving.said_headers import said_headers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from serving.doors import Application, Environ, StartResponse
    from serving.limits import ReadLimits

_PATH = re.compile(r"/api/v1/projects/([-a-zA-Z0-9_]+)/get-online-features")


def is_online_read(method: str, path: str) -> bool:
    return method == "POST" and _PATH.fullmatch(path) is not None


class OnlineFirst:
    """A WSGI application in front of Django's."""

    def __init__(self, application: Application) -> None:
        # Settings are looked up slowly, and they stay.
        self._application, self._limits = application, online_limits()
        self._most = settings.ONLINE_MAX_BYTES

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        found = _PATH.fullmatch(environ["PATH_INFO"])
        length = plain_post(environ, most=self._most) if found else None
        if found is None or length is None:
            return self._application(environ, start_response)
        body = read_up_to(environ["wsgi.input"], length)
        try:
            answer, headers = _answer(found[1], environ, body, self._limits)
        except Exception as exc:  # noqa: BLE001 - the view says, logs and records what it was
            if isinstance(exc, Unavailable):
                environ[MET] = exc  # what hangs would be waited for again
            environ["wsgi.input"] = io.BytesIO(body)
            return self._application(environ, start_response)
        start_response("200 OK", headers)
        return [answer]


def _answer(
    project: str, environ: Environ, body: bytes, limits: ReadLimits
) -> tuple[bytes, list[tuple[str, str]]]:
    form = acceptable(environ.get("HTTP_ACCEPT", ""), FORMS)
    request = parse_request(body, form=form)
    answer = get_online_features(
        project=project,
        token=bearer_token(environ.get("HTTP_AUTHORIZATION", "")) or "",
        request=request,
        at=datetime.now(UTC),
        limits=limits,
        environ=environ,
        stored=form == ARROW,
    )
    text = written(answer, form, int64_as_text=request.int64_as_text)
    return text, ok_headers(form, text) + said_headers(answer.warnings, answer.plan.deprecation)
