"""Who reads something, on the pages of features, services and deprecated versions, and in lists."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from lib.connections import get_redis
from materialization.stores.offline_protocol import OfflineStoreUnavailable
from materialization.stores.usage_table import UsageTable
from registry.catalogue.facts import facts_of
from registry.models import FeatureService, FeatureViewVersion
from registry.operations.lifecycle.releases import deprecate_version
from serving.models import LastRead, StoreLook
from serving.usage.edges import counted_until
from serving.usage.standing import SINCE
from tests import factories
from tests.serving.online_world import ask, committed

pytestmark = pytest.mark.django_db

TRIPS = {"features": ["driver_hourly:avg_daily_trips"], "entities": {"driver_id": [1001]}}
SERVICE = "kind: FeatureService\nname: scoring\nfeatures: ['driver_hourly:conv_rate']\n"


@pytest.fixture
def read(client, token, version, stored):
    """One read of one feature, stored."""
    ask(client, token, TRIPS)
    stored()
    return version


def text_of(client, url: str) -> str:
    page = client.get(url)
    assert page.status_code == 200
    return " ".join(strip_tags(page.text.replace("<", " <")).split())


def feature_url(version: FeatureViewVersion, name: str) -> str:
    feature = version.features.get(name=name)
    return reverse("admin:registry_feature_change", args=[feature.pk])


def noted_for(days: int, now) -> None:
    """Have reads be noted since so many days; versions are approved since longer."""
    since = now - timedelta(days=days)
    StoreLook.objects.update_or_create(what=SINCE, defaults={"looked_at": since})


def test_a_features_page_says_who_reads_it(as_, read):
    said = text_of(as_("author"), feature_url(read, "avg_daily_trips"))

    assert "1 read, the last one" in said
    assert "consumer online 1 1" in said


def test_a_consumer_sees_own_reads_alone(client, as_, cast, read, stored):
    ask(client, factories.token_for(cast.author), TRIPS)
    stored()

    said = text_of(as_("consumer"), feature_url(read, "avg_daily_trips"))
    assert "your own reads" in said
    assert "author online" not in said
    assert "author online" in text_of(as_("auditor"), feature_url(read, "avg_daily_trips"))
    assert "You have not read it" in text_of(as_("consumer"), feature_url(read, "conv_rate"))


@pytest.mark.parametrize(
    ("days", "kept", "words"),
    [
        (45, 90, "Nobody has read this for 30 days."),
        (45, 7, "Nobody has read this for 7 days."),
        (3, 90, "which is not yet 30 days"),
        (3, 7, "which is not yet 7 days"),
    ],
)
def test_what_nobody_reads_says_since_when(as_, read, now, settings, days, kept, words):
    settings.USAGE_DAYS = kept
    noted_for(days, now)

    said = text_of(as_("author"), feature_url(read, "conv_rate"))

    assert words in said
    assert f"the last {min(30, kept)} days, counted until {timezone.now():%Y-%m-%d}" in said


def test_what_waits_to_be_counted_is_not_said_to_be_nobodys(as_, version, stored):
    """An hour ago somebody sent what no worker has stored yet: of later reads nothing is known."""
    now = timezone.now()
    sent = int((now - timedelta(hours=1)).timestamp() * 1000)
    get_redis().xadd(b"a:{usage}:log", {"d": b"\x90"}, id=f"{sent}-0")
    noted_for(0, now)

    assert counted_until(now) < now - timedelta(minutes=59)
    said = text_of(as_("author"), feature_url(version, "avg_daily_trips"))
    assert "No read is counted yet." in said

    stored()
    assert counted_until(now) > now - timedelta(seconds=30)


def test_a_panel_looks_through_the_reads_once(as_, cast, read, monkeypatch):
    looked, batches = [], UsageTable.batches
    monkeypatch.setattr(UsageTable, "batches", lambda *told: looked.append(told) or batches(*told))

    as_("author").get(feature_url(read, "avg_daily_trips"))
    as_("owner").get(reverse("admin:registry_project_change", args=[cast.project.pk]))

    assert len(looked) == 2


def test_a_services_page_says_who_asked_for_it(client, as_, cast, token, version, stored):
    with committed():
        factories.apply(SERVICE, cast)
    ask(client, token, {"feature_service": "scoring", "entities": {"driver_id": [1001]}})
    ask(client, token, TRIPS)
    stored()

    url = reverse("admin:registry_featureservice_change", args=[FeatureService.objects.get().pk])
    assert "1 read, the last one" in text_of(as_("author"), url)


def test_a_deprecated_versions_page_says_who_still_reads_it(as_, cast, read):
    url = reverse("admin:registry_featureviewversion_change", args=[read.pk])
    assert "Who still reads it" not in text_of(as_("author"), url)
    with committed():
        deprecate_version(version=read, actor=cast.steward, at=factories.AT)

    assert "Who still reads it" in text_of(as_("author"), url)


def test_a_projects_page_says_who_reads_most_and_who_still_reads_what_goes(as_, cast, read):
    url = reverse("admin:registry_project_change", args=[cast.project.pk])
    said = text_of(as_("owner"), url)
    assert "consumer 1 read, 1 row" in said
    assert "Still reading what is deprecated" not in said
    with committed():
        deprecate_version(version=read, actor=cast.steward, at=factories.AT)

    said = text_of(as_("owner"), url)
    assert "Still reading what is deprecated: consumer driver_hourly@1.0.0, 1 read" in said


def test_a_store_that_cannot_tell_is_not_nobody(as_, read, monkeypatch):
    def fails(*_):
        raise OfflineStoreUnavailable("the disk is away")

    monkeypatch.setattr(UsageTable, "_find", fails)

    said = text_of(as_("author"), feature_url(read, "avg_daily_trips"))
    assert "the disk is away" in said
    assert "Nobody has read" not in said


def test_lists_and_catalogue_say_what_nobody_reads(client, as_, token, version, now):
    noted_for(45, now)
    assert facts_of([version])[version.pk]["usage"] == {"last_read_at": None, "unread_days": 45}

    url = reverse("admin:registry_featureview_changelist")
    assert "nobody has read it for 45 days" in text_of(as_("consumer"), url)

    LastRead.objects.create(
        version=version, feature="conv_rate", reader="person-1", read_at=now - timedelta(days=2)
    )
    said = facts_of([version])[version.pk]
    assert (said["usage"]["unread_days"], "remarks" in said) == (2, False)
    assert "nobody has read" not in text_of(as_("consumer"), url)


def test_when_something_was_last_read_is_kept_by_reader(client, cast, token, version, stored):
    for reader in (cast.consumer, cast.author, cast.consumer):
        ask(client, factories.token_for(reader), TRIPS)
        stored()

    rows = LastRead.objects.values_list("version", "feature")
    assert list(rows) == [(version.pk, "avg_daily_trips")] * 2
