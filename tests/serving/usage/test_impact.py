"""The packet of a change has how many read the view; who does is told to those who may know."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import strip_tags

from registry.choices import State
from registry.models import FeatureViewVersion
from registry.models.names import pseudonym_of
from registry.operations.lifecycle import submissions
from serving.models import LastRead
from serving.usage.duties import _tidy
from tests import factories
from tests.serving.online_world import ask, committed

pytestmark = pytest.mark.django_db

TRIPS = {"features": ["driver_hourly:avg_daily_trips"], "entities": {"driver_id": [1001]}}
REVIEW = "/api/v1/projects/rides/feature-views/driver_hourly/versions/1.0.1/review"


@pytest.fixture
def kept_days():
    return 90


@pytest.fixture
def change(client, cast, token, version, stored, settings, kept_days):
    """A change in words, submitted after the consumer has read the view; another did long ago."""
    settings.USAGE_DAYS = kept_days
    ask(client, token, TRIPS)
    stored()
    LastRead.objects.create(
        version=version,
        feature="conv_rate",
        reader=pseudonym_of(cast.author),
        read_at=timezone.now() - timedelta(days=31),
    )
    text = factories.VIEW.replace("Conversion rate", "Won calls")
    with committed():
        draft = factories.make_version(cast, text=text, state=State.DRAFT)
        submissions.submit_version(
            version=draft, actor=cast.author, at=timezone.now(), look=factories.look
        )
    return FeatureViewVersion.objects.get(pk=draft.pk)


def review(client, user) -> dict:
    headers = {"Authorization": f"Bearer {factories.token_for(user)}"}
    return client.get(REVIEW, headers=headers).json()


def test_a_packet_counts_who_read_it_lately_and_names_nobody(client, cast, change):
    line = {"version": "1.0.0", "last_read_at": timezone.now().date().isoformat()}
    assert change.packet["read_by"] == [{"readers": 1, "days": 30, **line}]
    assert pseudonym_of(cast.consumer) not in json.dumps(change.packet)

    seen = review(client, cast.steward)
    assert seen["read_by"] == [{"reader": "consumer", "features": 1, **line}]
    assert seen["packet"] == change.packet
    hidden = review(client, cast.consumer)
    assert (hidden["read_by"], "read_by" in hidden["packet"]) == ([], False)


def test_who_read_it_is_told_for_as_long_as_that_is_kept(client, cast, change, settings, now):
    settings.USAGE_DAYS = 7
    _tidy(now + timedelta(days=9))

    seen = review(client, cast.steward)

    assert (seen["read_by"], seen["packet"]) == ([], change.packet)


@pytest.mark.parametrize("kept_days", [7])
def test_the_page_of_a_review_says_it_of_the_days_that_were_counted(as_, change, kept_days):
    url = reverse("admin:registry_featureviewversion_change", args=[change.pk])

    def said(who):
        return " ".join(strip_tags(as_(who).get(url).text.replace("<", " <")).split())

    assert "Read in the 7 days before it was submitted: 1.0.0 by 1 reader." in said("steward")
    assert "consumer 1.0.0, 1 feature, last on" in said("steward")
    assert "days before it was submitted" not in said("consumer")
    assert "Read lately" not in said("consumer")
