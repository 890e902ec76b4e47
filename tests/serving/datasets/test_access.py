"""Who may make, see, download and verify datasets, as of now: rights, grants and tokens end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from registry.choices import Role
from registry.models import AuditEntry
from registry.operations.lifecycle.releases import mark_table_ready, retire_version
from registry.operations.people import grants, members, tokens
from registry.operations.people.passwords import note_password_changed
from registry.operations.people.token_limits import Limits
from serving.datasets import checks
from serving.models import Dataset
from tests import factories
from tests.serving.callers import refusal
from tests.serving.datasets_world import URL, Caller, make, verify
from tests.serving.historical_world import commit, stored_view
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ASKED = {
    "name": "churn",
    "features": ["driver_hourly:avg_daily_trips"],
    "entities": {"driver_id": [1001], "event_timestamp": ["2026-03-01T14:00:00Z"]},
}
MAY = {"consumer", "author", "owner", "superuser"}
EVERYBODY = sorted({*MAY, "anonymous", "outsider", "operator", "steward", "auditor"})
SEE = set(EVERYBODY) - {"anonymous", "outsider"}


@pytest.fixture
def drivers(cast):
    rows = [{"driver_id": 1001, "event": NOON, "avg_daily_trips": 3}]
    return stored_view(cast, rows, at=NOON)


@pytest.fixture
def made(client, cast, drivers):
    Caller(client, cast.consumer).post(body=ASKED)
    return make(NOON + DAY)


@pytest.mark.parametrize("who", EVERYBODY)
def test_who_may_have_one_made(client, cast, drivers, who):
    response = Caller.named(client, cast, who).post(body=ASKED)

    assert response.status_code == (202 if who in MAY else refusal(who))
    assert Dataset.objects.count() == (who in MAY)
    assert AuditEntry.objects.filter(verb="dataset.requested").count() == (who in MAY)


@pytest.mark.parametrize("who", EVERYBODY)
def test_who_may_download_and_verify_it_and_what_trace_it_leaves(client, cast, made, who):
    caller = Caller.named(client, cast, who)

    downloaded, verified = caller.get("/churn/1/download"), caller.post("/churn/1/verify")

    assert downloaded.status_code == (200 if who in MAY else refusal(who))
    assert verified.status_code == (202 if who in MAY else refusal(who))
    entries = AuditEntry.objects.filter(verb="dataset.downloaded")
    assert [(e.actor_id, e.subject_label) for e in entries] == (
        [(getattr(cast, who).pk, "churn@1")] if who in MAY else []
    )


@pytest.mark.parametrize("who", EVERYBODY)
@pytest.mark.parametrize("path", ["", "/churn/1", "/churn/1/manifest"])
def test_who_is_told_of_it(client, cast, made, who, path):
    response = Caller.named(client, cast, who).get(path)

    assert response.status_code == (200 if who in SEE else refusal(who))


def test_a_right_that_ended_ends_downloads_of_what_was_made_before(client, cast, made):
    caller = Caller(client, cast.consumer)
    with committed():
        factories.give_role(
            cast.project, cast.consumer, Role.AUDITOR, cast.owner, accepted_by=cast.superuser
        )
        about = {"project": cast.project, "user": cast.consumer, "role": Role.CONSUMER}
        members.revoke_role(**about, actor=cast.owner, at=NOON)

    response = caller.get("/churn/1/download")

    assert response.status_code == 403
    assert "read_offline" in response.json()["detail"]


def test_a_sensitive_feature_takes_a_grant_at_each_download(client, cast):
    text = factories.DEFINITIONS.replace("sensitivity: internal", "sensitivity: confidential")
    with committed():
        version = factories.make_version(cast, text=text)
        factories.approve(version, cast.second_steward)
        version.refresh_from_db()
    commit(version, [{"driver_id": 1001, "event": NOON, "avg_daily_trips": 3}])
    with committed():
        mark_table_ready(table=version.table, at=NOON, kept_for=None)
    caller = Caller(client, cast.consumer)
    refused = caller.post(body=ASKED)
    assert (refused.status_code, refused.json()["code"]) == (403, "grant_needed")
    with committed():
        grant = factories.give_grant(cast, cast.consumer, view="driver_hourly")
    assert caller.post(body=ASKED).status_code == 202
    make(timezone.now())
    assert caller.get("/churn/1/download").status_code == 200
    with committed():
        grants.revoke_grant(grant=grant, by=grants.Hand(cast.steward), at=timezone.now())

    refused = caller.get("/churn/1/download")

    assert (refused.status_code, refused.json()["code"]) == (403, "grant_needed")
    assert "driver_hourly@1.0.0:avg_daily_trips" in refused.json()["detail"]
    # Whether it can still be computed shows no value.
    assert verify(caller, timezone.now())["verdict"] == "equal"


def test_a_token_for_other_views_is_not_told_of_it(client, cast, made):
    with committed():
        factories.apply(factories.DEFINITIONS.replace("driver_hourly", "other"), cast)
    _, text = tokens.issue_token(
        user=cast.consumer, actor=cast.consumer, at=timezone.now(), name="other", days=3,
        is_logged_in=True, project=cast.project, limits=Limits(views=["other"]),
    )  # fmt: skip
    headers = {"Authorization": f"Bearer {text}"}

    assert client.get(URL, headers=headers).json()["results"] == []
    assert client.get(f"{URL}/churn/1", headers=headers).json()["code"] == "dataset_not_found"


def test_a_retired_version_is_in_it_still(client, cast, made, drivers):
    caller = Caller(client, cast.consumer)
    with committed():
        retire_version(version=drivers, actor=cast.owner, at=NOON, force=True, comment="Replaced")

    assert caller.rows().num_rows == 1
    assert verify(caller, NOON + 2 * DAY)["verdict"] == "equal"
    assert caller.post(body=ASKED).status_code in (404, 410, 503)  # no new one is made of it


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"name": "Churn"}, "invalid_dataset_name", "lower-case"),
        ({"description": "x" * 2001}, "invalid_description", "2,000"),
        ({"nam": "x"}, "invalid_request", "Did you mean 'name'?"),
        ({"timing": "now"}, "invalid_request", "known and event"),
        ({"features": []}, "invalid_request", "view:feature"),
        ({"features": ["driver_hourly:trips"]}, "reference_not_found", "avg_daily_trips"),
        ({"entities": {"driver_id": [1]}}, "missing_entity_column", "event_timestamp"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_would_be(
    client, cast, drivers, change, code, words
):
    response = Caller(client, cast.consumer).post(body={**ASKED, **change})

    assert response.json()["code"] == code
    assert words in response.json()["detail"]
    assert Dataset.objects.count() == 0


@pytest.mark.parametrize("path", ["/churn/2", "/chrn/1", "/churn/1/checks/7"])
def test_what_is_not_there_is_said_with_what_is(client, cast, made, path):
    response = Caller(client, cast.consumer).get(path)

    assert response.status_code == 404
    assert "churn" in response.json()["detail"]


def test_a_project_keeps_so_many_and_failed_ones_do_not_count(client, cast, made, settings):
    settings.DATASETS_MAX_KEPT = 2
    caller = Caller(client, cast.consumer)
    assert caller.post(body=ASKED).status_code == 202

    refused = caller.post(body=ASKED)

    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_datasets")
    assert "rides keeps 2 datasets" in refused.json()["detail"]
    assert "DATASETS_MAX_KEPT" in refused.json()["detail"]
    Dataset.objects.filter(number=2).update(status="failed")
    assert caller.post(body=ASKED).status_code == 202


def test_so_many_checks_of_a_project_wait(client, cast, made, monkeypatch):
    monkeypatch.setattr(checks, "MOST_WAITING", 1)
    caller = Caller(client, cast.consumer)
    caller.post(body=ASKED)
    make(NOON + DAY)
    first = caller.post("/churn/1/verify")

    refused = caller.post("/churn/2/verify")

    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_checks_waiting")
    # The one that is under way is given still.
    assert caller.post("/churn/1/verify").json()["id"] == first.json()["id"]


@pytest.fixture
def granted(client, cast):
    """A grant to the consumer, who has asked for a dataset of what takes it."""
    text = factories.DEFINITIONS.replace("sensitivity: internal", "sensitivity: confidential")
    with committed():
        version = factories.make_version(cast, text=text)
        factories.approve(version, cast.second_steward)
        version.refresh_from_db()
        grant = factories.give_grant(cast, cast.consumer, view="driver_hourly")
    commit(version, [{"driver_id": 1001, "event": NOON, "avg_daily_trips": 3}])
    with committed():
        mark_table_ready(table=version.table, at=NOON, kept_for=None)
    assert Caller(client, cast.consumer).post(body=ASKED).status_code == 202
    return grant


def test_a_grant_that_ended_before_a_worker_began_ends_the_dataset(cast, granted):
    with committed():
        grants.revoke_grant(grant=granted, by=grants.Hand(cast.steward), at=timezone.now())

    made = make(timezone.now())

    assert (made.status, made.error_code) == ("failed", "grant_needed")
    assert "driver_hourly@1.0.0:avg_daily_trips" in made.error


def test_by_what_the_asker_came_was_looked_at_when_they_asked(cast, granted):
    """A worker has no token to judge by: the account's password may be another's by then."""
    cast.consumer.set_password("another one's")
    cast.consumer.save()
    with committed():
        note_password_changed(user=cast.consumer, actor=cast.superuser, at=timezone.now())

    assert make(timezone.now()).status == "done"
