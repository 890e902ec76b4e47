"""Training sets as jobs: the rows of the answer that would have been given at once."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from registry.models import AuditEntry
from serving.jobs.edges import job_stores
from serving.models import HistoricalJob
from tests.serving.historical_world import answer, ask, commit, stored_view
from tests.serving.jobs_world import Caller, make

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
#: Files are kept for a day from here.
NOW = datetime.now(UTC)
FRAME = {
    "driver_id": [1002, 1001, 1001, 1003, 1002],
    "event_timestamp": ["2026-03-01T14:00:00Z"] * 3 + ["2026-03-01T12:30:00Z"] * 2,
    "label": [1, 0, 1, 0, 1],
}
ASKED = {
    "features": ["driver_hourly:conv_rate", "driver_hourly:avg_daily_trips"],
    "entities": FRAME,
}


def row(driver: int, event: datetime, trips: int, *, created: datetime | None = None):
    stamps = {"event": event, "created": created or event}
    return {"driver_id": driver, "conv_rate": 0.5, "avg_daily_trips": trips, **stamps}


@pytest.fixture
def drivers(cast):
    return stored_view(cast, [row(1001, NOON, 3), row(1002, NOON, 7)], at=NOON)


@pytest.fixture
def caller(client, cast, drivers):
    return Caller(client, cast.consumer)


@pytest.fixture
def in_pieces(settings):
    """A job of more than two rows takes several questions."""
    settings.HISTORICAL_MAX_ROWS = 2


def test_a_job_is_made_by_a_worker_in_pieces_and_has_the_rows_of_the_answer(
    client, token, caller, settings
):
    at_once = answer(ask(client, token, ASKED))
    settings.HISTORICAL_MAX_ROWS = 2

    asked = caller.post(body=ASKED)

    assert asked.status_code == 202
    said = asked.json()
    assert asked["Location"] == said["url"].removeprefix("http://testserver")
    assert (said["status"], said["progress"], said["rows"]) == ("queued", "waits for a worker", 5)
    assert (said["size"], said["sha256"]) == (None, None)
    assert caller.get(f"/{said['id']}/download").json()["code"] == "historical_job_not_made"

    made = make(said["id"], NOW)

    rows = caller.rows(said["id"])
    assert rows.column_names == list(at_once)
    assert rows["avg_daily_trips"].to_pylist() == at_once["avg_daily_trips"] == [7, 3, 3, None, 7]
    assert rows["label"].to_pylist() == FRAME["label"]
    assert (made.status, made.rows_done, made.expires_at) == ("done", 5, NOW + DAY)
    verbs = AuditEntry.objects.filter(verb__startswith="historical_job.").order_by("pk")
    assert [entry.verb.partition(".")[2] for entry in verbs] == ["requested", "made", "downloaded"]


def test_its_head_is_what_a_download_says_and_no_file_is_opened(caller, settings):
    job = caller.ask(ASKED)
    assert caller.head(f"/{job}/download").status_code == 409
    made = make(job, NOW)
    whole = caller.get(f"/{job}/download")
    size = len(whole.getvalue())
    (settings.OFFLINE_STORE / "_jobs" / made.uid / "answer-1.parquet").unlink()

    head = caller.head(f"/{job}/download")

    assert (head.status_code, head["Content-Length"], head.content) == (200, str(size), b"")
    for name in ("ETag", "Content-Disposition", "Content-Type", "Accept-Ranges"):
        assert head[name] == whole[name]
    assert AuditEntry.objects.filter(verb__endswith="downloaded").count() == 1


def test_only_its_answer_is_kept(caller, settings):
    job = caller.ask(ASKED)
    made = make(job, NOW)

    root = settings.OFFLINE_STORE / "_jobs"
    kept = [file.name for folder in root.iterdir() for file in folder.iterdir()]
    assert kept == ["answer-1.parquet"]
    assert made.size == (root / made.uid / "answer-1.parquet").stat().st_size


def test_how_far_it_is_is_said_while_it_is_made(caller, in_pieces):
    job, seen = caller.ask(ASKED), []

    def looking(seconds):
        seen.append(caller.get(f"/{job}").json()["progress"])
        return job_stores().engine(seconds)

    make(job, NOW, engine=looking)

    assert seen == [f"{done} of 5 rows are done" for done in (0, 2, 4)]


def test_all_pieces_are_read_at_one_snapshot(caller, drivers, in_pieces):
    job, asked = caller.ask(ASKED), []

    def arriving(seconds):
        asked.append(seconds)
        if len(asked) == 2:
            commit(drivers, [row(1002, NOON + timedelta(minutes=1), 99)], sequence=2)
        return job_stores().engine(seconds)

    make(job, NOW, engine=arriving)

    assert caller.rows(job)["avg_daily_trips"].to_pylist() == [7, 3, 3, None, 7]


def test_warnings_and_counts_are_of_all_rows(caller, in_pieces):
    frame = {**FRAME, "driver_id": [1001, 1, 2, 3, 4]}
    job = caller.ask({**ASKED, "entities": frame, "explain": True})
    make(job, NOW)

    said = caller.get(f"/{job}").json()

    assert said["explain"] == [
        {"feature_view": "driver_hourly@1.0.0", "rows": 5, "matched": 1, "timings_differ": 0}
    ]
    assert said["warnings"][0].startswith("driver_hourly@1.0.0 gave nothing to 4 of 5 rows")


def test_an_uploaded_frame_is_a_frame(caller, in_pieces):
    sink = io.BytesIO()
    times = pa.array([NOON + timedelta(hours=2)] * 3, pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"driver_id": [1001, 1002, 7], "event_timestamp": times}), sink)
    media = "application/vnd.apache.parquet"
    response = caller._client.post(
        "/api/v1/projects/rides/historical-jobs?features=driver_hourly:avg_daily_trips",
        data=sink.getvalue(), content_type=media, headers=caller._headers,
    )  # fmt: skip
    job = response.json()["id"]

    make(job, NOW)

    assert caller.rows(job)["avg_daily_trips"].to_pylist() == [3, 7, None]


def test_numbers_of_a_csv_that_stay_text_are_told(caller):
    response = caller.post(
        "?features=driver_hourly:avg_daily_trips",
        body=b"driver_id,event_timestamp,price\n1001,2026-03-01T14:00:00Z,1e-05\n",
        content_type="text/csv",
    )
    job = response.json()["id"]
    make(job, NOW)

    assert "column 'price' of the CSV" in caller.get(f"/{job}").json()["warnings"][0]


def test_a_frame_without_rows_gives_none(caller):
    job = caller.ask({**ASKED, "entities": {"driver_id": [], "event_timestamp": []}})

    assert make(job, NOW).status == "done"
    assert caller.rows(job).column_names[-1] == "avg_daily_trips"


def test_all_entities_are_found_page_by_page(client, token, caller, drivers, settings):
    commit(drivers, [row(each, NOON, each) for each in range(2000, 2004)], sequence=2)
    body = {"features": ["driver_hourly:avg_daily_trips"],
            "all_entities": {"at": ["2026-03-01T13:00:00Z", "2026-03-01T14:00:00Z"]}}  # fmt: skip
    at_once = answer(ask(client, token, body))
    settings.HISTORICAL_MAX_ROWS = 5

    job = caller.ask(body)
    assert caller.get(f"/{job}").json()["rows"] is None
    made = make(job, NOW)

    rows = caller.rows(job)
    assert (made.rows, len(at_once["driver_id"])) == (12, 12)
    assert rows["driver_id"].to_pylist() == at_once["driver_id"]
    assert rows["avg_daily_trips"].to_pylist() == at_once["avg_daily_trips"]


def test_pages_are_not_for_jobs(caller):
    every = {"at": "2026-03-01T13:00:00Z", "limit": 5}
    refused = caller.post(body={"features": ["driver_hourly:conv_rate"], "all_entities": every})

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_more_rows_than_are_answered_at_once_take_a_job(client, token, caller, settings):
    settings.HISTORICAL_MAX_ROWS, settings.HISTORICAL_JOB_MAX_ROWS = 2, 5

    refused = ask(client, token, ASKED)

    assert (refused.status_code, refused.json()["code"]) == (413, "too_many_rows")
    assert "POST historical-jobs" in refused.json()["detail"]
    assert caller.post(body=ASKED).status_code == 202
    settings.HISTORICAL_JOB_MAX_ROWS = 4
    refused = caller.post(body=ASKED)
    assert (refused.status_code, refused.json()["setting"]) == (413, "HISTORICAL_JOB_MAX_ROWS")
    assert "as a job" not in refused.json()["detail"]


def test_a_refused_frame_leaves_nothing(caller, settings):
    refused = caller.post(body={**ASKED, "entities": {"driver_id": [1]}})

    assert refused.status_code == 422
    assert list((settings.OFFLINE_STORE / "_jobs").rglob("*.parquet")) == []
    assert HistoricalJob.objects.count() == 0
