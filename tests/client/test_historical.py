"""Training sets through the client: Arrow both ways, JSON where pyarrow is missing."""

from __future__ import annotations

import io
import json
import math
import sys
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import ipc

from assay import AllEntities, Invalid, ServerError

AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
ARROW = "application/vnd.apache.arrow.stream"
TRAINING_SET = pa.table({"driver_id": [1], "event_timestamp": [AT], "conv_rate": [math.nan]})


def stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def answer_arrow(peer, warnings=()):
    headers = {"Content_Type": ARROW, "Assay_Warnings": json.dumps(list(warnings))}
    peer.answers_with("POST get-historical-features", stream(TRAINING_SET), **headers)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"driver_id": [1], "event_timestamp": [AT]}),
        pa.table({"driver_id": [1], "event_timestamp": [AT]}),
        {"driver_id": [1], "event_timestamp": [AT]},
        [{"driver_id": 1, "event_timestamp": "2026-01-02T04:04:05.000006+01:00"}],
        [{"driver_id": 1, "event_timestamp": AT.replace(tzinfo=None)}],
        {"driver_id": [1], "event_timestamp": np.array([AT.replace(tzinfo=None)], "M8[ns]")},
    ],
    ids=["pandas", "arrow", "columns", "rows with text times", "rows with naive times", "numpy"],
)
def test_every_kind_of_frame_arrives_as_the_same_arrow_rows(peer, store, frame):
    answer_arrow(peer)

    job = store.get_historical_features(frame, ["v:f", "w@1.0.0:g"], timing="event")

    sent = peer.requests[0]
    received = ipc.open_stream(sent.body).read_all()
    assert received.to_pylist() == [{"driver_id": 1, "event_timestamp": AT}]
    assert (sent.headers["Content-Type"], sent.headers["Accept"]) == (ARROW, ARROW)
    assert sent.query == {
        "features": ["v:f", "w@1.0.0:g"],
        "full_feature_names": ["false"],
        "timing": ["event"],
        "explain": ["false"],
    }
    assert job.to_arrow().column_names == ["driver_id", "event_timestamp", "conv_rate"]


def test_the_answer_is_a_frame_a_table_or_columns_and_carries_warnings(peer, store):
    answer_arrow(peer, ["driver_stats matched 0 of 1 rows"])

    job = store.get_historical_features({"driver_id": [1], "event_timestamp": [AT]}, "ranker")

    assert job.warnings == ["driver_stats matched 0 of 1 rows"]
    assert job.to_df()["event_timestamp"].tolist() == [pd.Timestamp(AT)]
    assert job.to_dict()["driver_id"] == [1]


def test_without_pyarrow_json_goes_both_ways(peer, store, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    names = ["driver_id", "event_timestamp", "conv_rate"]
    columns = [[1], ["2026-01-02T03:04:05.000006Z"], ["NaN"]]
    answer = {
        "metadata": {
            "feature_names": names,
            "value_types": ["int64", "timestamp", "float64"],
            "warnings": ["w"],
        },
        "results": [{"values": values} for values in columns],
    }
    peer.answers_with("POST get-historical-features", answer)

    job = store.get_historical_features([{"driver_id": 1, "event_timestamp": AT}], ["v:f"])

    assert peer.requests[0].json() == {
        "features": ["v:f"],
        "full_feature_names": False,
        "timing": "known",
        "explain": False,
        "entities": {"driver_id": [1], "event_timestamp": ["2026-01-02T03:04:05.000006Z"]},
    }
    assert job.warnings == ["w"]
    assert job.to_dict()["event_timestamp"] == [AT]
    assert math.isnan(job.to_dict()["conv_rate"][0])


def test_a_column_of_mixed_types_is_refused_by_name(peer, store):
    frame = {"driver_id": [1, "two"], "event_timestamp": [AT, AT]}

    for given in (frame, pd.DataFrame(frame)):
        with pytest.raises(Invalid, match=r"column 'driver_id' .* types \(int, str\)"):
            store.get_historical_features(given, ["v:f"])

    assert peer.requests == []


@pytest.mark.parametrize("stamp", [1700000000, 1.7e9, np.int64(1700000000)])
def test_a_number_is_no_event_time(peer, store, stamp):
    frame = {"driver_id": [1], "event_timestamp": [stamp]}
    words = "column 'event_timestamp': .*numbers do not say their unit; send datetimes or ISO 8601"

    with pytest.raises(Invalid, match=words):
        store.get_historical_features(frame, ["v:f"])

    assert peer.requests == []


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.9], ids=["nothing", "the schema", "part of a batch"])
def test_a_cut_off_answer_is_an_error_not_a_shorter_frame(peer, store, kept):
    whole = stream(TRAINING_SET)
    part = whole[: int(len(whole) * kept)]
    peer.answers_with("POST get-historical-features", part, Content_Type=ARROW)

    with pytest.raises(ServerError, match=r"damaged|has 0 rows for 1 entity rows"):
        store.get_historical_features({"driver_id": [1], "event_timestamp": [AT]}, ["v:f"])


BUYER = {"buyer": {"view": "customer", "join_keys": {"driver_id": "buyer_id"}}}


def test_views_under_other_names_are_said_in_the_query(peer, store):
    answer_arrow(peer)
    frame = {"driver_id": [1], "event_timestamp": [AT]}

    store.get_historical_features(frame, ["buyer:f"], views=BUYER)
    store.get_historical_features(frame, ["v:f"])

    assert json.loads(peer.requests[0].query["views"][0]) == BUYER
    assert "views" not in peer.requests[1].query


def test_without_pyarrow_they_are_said_in_the_body(peer, store, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    columns = {"driver_id": [1], "event_timestamp": [AT.isoformat()], "f": [0.5]}
    answer = {
        "metadata": {"feature_names": [*columns]},
        "results": [{"values": values} for values in columns.values()],
    }
    peer.answers_with("POST get-historical-features", answer)

    store.get_historical_features({"driver_id": [1], "event_timestamp": [AT]}, ["b:f"], views=BUYER)

    assert peer.requests[0].json()["views"] == BUYER


def test_all_entities_are_asked_in_json_and_come_as_arrow(peer, store):
    after = {"driver_id": 1, "event_timestamp": "2026-01-02T00:00:00.000000Z"}
    headers = {"Content_Type": ARROW, "Assay_Next": json.dumps(after)}
    peer.answers_with("POST get-historical-features", stream(TRAINING_SET), **headers)
    asked = AllEntities(at=AT.replace(tzinfo=None), limit=1)

    job = store.get_historical_features(asked, ["v:f"], views=BUYER)

    assert peer.requests[0].headers["Accept"] == ARROW
    sent = peer.requests[0].json()
    assert sent["all_entities"] == {"at": "2026-01-02T03:04:05.000006Z", "limit": 1}
    assert (sent["views"], "entities" in sent) == (BUYER, False)
    assert (len(job), job.next, list(job.to_df())) == (1, after, TRAINING_SET.column_names)
    store.get_historical_features(
        AllEntities(start=date(2026, 1, 1), end="2026-02-01", every="1d", after=job.next), ["v:f"]
    )
    assert peer.requests[1].json()["all_entities"] == {
        "start": "2026-01-01T00:00:00Z",
        "end": "2026-02-01T00:00:00Z",
        "every": "1d",
        "after": after,
    }


def test_all_entities_without_pyarrow_come_as_json(peer, store, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    columns = {"driver_id": [1], "event_timestamp": [AT.isoformat()], "f": [0.5]}
    answer = {
        "metadata": {"feature_names": [*columns], "next": {"driver_id": 1}},
        "results": [{"values": values} for values in columns.values()],
    }
    peer.answers_with("POST get-historical-features", answer)

    job = store.get_historical_features(AllEntities(at=["2026-01-02", AT]), ["v:f"])

    assert job.to_dict() == {"driver_id": [1], "event_timestamp": [AT], "f": [0.5]}
    assert job.next == {"driver_id": 1}


def test_all_entities_go_into_a_file_whole(peer, store, tmp_path):
    peer.answers_with("POST get-historical-features", b"a\n", Content_Type="text/csv")

    store.write_historical_features(AllEntities(at="2026-01-02"), tmp_path / "out.csv", ["v:f"])

    assert (tmp_path / "out.csv").read_bytes() == b"a\n"
    sent = peer.requests[0]
    assert (sent.headers["Content-Type"], sent.headers["Accept"]) == (
        "application/json",
        "text/csv",
    )
    assert sent.json()["all_entities"] == {"at": "2026-01-02T00:00:00Z"}
    with pytest.raises(Invalid, match="a file has the whole answer"):
        store.write_historical_features(AllEntities(at="2026-01-02", limit=1), "out.csv", ["v:f"])
