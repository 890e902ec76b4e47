"""Datasets through the client: asked for, waited for, fetched whole, verified; and the command."""

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

from assay import (
    AllEntities,
    Conflict,
    DatasetDiffers,
    DatasetFailed,
    Gone,
    Invalid,
    NotFound,
    ServerError,
)
from assay.cli.app import main

AT = datetime(2026, 1, 2, 3, tzinfo=UTC)
ROWS = pa.table({"driver_id": [1, 2], "event_timestamp": [AT, AT], "trips": pa.array([3, None])})
DATASET = {
    "name": "churn", "version": 2, "status": "done", "rows": 2, "requested_by": "ana",
    "requested_at": "2026-01-02T03:00:00Z", "manifest_hash": "aa",
}  # fmt: skip
CHECK = {
    "id": 5, "status": "done", "verdict": "equal", "error": None,
    "found": {"rows": 2, "rows_differing": 0, "columns": {}, "changed": []},
}  # fmt: skip


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


FILE = parquet(ROWS)
MANIFEST = {
    "manifest_hash": "aa",
    "manifest": {
        "rows": {"sha256": hashlib.sha256(FILE).hexdigest(), "content_hash": "cc"},
        "warnings": [],
        "split": None,
        "features": [{"name": "trips", "reference": "v@1.0.0:trips", "type": "int64"}],
        "views": [],
    },
    "parameters": [{"trips": "[]"}],
}


@pytest.fixture
def made(peer):
    queued = {**DATASET, "status": "queued"}
    peer.answers_with("POST datasets", queued, 202)
    peer.answers_with("GET datasets/churn/2", queued)
    peer.answers_with("GET datasets/churn/2", DATASET)
    peer.answers_with("GET datasets/churn/2/manifest", MANIFEST)
    peer.answers_with("GET datasets/churn/2/download", FILE, Content_Type="application/vnd.parquet")
    return peer


def test_a_dataset_is_asked_for_waited_for_and_fetched_once(made, store):
    frame = pd.DataFrame({"driver_id": [1, 2], "event_timestamp": [AT, AT]})

    found = store.create_dataset("churn", frame, ["v:trips"], description="Who leaves")

    sent = made.requests[0]
    assert ipc.open_stream(sent.body).read_all().num_rows == 2
    assert sent.query["name"] == ["churn"]
    assert sent.query["description"] == ["Who leaves"]
    assert (found.name, found.version, len(found), found.manifest_hash) == ("churn", 2, 2, "aa")
    assert found.content_hash == "cc"
    assert found.parameters == [{"trips": "[]"}]
    assert found.to_arrow().equals(ROWS)
    assert found.to_df()["trips"].tolist()[0] == 3
    assert [each.path.endswith("/download") for each in made.requests].count(True) == 1


def test_a_frame_without_arrow_goes_as_json(made, store):
    frame = {"driver_id": [1], "event_timestamp": ["2026-01-02T03:00:00Z"]}
    frame_of_rows = [{"driver_id": 1, "event_timestamp": "2026-01-02T03:00:00Z"}]

    for each in (frame, frame_of_rows):
        assert store.request_dataset("churn", each, "menu")["status"] == "queued"


def test_a_file_that_is_another_than_the_manifest_names_is_refused(made, store):
    made.answers["GET /api/v1/projects/rides/datasets/churn/2/download"].clear()
    made.answers_with("GET datasets/churn/2/download", FILE[:-9])

    with pytest.raises(ServerError, match=r"churn@2 is not the file of its manifest"):
        store.wait_for_dataset("churn", 2).to_df()


def test_a_manifest_without_hashes_proves_no_download(made, store):
    manifest = json.loads(json.dumps(MANIFEST))
    manifest["manifest"]["rows"] = {"sha256": None, "content_hash": None}
    made.answers["GET /api/v1/projects/rides/datasets/churn/2/manifest"].clear()
    made.answers_with("GET datasets/churn/2/manifest", manifest)

    found = store.wait_for_dataset("churn", 2)

    assert found.content_hash is None
    with pytest.raises(Conflict, match="withheld when its manifest was read; get"):
        found.to_df()


def test_what_could_not_be_made_says_why(peer, store):
    failed = {**DATASET, "status": "failed", "error": "the offline store is away."}
    peer.answers_with("GET datasets/churn/2", failed)

    with pytest.raises(DatasetFailed, match="the offline store is away"):
        store.get_dataset("churn", 2)


def test_the_newest_that_is_made_is_meant_without_a_version(made, store):
    made.answers_with("GET datasets", {"results": [DATASET]})

    assert store.get_dataset("churn").version == 2
    assert made.requests[0].query == {
        "name": ["churn"], "status": ["done"], "limit": ["1"], "offset": ["0"],
    }  # fmt: skip


SPLIT = {"by": "random", "shares": {"train": 0.5, "test": 0.5}, "seed": 7}


def test_a_split_goes_with_the_request_and_parts_are_read_apart(made, store):
    table = ROWS.append_column("split", pa.array(["train", "test"]))
    manifest = json.loads(json.dumps(MANIFEST))
    manifest["manifest"]["rows"]["sha256"] = hashlib.sha256(parquet(table)).hexdigest()
    parts = [{"name": "train", "rows": 1}, {"name": "test", "rows": 1}]
    manifest["manifest"]["split"] = {**SPLIT, "column": "split", "parts": parts}
    for call in ("manifest", "download"):
        made.answers[f"GET /api/v1/projects/rides/datasets/churn/2/{call}"].clear()
    made.answers_with("GET datasets/churn/2/manifest", manifest)
    made.answers_with("GET datasets/churn/2/download", parquet(table))

    found = store.create_dataset("churn", ROWS.drop_columns(["trips"]), ["v:trips"], split=SPLIT)

    assert json.loads(made.requests[0].query["split"][0]) == SPLIT
    train = found.to_df("train")
    assert train["driver_id"].tolist() == [1]
    assert "split" not in train.columns
    for other in (found.to_polars("train").to_dicts(), found.to_arrow("train").to_pylist()):
        assert other == found.to_arrow().slice(0, 1).drop_columns(["split"]).to_pylist()
    with pytest.raises(Invalid, match="its parts are train, test"):
        found.to_df("dev")


def test_without_one_that_is_made_there_is_none(peer, store):
    peer.answers_with("GET datasets", {"results": []})

    with pytest.raises(NotFound, match="no version of churn"):
        store.get_dataset("churn")


def test_verifying_waits_for_the_check(made, store):
    found = store.wait_for_dataset("churn", 2)
    made.answers_with("POST datasets/churn/2/verify", {**CHECK, "status": "running"}, 202)
    made.answers_with("GET datasets/churn/2/checks/5", CHECK)

    assert found.verify()["verdict"] == "equal"


def test_what_differs_is_raised_with_where(made, store):
    found = store.wait_for_dataset("churn", 2)
    differs = {
        **CHECK,
        "verdict": "different",
        "found": {
            "rows": 2, "rows_differing": 1, "columns": {"trips": 1},
            "changed": ["a.parquet is another file"],
        },
    }  # fmt: skip
    made.answers_with("POST datasets/churn/2/verify", differs, 202)

    with pytest.raises(
        DatasetDiffers, match=r"1 of 2 rows differ \(trips in 1\); a.parquet is another file"
    ) as raised:
        found.verify()
    assert raised.value.data["check"] == differs


def test_all_entities_stand_in_for_a_frame(made, store, monkeypatch):
    every = AllEntities(start="2026-01-01", end="2026-02-01", every="1d")

    store.create_dataset("churn", every, ["v:trips"], expires="90d")

    asked = made.requests[0].json()
    assert asked["all_entities"] == {
        "start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z", "every": "1d",
    }  # fmt: skip
    assert (asked["expires"], "entities" in asked) == ("90d", False)
    monkeypatch.setenv("ASSAY_URL", made.url)
    monkeypatch.setenv("ASSAY_TOKEN", "t")
    monkeypatch.setenv("ASSAY_PROJECT", "rides")
    assert main(["datasets", "create", "churn", "--at", "2026-01-01", "-f", "v:trips"]) == 0
    sent = next(each for each in made.requests[1:] if each.method == "POST").json()
    assert sent["all_entities"] == {"at": ["2026-01-01T00:00:00Z"]}


ENDED = {**DATASET, "status": "ended", "ended_at": "2026-02-01T00:00:00Z"}


def test_one_is_ended(peer, store):
    peer.answers_with("POST datasets/churn/2/end", ENDED)

    assert store.end_dataset("churn", 2, "Replaced")["status"] == "ended"
    asked = json.loads(peer.requests[0].body)
    assert asked == {"reason": "Replaced", "despite_downloads": False}


def test_of_one_that_was_ended_the_manifest_is_given(peer, store):
    peer.answers_with("GET datasets/churn/2", ENDED)
    peer.answers_with("GET datasets/churn/2/manifest", MANIFEST)
    gone = {"code": "dataset_ended", "detail": "churn@2 was ended"}
    peer.answers_with("GET datasets/churn/2/download", gone, 410)

    found = store.get_dataset("churn", 2)

    assert (found.manifest_hash, found.ended_at) == ("aa", "2026-02-01T00:00:00Z")
    with pytest.raises(Gone, match="was ended"):
        found.to_df()


def test_the_command_ends_one_version(peer, monkeypatch, capsys):
    monkeypatch.setenv("ASSAY_URL", peer.url)
    monkeypatch.setenv("ASSAY_TOKEN", "t")
    monkeypatch.setenv("ASSAY_PROJECT", "rides")
    peer.answers_with("POST datasets/churn/2/end", ENDED)

    assert main(["datasets", "end", "churn@2", "-r", "Replaced", "--despite-downloads"]) == 0
    assert json.loads(peer.requests[0].body)["despite_downloads"] is True
    assert "churn@2 is ended" in capsys.readouterr().out
    assert main(["datasets", "end", "churn", "-r", "Replaced"]) == 1
    assert "as in churn@3" in capsys.readouterr().err
    assert len(peer.requests) == 1


def test_the_command_makes_shows_downloads_and_verifies(made, store, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("ASSAY_URL", made.url)
    monkeypatch.setenv("ASSAY_TOKEN", "t")
    monkeypatch.setenv("ASSAY_PROJECT", "rides")
    frame, output = tmp_path / "frame.csv", tmp_path / "rows.parquet"
    frame.write_text("driver_id,event_timestamp\n1,2026-01-02\n")
    made.answers_with("GET datasets", {"results": [DATASET]})
    made.answers_with("POST datasets/churn/2/verify", CHECK, 202)

    assert main(["datasets", "create", "churn", str(frame), "-f", "v:trips"]) == 0
    assert made.requests[0].headers["Content-Type"] == "text/csv"
    assert main(["datasets", "list"]) == 0
    assert main(["datasets", "show", "churn@2"]) == 0
    assert main(["datasets", "download", "churn", "-o", str(output)]) == 0
    assert main(["datasets", "verify", "churn"]) == 0

    assert output.read_bytes() == FILE
    said = capsys.readouterr().out
    assert "v@1.0.0:trips" in said
    assert "churn@2 is equal: 2 rows" in said


@pytest.mark.parametrize("name", ["churn@x", "churn@"])
def test_a_version_that_is_no_number_is_refused(made, capsys, monkeypatch, name):
    monkeypatch.setenv("ASSAY_URL", made.url)
    monkeypatch.setenv("ASSAY_TOKEN", "t")
    monkeypatch.setenv("ASSAY_PROJECT", "rides")

    assert main(["datasets", "show", name]) == 1
    assert "churn@3" in capsys.readouterr().err
