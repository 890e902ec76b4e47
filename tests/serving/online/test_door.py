"""The short way answers as the view does, and leaves everything else to it."""

from __future__ import annotations

import io
import json

import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from django.utils import timezone

from serving.online.door import OnlineFirst
from tests import factories
from tests.serving.online_world import ask, committed, loaded_view

pytestmark = pytest.mark.django_db

PATH = "/api/v1/projects/rides/get-online-features"
REQUEST = {"features": ["driver_hourly:conv_rate"], "entities": {"driver_id": [1001, 1]}}


class Behind:
    """Django's application; counts what came through to it."""

    def __init__(self) -> None:
        self.calls = 0
        self._application = get_wsgi_application()

    def __call__(self, environ, start_response):
        self.calls += 1
        return self._application(environ, start_response)


@pytest.fixture
def behind():
    # As Django's own test client does: a request's end would close the test's transaction.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield Behind()
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def token(db):
    now = timezone.now()
    with committed():
        people = factories.make_cast()
    loaded_view(
        people, factories.DEFINITIONS, [{"driver_id": 1001, "event": now, "conv_rate": 0.5}], at=now
    )
    return factories.token_for(people.consumer)


def call(
    application, *, body=REQUEST, method="POST", path=PATH, token=""
) -> tuple[str, dict, bytes]:
    """Return (status line, headers, body) of one WSGI call."""
    text = json.dumps(body).encode()
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(text)),
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "HTTP_HOST": "localhost",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(text),
        "wsgi.errors": io.StringIO(),
    }
    said = []
    answer = b"".join(application(environ, lambda status, headers: said.append((status, headers))))
    return said[0][0], dict(said[0][1]), answer


def test_an_answer_is_the_views_byte_for_byte(client, behind, token):
    status, headers, answer = call(OnlineFirst(behind), token=token)

    view = ask(client, token, REQUEST)
    assert (status, answer, behind.calls) == ("200 OK", view.content, 0)
    assert headers == {
        "Content-Type": view["Content-Type"],
        "Content-Length": view["Content-Length"],
        "X-Content-Type-Options": "nosniff",
    }


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"token": "assay_wrong"}, 401),
        ({"path": PATH.replace("rides", "other")}, 404),
        ({"path": "/api/v1/nothing"}, 404),
        ({"method": "GET"}, 405),
        ({"body": {"features": []}}, 422),
        ({"body": {**REQUEST, "entities": {"driver_id": ["x"]}}}, 422),
    ],
)
def test_whatever_is_not_an_answer_is_the_views(behind, token, change, status):
    line, headers, answer = call(OnlineFirst(behind), **{"token": token, **change})

    assert int(line.split()[0]) == status == json.loads(answer)["status"]
    assert (headers["Content-Type"], behind.calls) == ("application/problem+json", 1)


def test_a_body_over_the_limit_is_left_unread(behind, token, settings):
    settings.ONLINE_MAX_BYTES = 10

    assert call(OnlineFirst(behind), token=token)[0].startswith("413")
