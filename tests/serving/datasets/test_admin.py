"""Datasets in the admin: the list, the page of one, what is withheld, the button, comparing two."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from registry.operations.lifecycle.releases import mark_table_ready
from serving.datasets.comparing import differences
from serving.models import Dataset, DatasetCheck
from tests import factories
from tests.serving.datasets_world import Caller, make
from tests.serving.historical_world import commit, stored_view
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LIST = reverse("admin:serving_dataset_changelist")
ASKED = {
    "name": "churn",
    "description": "Who leaves",
    "features": ["driver_hourly:avg_daily_trips"],
    "entities": {
        "driver_id": [1001, 1002],
        "event_timestamp": ["2026-03-01T14:00:00Z"] * 2,
    },
    "split": {"by": "random", "shares": {"train": 0.5, "test": 0.5}},
}
MAY = ("consumer", "author", "owner", "superuser")


@pytest.fixture
def drivers(cast):
    rows = [{"driver_id": 1001, "event": NOON, "avg_daily_trips": 54321}]
    return stored_view(cast, rows, at=NOON)


@pytest.fixture
def made(cast, drivers):
    caller = Caller(Client(), cast.consumer)
    caller.post(body=ASKED)
    return make(NOON + HOUR)


def url(dataset, name="change"):
    return reverse(f"admin:serving_dataset_{name}", args=[dataset.pk])


def page_of(client, dataset, **query):
    response = client.get(url(dataset), query)
    assert response.status_code == 200
    return response.content.decode().replace("<wbr>", "")


@pytest.mark.parametrize("who", [*MAY, "steward", "operator", "auditor"])
def test_who_has_the_button_and_sees_values(as_, made, who):
    client = as_(who)

    page = page_of(client, made)
    client.post(url(made, "verify"))

    may = who in MAY
    assert ("Compute again" in page) is may
    assert DatasetCheck.objects.count() == may
    assert ("54,321" in page) is may  # the greatest of its profile
    assert "driver_hourly@1.0.0" in page
    assert made.manifest_hash in page
    assert made.manifest_hash[:12] in client.get(LIST).content.decode()


@pytest.mark.parametrize("who", [*MAY, "steward", "operator", "auditor"])
def test_who_ends_it_by_a_form_that_asks_why(as_, made, who):
    client = as_(who)
    may = who in {"consumer", "steward", "owner", "superuser"}

    page = page_of(client, made)
    with committed():
        client.post(url(made, "end"), {"reason": "Replaced"})

    assert ("End this dataset" in page) is may
    assert Dataset.objects.get().status == ("ended" if may else "done")
    after = page_of(client, made)
    assert (f"by {who}: Replaced" in after) is may
    assert "End this dataset" not in after
    assert ("Compute again" in after) is (who == "author")


def test_the_form_says_that_it_was_downloaded_and_asks_for_that(as_, cast, made):
    Caller(Client(), cast.author).rows()
    client = as_("consumer")
    assert "It was downloaded 1 time," in page_of(client, made)

    client.post(url(made, "end"), {"reason": "Replaced"})
    assert Dataset.objects.get().status == "done"
    with committed():
        client.post(url(made, "end"), {"reason": "Replaced", "despite_downloads": "on"})

    assert Dataset.objects.get().status == "ended"


def test_outsiders_see_nothing(as_, made):
    client = as_("outsider")

    assert client.get(url(made)).status_code in (302, 404)
    assert "churn@1" not in client.get(LIST).content.decode()


def test_who_downloaded_it_is_told_to_those_who_may_read_the_trail(as_, cast, made):
    Caller(Client(), cast.author).rows()

    assert ">author " in page_of(as_("auditor"), made)
    assert "For those who may read the trail" in page_of(as_("consumer"), made)


def test_values_that_take_a_grant_are_withheld(as_, cast):
    text = factories.DEFINITIONS.replace("sensitivity: internal", "sensitivity: confidential")
    with committed():
        version = factories.make_version(cast, text=text)
        factories.approve(version, cast.second_steward)
        version.refresh_from_db()
        factories.give_grant(cast, cast.consumer, view="driver_hourly")
    commit(version, [{"driver_id": 1001, "event": NOON, "avg_daily_trips": 54321}])
    with committed():
        mark_table_ready(table=version.table, at=NOON, kept_for=None)
    Caller(Client(), cast.consumer).post(body=ASKED)
    made = make(NOON + HOUR)

    assert "54,321" in page_of(as_("consumer"), made)
    assert "54,321" not in page_of(as_("author"), made)


def test_two_versions_are_compared(as_, cast, drivers, made):
    commit(drivers, [{"driver_id": 1001, "event": NOON + HOUR, "avg_daily_trips": 9}], sequence=2)
    Caller(Client(), cast.consumer).post(body={**ASKED, "timing": "event"})
    second = make(NOON + HOUR)

    page = page_of(as_("consumer"), second, **{"with": "1"})

    assert "Compared with" in page
    lines = {line.what: line for line in differences(made.manifest, second.manifest)}
    assert (lines["timing"].before, lines["timing"].after) == ("known", "event")
    assert lines["content of the frame"].is_equal
    assert not lines["content of the rows"].is_equal
    assert lines["feature avg_daily_trips"].is_equal
    assert not lines["table of driver_hourly"].is_equal
    for odd in ("9", "x", "9" * 50, "-1"):
        assert "Compared with" not in page_of(as_("consumer"), second, **{"with": odd})


def test_what_is_not_made_has_a_page_too(as_, cast, drivers):
    Caller(Client(), cast.consumer).post(body=ASKED)

    page = page_of(as_("consumer"), Dataset.objects.get())

    assert "queued" in page
    assert "Compute again" not in page


def test_a_list_of_many_asks_no_more_than_one_of_few(as_, cast, drivers, made):
    client = as_("consumer")

    def asked() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(LIST)
        return len(queries)

    asked()
    few = asked()
    for _ in range(3):
        Caller(Client(), cast.consumer).post(body=ASKED)

    assert asked() == few


def test_the_lineage_leads_to_the_page(as_, cast, made):
    address = reverse("admin:registry_feature_of", args=["rides", "dataset", "churn@1"])

    assert as_("consumer").get(address).url == url(made)
    other = reverse("admin:registry_feature_of", args=["rides", "dataset", "churn@x"])
    assert as_("consumer").get(other).status_code == 404
