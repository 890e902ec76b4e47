"""Notifications over HTTP: one's own, of what one may see, read and chosen."""

from __future__ import annotations

import pytest

from registry import spreading
from registry.choices import State
from registry.models import Notification
from registry.operations.people.tokens import issue_token
from tests import factories
from tests.factories import AT, make_version

pytestmark = pytest.mark.django_db
NEWS = "/api/v1/notifications"


@pytest.fixture
def told(cast):
    make_version(cast, state=State.IN_REVIEW)
    spreading.spread_news(at=AT)
    return cast


def post(client, path, body):
    return client.post(f"{NEWS}{path}", body, content_type="application/json")


def test_one_sees_what_one_was_told(client, told):
    client.force_login(told.steward)

    found = client.get(f"{NEWS}?unread=true&kind=review").json()

    assert found["count"] == 1
    assert found["results"][0]["says"] == "author submitted for your review driver_hourly@1.0.0"
    client.force_login(told.author)
    assert client.get(NEWS).json()["count"] == 0
    client.logout()
    assert client.get(NEWS).status_code == 401


def test_one_reads_ones_own(client, told):
    others = list(Notification.objects.exclude(recipient=told.steward).values_list("pk", flat=True))
    client.force_login(told.steward)

    assert post(client, "/read", {"ids": [*others, -1, 2**70]}).json() == {"read": 0}
    assert post(client, "/read", {}).json() == {"read": 1}
    assert client.get(f"{NEWS}?unread=true").json()["count"] == 0
    assert Notification.objects.filter(read_at=None).count() == len(others)
    refused = post(client, "/read", {"ids": list(range(501))})
    assert (refused.status_code, "at most 500" in refused.json()["detail"]) == (422, True)


def test_a_token_of_another_project_shows_nothing_of_this(client, told):
    other = factories.make_project("taxis", told.steward)
    _, text = issue_token(
        user=told.steward, name="t", actor=told.steward, at=AT.replace(year=2036), days=30,
        project=other,
    )  # fmt: skip

    answer = client.get(NEWS, headers={"Authorization": f"Bearer {text}"})

    assert answer.json()["count"] == 0


def test_one_chooses_what_to_hear(client, told):
    client.force_login(told.steward)
    assert client.get(f"{NEWS}/choice").json()["muted"] == []

    assert post(client, "/choice", {"muted": ["drift"], "by_mail": False}).status_code == 200
    assert client.get(f"{NEWS}/choice").json()["muted"] == ["drift"]
    refused = post(client, "/choice", {"muted": ["drifts"], "by_mail": False})
    assert refused.json()["code"] == "invalid_news_kind"
