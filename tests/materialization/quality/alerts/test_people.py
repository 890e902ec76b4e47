"""Alerts as news of people, and reviews on a project's channels."""

from __future__ import annotations

import pytest

from materialization.choices import AlertKind, NoticeEvent, Severity
from materialization.models import AlertChannel, AlertNotice
from materialization.quality.alerts.notices import message_of, note_test
from materialization.quality.alerts.opening import (
    About,
    Trouble,
    about_version,
    close_alert,
    raise_alert,
)
from registry import news, spreading
from registry.choices import NewsKind, State
from registry.models import Notification
from tests.factories import AT, VIEW, make_version

pytestmark = pytest.mark.django_db


def raise_(kind, about):
    return raise_alert(kind, about, Trouble("it is.", "overdue"), at=AT)


def names(kind) -> set[str]:
    rows = Notification.objects.filter(kind=kind)
    return set(rows.values_list("recipient__username", flat=True))


def test_who_cares_for_the_data_and_its_authors_hear_once_that_it_is_late(cast):
    about = about_version(make_version(cast))
    raise_(AlertKind.OVERDUE, about)
    raise_(AlertKind.OVERDUE, about)

    assert names(NewsKind.FRESHNESS) == {"author", "operator", "owner", "steward", "second_steward"}
    one = news.heard_by(cast.operator).get()
    assert str(one) == "driver_hourly@1.0.0 is older than it promises"
    close_alert(AlertKind.OVERDUE, about, at=AT)
    raise_(AlertKind.OVERDUE, about)
    assert news.heard_by(cast.operator).count() == 2


@pytest.mark.parametrize("kind", AlertKind)
def test_every_kind_of_alert_is_some_news(cast, kind):
    raise_(kind, about_version(make_version(cast)))

    assert news.heard_by(cast.operator).count() == 1


def test_what_is_wrong_with_the_installation_is_for_superusers(cast):
    raise_(AlertKind.STALLED, About("worker"))

    assert names(NewsKind.FAILURE) == {"superuser"}
    assert str(news.heard_by(cast.superuser).get()) == "worker stands still"


@pytest.fixture
def channels(cast):
    """One that hears of reviews, one that does not, one that is paused."""
    columns = {"project": cast.project, "severity": Severity.WARNING, "created_by": cast.owner}
    made = {"url": "jsons://hooks.example.com/x", "created_at": AT, "where": "webhook"}
    AlertChannel.objects.create(name="quiet", **columns, **made)
    AlertChannel.objects.create(name="paused", hears_reviews=True, enabled=False, **columns, **made)
    return AlertChannel.objects.create(name="reviews", hears_reviews=True, **columns, **made)


def test_a_channel_that_hears_of_reviews_is_told_once_and_of_nobody(cast, channels, settings):
    settings.PUBLIC_URL = "https://assay.example.com"
    make_version(cast, state=State.DRAFT)
    version = make_version(cast, state=State.IN_REVIEW, text=VIEW)
    spreading.spread_news(at=AT)
    spreading.spread_news(at=AT)

    notice = AlertNotice.objects.get()
    assert (notice.channel, notice.event) == (channels, NoticeEvent.NEWS)
    title, body = message_of(notice)
    assert title == "Assay: rides, driver_hourly@1.0.0 was submitted for review"
    path = f"/admin/registry/featureviewversion/{version.pk}/change/"
    assert body == f"https://assay.example.com{path}"
    assert "author" not in title + body


def test_a_test_of_a_channel_takes_no_news_away(cast, channels):
    make_version(cast, state=State.IN_REVIEW)
    spreading.spread_news(at=AT)

    assert note_test(channels, at=AT)
    assert AlertNotice.objects.filter(event=NoticeEvent.NEWS).count() == 1


def test_messages_of_alerts_lead_to_the_alert(cast, channels, settings):
    settings.PUBLIC_URL = "https://assay.example.com"
    alert = raise_(AlertKind.OVERDUE, about_version(make_version(cast)))
    notice = AlertNotice.objects.filter(alert=alert).first()

    address = f"https://assay.example.com/admin/materialization/alert/{alert.pk}/change/"
    assert address in message_of(notice)[1]
