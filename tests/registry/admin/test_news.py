"""The bell, the list, the way to what it is about, and choosing what to hear."""

from __future__ import annotations

import pytest

from registry import spreading
from registry.choices import Role, State
from registry.models import NewsChoice, Notification
from registry.operations.people import members
from tests.factories import AT, make_version

pytestmark = pytest.mark.django_db
LIST = "/admin/registry/notification/"


@pytest.fixture
def told(cast):
    version = make_version(cast, state=State.IN_REVIEW)
    spreading.spread_news(at=AT)
    return version


def page(client, path=LIST):
    return " ".join(client.get(path).content.decode().split())


@pytest.mark.parametrize("path", ["/admin/", "/admin/registry/featureview/", LIST])
def test_the_bell_says_how_much_is_unread(client, cast, told, path):
    client.force_login(cast.steward)
    assert 'aria-label="Notifications, 1 unread"' in page(client, path)
    client.force_login(cast.author)
    assert 'aria-label="Notifications"' in page(client, path)


def test_whoever_follows_a_notification_is_led_there_and_has_read_it(client, cast, told):
    client.force_login(cast.steward)
    one = Notification.objects.get(recipient=cast.steward)
    assert "author submitted for your review driver_hourly@1.0.0" in page(client)

    answer = client.get(f"{LIST}{one.pk}/change/")

    assert answer.url == f"/admin/registry/featureviewversion/{told.pk}/change/"
    assert 'aria-label="Notifications"' in page(client)
    assert "Mark all" not in page(client)


def test_all_are_marked_at_once_or_those_that_were_chosen(client, cast, told):
    client.force_login(cast.steward)
    assert "Mark all 1 as read" in page(client)
    client.post(f"{LIST}read-all/")
    client.force_login(cast.owner)
    chosen = [one.pk for one in Notification.objects.all()]
    client.post(LIST, {"action": "read_chosen", "_selected_action": chosen})

    unread = Notification.objects.filter(read_at=None)
    assert [one.recipient for one in unread] == [cast.second_steward]
    assert client.get(f"{LIST}read-all/").status_code == 405


def test_nobody_sees_those_of_others(client, cast, told):
    one = Notification.objects.get(recipient=cast.steward)
    for who in (cast.owner, cast.superuser, cast.outsider):
        client.force_login(who)
        assert client.get(f"{LIST}{one.pk}/change/").url == LIST
    one.refresh_from_db()
    assert one.read_at is None


def test_who_left_sees_none_of_the_project(client, cast, told):
    client.force_login(cast.steward)
    gone = {"user": cast.steward, "role": Role.STEWARD, "actor": cast.owner, "at": AT}
    members.revoke_role(project=cast.project, **gone)

    assert "driver_hourly" not in page(client)


def test_an_empty_list_says_what_one_hears(client, cast):
    client.force_login(cast.author)

    assert "You hear here of reviews that are asked of you" in page(client)


def test_one_chooses_what_to_hear(client, cast, settings):
    client.force_login(cast.steward)
    path = f"{LIST}choices/"
    assert "sends no mails" in page(client, path)
    settings.EMAIL_HOST = "mail.example.com"
    assert "Your account has no address" in page(client, path)

    client.post(path, {"heard": ["review", "comment"]})

    choice = NewsChoice.objects.get(user=cast.steward)
    assert ("review" in choice.muted, "drift" in choice.muted, choice.by_mail) == (0, 1, False)
    assert client.post(path, {"heard": ["nonsense"]}).status_code == 200
