"""What a token is limited to counts for online reads as everywhere, with and without a plan."""

from __future__ import annotations

import pytest
from django.utils import timezone

from registry.accounts import token_uses
from registry.models import ApiToken
from registry.operations.people.tokens import Limits, issue_token
from serving.online.door import OnlineFirst
from serving.online.watching import WATCH
from tests import factories
from tests.serving.online_world import ask, call, committed, loaded_view

pytestmark = pytest.mark.django_db

REQUEST = {"features": ["driver_hourly:avg_daily_trips"], "entities": {"driver_id": [1001]}}


@pytest.fixture
def version(cast, now):
    rows = [{"driver_id": 1001, "event": now, "avg_daily_trips": 7}]
    return loaded_view(cast, factories.DEFINITIONS, rows, at=now)


@pytest.fixture
def make(cast, version):
    def token(**limits):
        with committed():
            return issue_token(
                user=cast.consumer, name="t", actor=cast.consumer, at=timezone.now(),
                project=cast.project, limits=Limits(**limits),
            )[1]  # fmt: skip

    return token


@pytest.mark.parametrize(
    ("limits", "status", "code"),
    [
        ({}, 200, None),
        ({"rights": ["read_online"]}, 200, None),
        ({"rights": ["read_offline"]}, 403, "token_too_narrow"),
        ({"views": ["driver_hourly"]}, 200, None),
        ({"networks": ["127.0.0.0/8"]}, 200, None),
        ({"networks": ["10.0.0.0/8"]}, 401, "token_from_elsewhere"),
    ],
)
def test_a_limit_counts(client, make, limits, status, code):
    token = make(**limits)

    for _ in ("cold", "warm"):
        answer = ask(client, token, REQUEST)
        assert (answer.status_code, answer.json().get("code")) == (status, code)


def test_a_view_that_a_token_is_not_for_is_refused(client, cast, make):
    with committed():
        factories.make_version(cast, text=factories.VIEW.replace("driver_hourly", "other"))
    token = make(views=["other"])

    answer = ask(client, token, REQUEST)

    assert (answer.status_code, answer.json()["code"]) == (403, "token_too_narrow")


def test_a_kept_plan_answers_no_other_network(client, make):
    token = make(networks=["127.0.0.1"])
    assert ask(client, token, REQUEST).status_code == 200

    client.defaults["REMOTE_ADDR"] = "10.0.0.1"

    answer = ask(client, token, REQUEST)
    assert (answer.status_code, answer.json()["code"]) == (401, "token_from_elsewhere")


@pytest.mark.parametrize(
    ("said", "status"),
    [("127.0.0.1", 200), ("10.0.0.1", 401), ("127.0.0.1, 10.0.0.1", 401), ("", 401), ("x", 401)],
)
def test_whom_a_call_is_passed_on_for_has_to_be_in_the_networks_too(client, make, said, status):
    token = make(networks=["127.0.0.1"])
    client.defaults["HTTP_ASSAY_ASKED_FROM"] = said

    for _ in ("cold", "warm"):
        assert ask(client, token, REQUEST).status_code == status


def test_who_says_where_others_are_comes_from_where_they_come(client, make):
    token = make(networks=["10.0.0.0/8"])
    client.defaults["HTTP_ASSAY_ASKED_FROM"] = "10.0.0.1"

    assert ask(client, token, REQUEST).status_code == 401


def test_the_short_way_looks_at_the_network_too(behind, make):
    token = make(networks=["10.0.0.0/8"])

    assert call(OnlineFirst(behind), body=REQUEST, token=token)[0].startswith("401")


def test_an_online_read_is_a_use(client, make, monkeypatch):
    monkeypatch.setattr(token_uses, "_noted", {})  # of other tests' tokens
    token = make()
    ask(client, token, REQUEST)

    WATCH.flush()
    token_uses.record_uses(at=timezone.now())

    assert ApiToken.objects.get().last_used_at is not None
