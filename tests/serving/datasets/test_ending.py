"""Ending a dataset: who may, what goes, what stays and says so; and what ends by itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from materialization.edges.stores import dataset_files
from materialization.models import FileHold
from materialization.queries import held_files
from materialization.requests.sweep import sweep
from materialization.stores.offline import DeltaOfflineStore
from registry.choices import Role
from registry.models import AuditEntry
from registry.operations.people import members, tokens
from registry.operations.people.token_limits import Limits
from serving.datasets.edges import dataset_stores
from serving.datasets.ending import downloads_in_trail
from serving.datasets.verifying import verify_dataset
from serving.models import Dataset, DatasetCheck
from tests import factories
from tests.serving.datasets_world import URL, Caller, make
from tests.serving.historical_world import stored_view
from tests.serving.online_world import committed

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ASKED = {
    "name": "churn",
    "features": ["driver_hourly:avg_daily_trips"],
    "entities": {"driver_id": [1001], "event_timestamp": ["2026-03-01T14:00:00Z"]},
}
WHY = {"reason": "Nobody trains on it"}
#: The consumer asked for it.
MAY = {"consumer", "steward", "owner", "superuser"}
EVERYBODY = sorted({*MAY, "anonymous", "outsider", "author", "operator", "auditor"})


@pytest.fixture
def drivers(cast):
    rows = [{"driver_id": 1001, "event": NOON, "avg_daily_trips": 3}]
    return stored_view(cast, rows, at=NOON)


@pytest.fixture
def caller(client, cast, drivers):
    return Caller(client, cast.consumer)


@pytest.fixture
def made(caller):
    caller.post(body=ASKED)
    return make(NOON + DAY)


def ended(caller, path="/churn/1/end", **more):
    with committed():
        return caller.post(path, body={**WHY, **more})


def files() -> list[str]:
    root = settings.OFFLINE_STORE / "_datasets"
    return sorted(file.name for folder in root.iterdir() for file in folder.iterdir())


@pytest.mark.parametrize("who", EVERYBODY)
def test_who_may_end_one_and_what_trace_it_leaves(client, cast, made, who):
    user = None if who == "anonymous" else getattr(cast, who)

    response = ended(Caller(client, user))

    refusal = {"anonymous": 401, "outsider": 404}.get(who, 403)
    assert response.status_code == (200 if who in MAY else refusal)
    assert Dataset.objects.get().status == ("ended" if who in MAY else "done")
    entries = AuditEntry.objects.filter(verb="dataset.ended")
    assert [(e.actor_id, e.data["reason"]) for e in entries] == (
        [(user.pk, WHY["reason"])] if who in MAY else []
    )


def test_its_rows_go_and_its_record_stays_and_says_so(caller, drivers, made):
    assert held_files(drivers.table)

    said = ended(caller).json()

    assert (said["status"], said["ended_by"], said["end_reason"]) == (
        "ended", "consumer", "Nobody trains on it",
    )  # fmt: skip
    assert files() == []
    assert (held_files(drivers.table), FileHold.objects.count()) == (set(), 0)
    assert Dataset.objects.get().profile == {}
    for refused in (caller.get("/churn/1/download"), caller.post("/churn/1/verify")):
        assert (refused.status_code, refused.json()["code"]) == (410, "dataset_ended")
        assert "by consumer at 20" in refused.json()["detail"]
        assert "(Nobody trains on it)" in refused.json()["detail"]
    manifest = caller.get("/churn/1/manifest").json()
    assert manifest["manifest_hash"] == made.manifest_hash
    assert manifest["manifest"] == made.manifest
    listed = caller.get(status="ended").json()["results"]
    assert [(each["version"], each["ended_at"]) for each in listed] == [(1, said["ended_at"])]


def test_one_that_was_downloaded_ends_only_where_that_is_known(caller, made):
    caller.rows()

    refused = ended(caller)

    assert (refused.status_code, refused.json()["code"]) == (409, "dataset_was_downloaded")
    assert "downloaded once, last at 20" in refused.json()["detail"]
    assert files() == ["frame.parquet", "rows-1.parquet"]
    assert ended(caller, despite_downloads=True).status_code == 200
    assert AuditEntry.objects.get(verb="dataset.ended").data["downloads"] == 1


def test_one_that_was_read_by_ranges_was_downloaded_once_by_each(client, cast, caller, made):
    author = Caller(client, cast.author)
    for headers in ({"Range": "bytes=-8"}, {"Range": "bytes=4-"}):
        assert caller.get("/churn/1/download", headers).status_code == 206
        assert author.get("/churn/1/download", headers).status_code == 206
    author.rows()

    refused = ended(caller)

    assert (refused.status_code, refused.json()["code"]) == (409, "dataset_was_downloaded")
    listed = downloads_in_trail(made).order_by("pk")
    assert [(entry.actor_id, entry.verb.partition(".")[2]) for entry in listed] == [
        (cast.consumer.pk, "download_resumed"), (cast.author.pk, "downloaded"),
    ]  # fmt: skip
    assert refused.json()["downloads"] == 2


def test_asking_for_the_head_of_the_file_is_no_download(caller, made):
    stored = dataset_files()
    file = stored.open(f"{made.uid}/rows-{made.written_by}.parquet").read()
    stored.remove(f"{made.uid}/rows-{made.written_by}.parquet")  # nothing is opened for it

    answer = caller.head("/churn/1/download", {"Range": "bytes=-8"})

    assert (answer.status_code, answer["Accept-Ranges"], answer.content) == (200, "bytes", b"")
    assert answer["Content-Length"] == str(len(file))
    held = caller.head("/churn/1/download", {"If-None-Match": answer["ETag"]})
    assert held.status_code == 304
    assert ended(caller).status_code == 200


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "reason_needed"),
        ({"reason": " "}, "reason_needed"),
        ({"reason": "x" * 2001}, "reason_needed"),
        ({"reason": "a\x00"}, "reason_needed"),
        ({"reason": 1}, "invalid_body"),
        ({"reason": "x", "despite_downloads": "yes"}, "invalid_body"),
        ({"reason": "x", "force": True}, "invalid_body"),
    ],
)
def test_what_cannot_be_meant_is_refused(caller, made, body, code):
    response = caller.post("/churn/1/end", body=body)

    assert (response.status_code, response.json()["code"]) == (422, code)
    assert Dataset.objects.get().status == "done"


def test_what_is_not_made_or_over_is_not_ended(caller, made):
    caller.post(body=ASKED)

    waiting = ended(caller, "/churn/2/end")
    first, again = ended(caller), ended(caller)

    assert (waiting.status_code, waiting.json()["code"]) == (409, "dataset_not_made")
    assert (first.status_code, again.status_code) == (200, 410)
    assert AuditEntry.objects.filter(verb="dataset.ended").count() == 1


def test_whoever_asked_and_lost_the_right_to_read_ends_nothing(caller, cast, made):
    with committed():
        factories.give_role(
            cast.project, cast.consumer, Role.AUDITOR, cast.owner, accepted_by=cast.superuser
        )
        about = {"project": cast.project, "user": cast.consumer, "role": Role.CONSUMER}
        members.revoke_role(**about, actor=cast.owner, at=NOON)

    refused = ended(caller)

    assert refused.status_code == 403
    assert "end_dataset" in refused.json()["detail"]


def test_one_that_is_ended_makes_room(caller, made, settings):
    settings.DATASETS_MAX_KEPT = 1
    refused = caller.post(body=ASKED)
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_datasets")
    assert "End one" in refused.json()["detail"]

    ended(caller)

    assert caller.post(body=ASKED).json()["version"] == 2


def test_a_project_keeps_so_many_megabytes(caller, made, settings):
    settings.DATASETS_MAX_MB = 3
    Dataset.objects.update(size=3 << 20)
    refused = caller.post(body=ASKED)
    assert (refused.status_code, refused.json()["code"]) == (409, "datasets_too_large")
    assert "have 3 MB of rows" in refused.json()["detail"]

    ended(caller)

    assert caller.post(body=ASKED).status_code == 202


def test_a_check_of_one_that_ends_meanwhile_says_so(caller, made, monkeypatch):
    states = DeltaOfflineStore.file_states

    def slow(self, at, names):
        ended(caller)
        return states(self, at, names)

    monkeypatch.setattr(DeltaOfflineStore, "file_states", slow)
    check = caller.post("/churn/1/verify").json()["id"]
    with committed():
        verify_dataset(check_id=check, worker="w", stores=dataset_stores(), clock=lambda: NOON)

    found = DatasetCheck.objects.get()
    assert (found.status, found.error_code) == ("failed", "dataset_ended")
    assert "Nobody trains on it" in found.error


def test_files_that_a_crash_left_after_an_end_are_swept(caller, made):
    Dataset.objects.update(status="ended", ended_at=NOON)

    with committed():
        sweep(at=timezone.now() + 2 * DAY)

    assert files() == []


def test_one_that_is_kept_for_a_time_ends_by_itself(caller, drivers):
    asked = caller.post(body={**ASKED, "expires": "30d"}).json()
    Dataset.objects.update(expires_at=NOON + 30 * DAY)
    make(NOON + DAY)
    caller.rows()
    with committed():
        sweep(at=NOON + 30 * DAY - timedelta(seconds=1))
    assert caller.rows().num_rows == 1

    with committed():
        sweep(at=NOON + 30 * DAY)

    assert asked["expires_at"] is not None
    gone = caller.get("/churn/1/download")
    assert (gone.status_code, gone.json()["code"]) == (410, "dataset_ended")
    assert "was ended at 2026-03-31T12:00:00Z (its time was over)" in gone.json()["detail"]
    assert (files(), FileHold.objects.count()) == ([], 0)
    entry = AuditEntry.objects.get(verb="dataset.expired")
    assert (entry.actor_id, entry.data["expires_at"]) == (None, "2026-03-31T12:00:00Z")


def test_an_upload_says_it_in_its_query(caller, drivers):
    frame = b"driver_id,event_timestamp\n1001,2026-03-01T14:00:00Z\n"
    response = caller.post(
        "?name=churn&features=driver_hourly:avg_daily_trips&expires=2h",
        body=frame,
        content_type="text/csv",
    )

    assert response.status_code == 202, response.content
    dataset = Dataset.objects.get()
    assert dataset.expires_at - dataset.requested_at == timedelta(hours=2)


@pytest.mark.parametrize(
    ("expires", "code"),
    [
        ("soon", "bad_duration"),
        ("0d", "bad_duration"),
        ("999999999w", "bad_duration"),
        ("59m", "invalid_expires"),
        (7, "invalid_request"),
    ],
)
def test_a_time_that_cannot_be_meant_is_refused(caller, expires, code):
    response = caller.post(body={**ASKED, "expires": expires})

    assert (response.status_code, response.json()["code"]) == (422, code)
    assert Dataset.objects.count() == 0


def test_a_program_ends_what_it_asked_for_and_nothing_else(client, cast, made):
    """Also one that has a steward's role: what others keep is for people to end."""
    with committed():
        robot = factories.make_service_account("robot", cast, Role.OWNER)
    caller = Caller(client, robot)
    assert caller.post(body=ASKED).status_code == 202
    make(NOON + DAY)

    others, own = ended(caller, "/churn/1/end"), ended(caller, "/churn/2/end")

    assert (others.status_code, others.json()["code"]) == (403, "service_account_may_not_decide")
    assert own.status_code == 200


def test_what_people_may_have_trained_with_no_program_ends(client, cast, made):
    with committed():
        robot = factories.make_service_account("robot", cast, Role.OWNER)
    caller = Caller(client, robot)
    caller.post(body=ASKED)
    make(NOON + DAY)
    caller.rows(number=2)

    refused = ended(caller, "/churn/2/end", despite_downloads=True)

    assert (refused.status_code, refused.json()["code"]) == (403, "service_account_may_not_decide")


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({"rights": ["read_offline"]}, 403),
        ({"views": ["driver_hourly"]}, 403),
        ({"rights": ["read_offline", "end_dataset"]}, 200),
    ],
)
def test_a_token_for_less_ends_none_of_its_account(client, cast, made, limits, status):
    _, text = tokens.issue_token(
        user=cast.consumer, actor=cast.consumer, at=timezone.now(), name="narrow", days=3,
        is_logged_in=True, project=cast.project, limits=Limits(**limits),
    )  # fmt: skip

    with committed():
        answer = client.post(
            f"{URL}/churn/1/end", data=json.dumps(WHY), content_type="application/json",
            headers={"Authorization": f"Bearer {text}"},
        )  # fmt: skip

    assert answer.status_code == status, answer.content
