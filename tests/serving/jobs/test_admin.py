"""Historical jobs in the admin: the list, the page of one, and the button."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.test import Client
from django.urls import reverse

from registry.models import AuditEntry
from serving.models import HistoricalJob
from tests.serving.historical_world import stored_view
from tests.serving.jobs_world import Caller, make
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = datetime.now(UTC)
LIST = reverse("admin:serving_historicaljob_changelist")
ASKED = {
    "features": ["driver_hourly:avg_daily_trips"],
    "entities": {
        "driver_id": [1001, 5, 6], "event_timestamp": ["2026-03-01T14:00:00Z"] * 3,
    },
}  # fmt: skip


@pytest.fixture
def job(cast):
    stored_view(cast, [{"driver_id": 1001, "event": NOON, "avg_daily_trips": 3}], at=NOON)
    return make(Caller(Client(), cast.consumer).ask(ASKED), NOW)


def url(job, name="change"):
    return reverse(f"admin:serving_historicaljob_{name}", args=[job.pk])


def page_of(client, address):
    response = client.get(address)
    assert response.status_code == 200
    return response.content.decode().replace("<wbr>", "")


def test_the_list_says_whose_each_is_and_how_far(as_, cast, job):
    page = page_of(as_("operator"), LIST)

    assert "3 rows, to be downloaded until it expires" in page
    assert "consumer" in page


def test_its_page_says_more_to_whoever_asked(as_, cast, job):
    theirs, others = (page_of(as_(who), url(job)) for who in ("consumer", "operator"))

    assert "gave nothing to 2 of 3 rows" in theirs
    assert "historical-jobs download" in theirs
    assert "gave nothing" not in others
    assert "are for whoever asked" in others
    assert "driver_hourly@1.0.0:avg_daily_trips" in others


def test_who_runs_the_work_cancels_it(as_, cast, job):
    with committed():
        response = as_("operator").post(url(job, "cancel"))

    assert response.status_code == 302
    assert HistoricalJob.objects.get().status == "cancelled"
    entry = AuditEntry.objects.get(verb="historical_job.cancelled")
    assert entry.actor_id == cast.operator.pk
    page = page_of(as_("operator"), url(job))
    assert "was cancelled" in page
    assert "Remove its file" not in page


def test_an_auditor_looks_and_has_no_button(as_, job):
    assert "Remove its file" in page_of(as_("operator"), url(job))
    assert "Remove its file" not in page_of(as_("auditor"), url(job))

    as_("auditor").post(url(job, "cancel"))

    assert HistoricalJob.objects.get().status == "done"
