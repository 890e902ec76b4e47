"""Requests compressed with gzip mean what they would uncompressed, within the same limits."""

from __future__ import annotations

import gzip
import io
import json
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from lib.bodies import BadBody, read_body
from tests import factories
from tests.serving import historical_world, online_world
from tests.serving.online_world import PATH, committed, loaded_view

pytestmark = pytest.mark.django_db

REQUEST = {"features": ["driver_hourly:conv_rate"], "entities": {"driver_id": [1001, 1]}}


@pytest.fixture
def token(db):
    now = timezone.now()
    with committed():
        people = factories.make_cast()
    rows = [{"driver_id": 1001, "event": now, "conv_rate": 0.5}]
    version = loaded_view(people, factories.DEFINITIONS, rows, at=now)
    historical_world.commit(version, rows)
    return factories.token_for(people.consumer)


def post(client, body: bytes, token: str, *, path: str = PATH, coding: str = "gzip"):
    headers = {"Content-Encoding": coding}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return client.post(path, data=body, content_type="application/json", headers=headers)


def test_an_online_read_may_be_compressed(client, token):
    plain = online_world.ask(client, token, REQUEST)

    packed = post(client, gzip.compress(json.dumps(REQUEST).encode()), token)

    assert packed.status_code == 200
    assert packed.content == plain.content


def test_so_may_a_training_set_and_definitions(client, token):
    frame = {"driver_id": [1001], "event_timestamp": [timezone.now().isoformat()]}
    asked = {"features": REQUEST["features"], "entities": frame}
    path = PATH.replace("online", "historical")

    packed = post(client, gzip.compress(json.dumps(asked).encode()), token, path=path)

    assert packed.json()["results"][2]["values"] == [0.5]
    path = PATH.replace("get-online-features", "definitions")
    author = factories.token_for(User.objects.get(username="author"))
    packed = post(client, gzip.compress(b'{"definitions": [{"kind": "No"}]}'), author, path=path)
    assert packed.json()["code"] == "invalid_definition"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    # Without times: workers name the tests by them, each for itself.
    [
        (json.dumps(REQUEST).encode(), 422, "invalid_compression"),
        (gzip.compress(json.dumps(REQUEST).encode(), mtime=0)[:-9], 422, "invalid_compression"),
        (gzip.compress(b"[" * 40_000_000, mtime=0), 413, "body_too_large"),
    ],
)
def test_what_is_no_gzip_or_too_much_of_it_is_told(client, token, body, status, code):
    answer = post(client, body, token)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_nothing_is_made_of_what_a_stranger_compressed(client, token):
    answer = post(client, gzip.compress(b"[" * 40_000_000), "assay_unknown")

    assert (answer.status_code, answer.json()["code"]) == (401, "token_unknown")


@pytest.mark.django_db
def test_who_logs_in_is_told_to_send_it_plain():
    """The server reads nothing that is compressed of those it does not know."""
    environ = {
        "CONTENT_LENGTH": "49",
        "HTTP_CONTENT_ENCODING": "gzip",
        "wsgi.input": io.BytesIO(b""),
    }

    with pytest.raises(BadBody, match="uncompressed"):
        read_body(SimpleNamespace(META=environ), limit=100)
