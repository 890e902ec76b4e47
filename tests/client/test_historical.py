"""Training sets through the client: Arrow both ways, JSON where pyarrow is missing."""

from __future__ import annotations

import io
import json
import math
import sys
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import ipc

from assay import Invalid, ServerError

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
