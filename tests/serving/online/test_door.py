"""The short way answers as the view does, and leaves everything else to it."""

from __future__ import annotations

import json
from functools import partial

import pytest
from django.utils import timezone

from serving.online.door import OnlineFirst
from tests import factories
from tests.serving.online_world import PATH, ask, committed, loaded_view
from tests.serving.online_world import call as call_with

pytestmark = pytest.mark.django_db

REQUEST = {"features": ["driver_hourly:conv_rate"], "entities": {"driver_id": [1001, 1]}}
call = partial(call_with, body=REQUEST, token="")


@pytest.fixture
def token(db):
    now = timezone.now()
    with committed():
        people = factories.make_cast()
    loaded_view(
        people, factories.DEFINITIONS, [{"driver_id": 1001, "event": now, "conv_rate": 0.5}], at=now
    )
    return factories.token_for(people.consumer)


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
        ({"host": "evil.example"}, 400),
        ({"host": "localhost.evil.example"}, 400),
        ({"host": "a b"}, 400),
        ({"body": {"features": []}}, 422),
        ({"body": {**REQUEST, "entities": {"driver_id": ["x"]}}}, 422),
    ],
)
def test_whatever_is_not_an_answer_is_the_views(behind, token, change, status):
    line, headers, answer = call(OnlineFirst(behind), **{"token": token, **change})

    assert int(line.split()[0]) == status == json.loads(answer)["status"]
    assert (headers["Content-Type"], behind.calls) == ("application/problem+json", 1)


def test_the_door_keeps_the_limits_of_the_settings(behind, token, settings):
    settings.ONLINE_MAX_ENTITY_ROWS = 1
    door = OnlineFirst(behind)
    settings.ONLINE_MAX_ENTITY_ROWS = 2  # the view's from here on: it answers what the door left

    assert (call(door, token=token)[0], behind.calls) == ("200 OK", 1)


def test_a_body_over_the_limit_is_left_unread(behind, token, settings):
    settings.ONLINE_MAX_BYTES = 10

    assert call(OnlineFirst(behind), token=token)[0].startswith("413")
