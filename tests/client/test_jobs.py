"""Historical jobs through the client: asked for, waited for, fetched whole; and the command."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import ipc

from assay import AllEntities, Gone, HistoricalJob, HistoricalJobFailed, Invalid, ServerError
from assay.cli.app import main

AT = datetime(2026, 1, 2, 3, tzinfo=UTC)
ROWS = pa.table({"driver_id": [1, 2], "event_timestamp": [AT, AT], "trips": pa.array([3, None])})


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


FILE = parquet(ROWS)
JOB = {
    "id": 7, "status": "done", "progress": "2 rows", "rows": 2, "rows_done": 2, "error": None,
    "sha256": hashlib.sha256(FILE).hexdigest(), "warnings": ["old"], "explain": [],
    "requested_by": "ana", "requested_at": "2026-01-02T03:00:00Z", "expires_at": None,
}  # fmt: skip
QUEUED = {**JOB, "status": "queued", "progress": "waits for a worker", "sha256": None}


@pytest.fixture
def made(peer):
    peer.answers_with("POST historical-jobs", QUEUED, 202)
    peer.answers_with("GET historical-jobs/7", {**QUEUED, "status": "running"})
    peer.answers_with("GET historical-jobs/7", JOB)
    peer.answers_with("GET historical-jobs/7/download", FILE)
    return peer


def test_a_job_is_asked_for_waited_for_and_fetched_once(made, store):
    frame = pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [AT, AT]}, index=[8, 9])

    job = store.get_historical_features(frame, ["v:trips"], as_job=True)

    assert isinstance(job, HistoricalJob)
    assert (job.id, job.status, job.progress) == (7, "queued", "waits for a worker")
    assert ipc.open_stream(made.requests[0].body).read_all().num_rows == 2
    assert made.requests[0].query["features"] == ["v:trips"]
    assert job.to_df()["trips"].tolist()[0] == 3
    assert list(job.to_df().index) == [8, 9]
    assert job.to_arrow()["trips"].to_pylist() == [3, None]
    assert job.warnings == ["old"]
    assert [each.path.endswith("/download") for each in made.requests].count(True) == 1


def test_all_entities_and_frames_without_arrow_go_as_json(made, store):
    store.request_historical_features(AllEntities(at="2026-01-01"), ["v:trips"])

    assert made.requests[0].json()["all_entities"]["at"] == "2026-01-01T00:00:00Z"


def test_progress_is_told(made, store):
    told = []

    store.request_historical_features(ROWS.drop_columns(["trips"]), "menu").wait(
        on_progress=lambda found: told.append(found["status"])
    )

    assert told == ["queued", "running", "done"]


def test_what_could_not_be_made_says_why(peer, store):
    failed = {**QUEUED, "status": "failed", "error": "the offline store is away."}
    peer.answers_with("GET historical-jobs/7", failed)

    with pytest.raises(HistoricalJobFailed, match="the offline store is away"):
        store.get_historical_job(7).to_df()


def test_what_was_cancelled_is_gone(peer, store):
    cancelled = {**QUEUED, "status": "cancelled", "progress": "was cancelled; nothing of it"}
    peer.answers_with("GET historical-jobs/7", JOB)
    peer.answers_with("POST historical-jobs/7/cancel", cancelled)

    job = store.get_historical_job(7).cancel()

    with pytest.raises(Gone, match="was cancelled"):
        job.to_arrow()


def test_a_file_that_is_another_is_refused(made, store):
    made.answers["GET /api/v1/projects/rides/historical-jobs/7/download"].clear()
    made.answers_with("GET historical-jobs/7/download", FILE[:-9])

    with pytest.raises(ServerError, match="not the file"):
        store.get_historical_job(7).to_arrow()


def test_rows_for_a_frame_of_another_length_are_refused(made, store):
    frame = ROWS.drop_columns(["trips"]).slice(0, 1)

    with pytest.raises(ServerError, match="2 rows for 1 entity rows"):
        store.get_historical_features(frame, ["v:trips"], as_job=True).to_arrow()


def test_a_job_is_written_to_a_parquet_file(made, store, tmp_path):
    job = store.get_historical_job(7)

    with pytest.raises(Invalid, match=r"call it \.parquet"):
        job.write(tmp_path / "out.csv")
    job.write(tmp_path / "out.parquet")

    assert pq.read_table(tmp_path / "out.parquet").equals(ROWS)


@pytest.fixture
def command(peer, monkeypatch):
    """The command, with the peer as its server."""
    for name, value in {"URL": peer.url, "TOKEN": "t", "PROJECT": "rides"}.items():
        monkeypatch.setenv(f"ASSAY_{name}", value)
    return lambda *arguments: main(list(arguments))


def test_the_command_asks_waits_and_writes(made, command, tmp_path, capsys):
    frame, out = tmp_path / "frame.parquet", tmp_path / "out.parquet"
    frame.write_bytes(parquet(ROWS.drop_columns(["trips"])))

    code = command(
        "get-historical-features", str(frame), "-f", "v:trips", "-o", str(out), "--as-job"
    )

    assert code == 0, capsys.readouterr().err
    assert out.read_bytes() == FILE
    assert "warning: old" in capsys.readouterr().err


def test_the_command_lists_shows_and_cancels(made, command, capsys):
    made.answers_with("GET historical-jobs", {"results": [JOB]})
    made.answers_with("POST historical-jobs/7/cancel", {**QUEUED, "status": "cancelled"})

    assert command("historical-jobs", "list") == 0
    assert "2 rows" in capsys.readouterr().out
    assert command("historical-jobs", "show", "7", "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == 7
    assert command("historical-jobs", "cancel", "7") == 0
    assert "cancelled" in capsys.readouterr().out
