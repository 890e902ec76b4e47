"""Who may ask for jobs, see, download and cancel them, as of now: rights, grants and tokens end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from registry.choices import Role
from registry.models import AuditEntry
from registry.operations.lifecycle.releases import mark_table_ready
from registry.operations.people import grants, members
from registry.operations.people.token_limits import Limits
from registry.operations.people.tokens import issue_token
from serving.models import HistoricalJob
from tests import factories
from tests.serving.callers import refusal
from tests.serving.historical_world import commit, stored_view
from tests.serving.jobs_world import URL, Caller, make
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = datetime.now(UTC)
ASKED = {
    "features": ["driver_hourly:avg_daily_trips"],
    "entities": {"driver_id": [1001], "event_timestamp": ["2026-03-01T14:00:00Z"], "label": [1]},
}
MAY_ASK = {"consumer", "author", "owner", "superuser"}
EVERYBODY = sorted({*MAY_ASK, "anonymous", "outsider", "operator", "steward", "auditor"})
SEE = set(EVERYBODY) - {"anonymous", "outsider"}
MAY_CANCEL = {"consumer", "author", "owner", "superuser", "operator", "steward"}


@pytest.fixture
def drivers(cast):
    rows = [{"driver_id": 1001, "event": NOON, "avg_daily_trips": 3}]
    return stored_view(cast, rows, at=NOON)


@pytest.fixture
def job(client, cast, drivers):
    return make(Caller(client, cast.consumer).ask(ASKED), NOW)


@pytest.mark.parametrize("who", EVERYBODY)
def test_who_may_ask_for_one(client, cast, drivers, who):
    response = Caller.named(client, cast, who).post(body=ASKED)

    assert response.status_code == (202 if who in MAY_ASK else refusal(who))
    assert HistoricalJob.objects.count() == (who in MAY_ASK)
    assert AuditEntry.objects.filter(verb="historical_job.requested").count() == (who in MAY_ASK)


@pytest.mark.parametrize("who", EVERYBODY)
def test_everybody_sees_whose_it_is_and_only_its_asker_has_the_rows(client, cast, job, who):
    caller = Caller.named(client, cast, who)

    listed, shown, downloaded = (
        caller.get(),
        caller.get(f"/{job.pk}"),
        caller.get(f"/{job.pk}/download"),
    )

    if who not in SEE:
        assert [each.status_code for each in (listed, shown, downloaded)] == [refusal(who)] * 3
        return
    assert [each["id"] for each in listed.json()["results"]] == [job.pk]
    is_theirs = who == "consumer"
    assert (shown.json()["sha256"] is not None, shown.json()["size"] is not None) == (
        is_theirs, is_theirs,
    )  # fmt: skip
    assert downloaded.status_code == (200 if is_theirs else 403)
    assert AuditEntry.objects.filter(verb="historical_job.downloaded").count() == is_theirs


@pytest.mark.parametrize("who", EVERYBODY)
def test_who_may_cancel_it(client, cast, job, who):
    response = Caller.named(client, cast, who).post(f"/{job.pk}/cancel")

    assert response.status_code == (200 if who in MAY_CANCEL else refusal(who))
    assert response.json().get("expires_at") is None
    job.refresh_from_db()
    assert job.status == ("cancelled" if who in MAY_CANCEL else "done")
    entries = AuditEntry.objects.filter(verb="historical_job.cancelled").count()
    assert entries == (who in MAY_CANCEL)


def test_a_right_that_ended_ends_the_download_and_the_making(client, cast, job):
    caller = Caller(client, cast.consumer)
    waiting = caller.ask(ASKED)
    with committed():
        factories.give_role(
            cast.project, cast.consumer, Role.AUDITOR, cast.owner, accepted_by=cast.superuser
        )
        about = {"project": cast.project, "user": cast.consumer, "role": Role.CONSUMER}
        members.revoke_role(**about, actor=cast.owner, at=NOON)

    assert caller.get(f"/{job.pk}/download").status_code == 403
    made = make(waiting, NOW)
    assert (made.status, made.error_code) == ("failed", "not_permitted")


def test_an_asker_who_was_shut_out_gets_nothing(client, cast, drivers):
    job = Caller(client, cast.consumer).ask(ASKED)
    cast.consumer.is_active = False
    cast.consumer.save()

    assert make(job, NOW).error_code == "asker_shut_out"


def test_a_token_for_other_views_is_told_of_none(client, cast, job):
    with committed():
        factories.apply(factories.DEFINITIONS.replace("driver_hourly", "other"), cast)
    _, text = issue_token(
        user=cast.consumer, actor=cast.consumer, at=timezone.now(), name="other", days=3,
        is_logged_in=True, project=cast.project, limits=Limits(views=["other"]),
    )  # fmt: skip
    headers = {"Authorization": f"Bearer {text}"}

    assert client.get(URL, headers=headers).json()["results"] == []
    assert client.get(f"{URL}/{job.pk}/download", headers=headers).status_code == 404


def test_a_download_is_counted_once_however_often_it_was_cut(client, cast, job):
    caller = Caller(client, cast.consumer)
    whole = caller.get(f"/{job.pk}/download")
    for headers in ({"Range": "bytes=4-"}, {"If-None-Match": whole["ETag"]}):
        caller.get(f"/{job.pk}/download", headers)

    told = AuditEntry.objects.filter(verb__startswith="historical_job.download").order_by("pk")
    assert [entry.verb.partition(".")[2] for entry in told] == ["downloaded", "download_resumed"]


@pytest.mark.parametrize(("rights", "status"), [(["read_online"], 403), (["read_offline"], 200)])
def test_by_a_token_ones_own_is_cancelled_that_could_ask_for_it(client, cast, job, rights, status):
    _, text = issue_token(
        user=cast.consumer, actor=cast.consumer, at=timezone.now(), name="narrow", days=3,
        is_logged_in=True, project=cast.project, limits=Limits(rights=rights),
    )  # fmt: skip
    headers = {"Authorization": f"Bearer {text}"}

    answer = client.post(f"{URL}/{job.pk}/cancel", headers=headers, content_type="application/json")

    assert answer.status_code == status


def test_a_sensitive_feature_takes_a_grant_at_each_step(client, cast):
    text = factories.DEFINITIONS.replace("sensitivity: internal", "sensitivity: confidential")
    with committed():
        version = factories.make_version(cast, text=text)
        factories.approve(version, cast.second_steward)
        version.refresh_from_db()
    commit(version, [{"driver_id": 1001, "event": NOON, "avg_daily_trips": 3}])
    with committed():
        mark_table_ready(table=version.table, at=NOON, kept_for=None)
    caller = Caller(client, cast.consumer)
    assert caller.post(body=ASKED).json()["code"] == "grant_needed"
    with committed():
        grant = factories.give_grant(cast, cast.consumer, view="driver_hourly")
    job, waiting = caller.ask(ASKED), caller.ask(ASKED)
    make(job, timezone.now())
    assert caller.rows(job).num_rows == 1
    with committed():
        grants.revoke_grant(grant=grant, by=grants.Hand(cast.steward), at=timezone.now())

    refused = caller.get(f"/{job}/download")

    assert (refused.status_code, refused.json()["code"]) == (403, "grant_needed")
    assert make(waiting, timezone.now()).error_code == "grant_needed"


def test_one_person_has_so_many_and_all_have_so_much(client, cast, drivers, settings):
    settings.HISTORICAL_JOBS_MAX_OF_ONE = 2
    caller = Caller(client, cast.consumer)
    first = caller.ask(ASKED)
    caller.ask(ASKED)

    refused = caller.post(body=ASKED)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_historical_jobs")
    assert Caller(client, cast.author).post(body=ASKED).status_code == 202
    assert caller.post(f"/{first}/cancel").status_code == 200
    third = caller.ask(ASKED)

    HistoricalJob.objects.filter(pk=third).update(size=65_536 << 20)
    refused = Caller(client, cast.owner).post(body=ASKED)
    assert (refused.status_code, refused.json()["code"]) == (409, "no_room_for_historical_jobs")


def test_what_is_over_is_gone(client, cast, job):
    caller = Caller(client, cast.consumer)
    HistoricalJob.objects.update(expires_at=NOW - timedelta(hours=1))

    gone = caller.get(f"/{job.pk}/download")
    assert (gone.status_code, gone.json()["code"]) == (410, "historical_job_removed")

    caller.post(f"/{job.pk}/cancel")
    again = caller.post(f"/{job.pk}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "historical_job_is_over")
