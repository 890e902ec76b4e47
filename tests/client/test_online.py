"""Online reads through the client: what is sent, and the forms of the answer."""

from __future__ import annotations

import math
import sys
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from assay import Invalid, MissingExtra, ServerError

ANSWER = {
    "metadata": {
        "feature_names": ["driver_id", "conv_rate", "avg_trips", "embedding"],
        "value_types": ["int64", "float64", "int64", "vector<2>"],
    },
    "results": [
        {
            "values": [1001, 1002, 1001],
            "statuses": ["PRESENT", "PRESENT", "PRESENT"],
            "event_timestamps": ["1970-01-01T00:00:00Z"] * 3,
        },
        {
            "values": ["NaN", None, 0.5],
            "statuses": ["PRESENT", "NOT_FOUND", "PRESENT"],
            "event_timestamps": ["1969-12-31T23:59:59.500000Z", None, "2026-01-02T03:04:05Z"],
        },
        {
            "values": [None, None, 7],
            "statuses": ["NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"],
            "event_timestamps": ["2026-01-02T03:04:05Z", None, "2026-01-02T03:04:05Z"],
        },
        {
            "values": [["Infinity", 1.0], None, []],
            "statuses": ["PRESENT", "NOT_FOUND", "PRESENT"],
            "event_timestamps": ["2026-01-02T03:04:05Z", None, "2026-01-02T03:04:05Z"],
        },
    ],
}
DAY = datetime(2026, 1, 2, tzinfo=UTC)
ROWS = {"driver_id": [1001, 1002, 1001]}
REFERENCES = ["driver_stats:conv_rate", "driver_stats@1.0.0:avg_trips"]


def ask(peer, store, answer=ANSWER, **arguments):
    peer.answers_with("POST get-online-features", answer)
    return store.get_online_features(**arguments)


def test_rows_are_sent_as_columns_in_their_order(peer, store):
    ask(
        peer,
        store,
        features=REFERENCES,
        entity_rows=[{"driver_id": 1001}, {"driver_id": 1002}, {"driver_id": 1001}],
    )

    assert peer.requests[0].headers["Authorization"] == "Bearer t0ken"
    assert peer.requests[0].json() == {
        "features": REFERENCES,
        "entities": {"driver_id": [1001, 1002, 1001]},
        "full_feature_names": False,
    }


@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame({"driver_id": pd.array([1001, None], "Int64"), "day": [DAY, pd.NaT]}),
        pa.table({"driver_id": [1001, None], "day": [DAY, None]}),
        {
            "driver_id": [1001, math.nan],
            "day": np.array([DAY.replace(tzinfo=None), "NaT"], "M8[ns]"),
        },
        [{"driver_id": 1001, "day": DAY}, {"driver_id": pd.NA, "day": pd.NaT}],
    ],
    ids=["pandas", "arrow", "columns", "rows"],
)
def test_rows_come_in_any_form_and_a_missing_key_is_null(peer, store, rows):
    echoed = {
        "metadata": {"feature_names": ["driver_id", "day"], "value_types": ["int64", "timestamp"]},
        "results": [{"values": [1001, None]}, {"values": ["2026-01-02T00:00:00.000000Z", None]}],
    }
    ask(peer, store, echoed, features=REFERENCES, entity_rows=rows)

    sent = peer.requests[0].json()["entities"]
    assert sent == {"driver_id": [1001, None], "day": ["2026-01-02T00:00:00Z", None]}


def test_keys_of_a_pandas_frame_with_gaps_are_floats_that_hold_integers(peer, store):
    echoed = {
        "metadata": {"feature_names": ["driver_id"], "value_types": ["int64"]},
        "results": [{"values": [1001, None]}],
    }
    rows = pd.DataFrame({"driver_id": [1001, None]})
    ask(peer, store, echoed, features=REFERENCES, entity_rows=rows)

    assert peer.requests[0].json()["entities"] == {"driver_id": [1001.0, None]}


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({"features": "ranker"}, {"feature_service": "ranker"}),
        ({"feature_service": "ranker"}, {"feature_service": "ranker"}),
        ({"features": {"name": "ranker", "version": 3}}, {"feature_service": "ranker"}),
        ({"features": "v:f"}, {"features": ["v:f"]}),
    ],
)
def test_features_are_references_or_a_service(peer, store, arguments, sent):
    ask(peer, store, entity_rows=ROWS, **arguments)

    body = peer.requests[0].json()
    assert {key: body[key] for key in body if key in {"features", "feature_service"}} == sent


def test_to_dict_has_feasts_shape_and_keeps_nan_apart_from_null(peer, store):
    values = ask(peer, store, features=REFERENCES, entity_rows=ROWS).to_dict()

    assert list(values) == ["driver_id", "conv_rate", "avg_trips", "embedding"]
    assert values["driver_id"] == [1001, 1002, 1001]
    assert math.isnan(values["conv_rate"][0])
    assert values["conv_rate"][1:] == [None, 0.5]
    assert values["embedding"] == [[math.inf, 1.0], None, []]


def test_statuses_and_event_times_are_told_for_each_value(peer, store):
    answer = ask(peer, store, features=REFERENCES, entity_rows=ROWS)

    assert answer.statuses()["avg_trips"] == ["NULL_VALUE", "NOT_FOUND", "OUTSIDE_MAX_AGE"]
    assert answer.event_timestamps()["conv_rate"][1:] == [
        None,
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    ]
    # Half a second before 1970 lies in second -1.
    assert answer.to_dict(include_event_timestamps=True)["conv_rate__ts"] == [-1, None, 1767323045]


@pytest.mark.parametrize(
    ("echoed", "says"), [([2, 1], "column 'driver_id'"), ([1], "column 'driver_id'")]
)
def test_an_answer_about_other_keys_is_an_error(peer, store, echoed, says):
    answer = {
        "metadata": {"feature_names": ["driver_id"], "value_types": ["int64"]},
        "results": [{"values": echoed}],
    }

    with pytest.raises(ServerError, match=says):
        ask(peer, store, answer, features=REFERENCES, entity_rows={"driver_id": [1, 2]})


def test_to_df_without_the_extra_says_what_to_install(peer, store, monkeypatch):
    answer = ask(peer, store, features=REFERENCES, entity_rows=ROWS)
    assert answer.to_df()["driver_id"].tolist() == [1001, 1002, 1001]
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(MissingExtra, match=r"pip install 'assay\[pandas\]'"):
        answer.to_df()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"a": 1, "b": 2}, {"a": 1, "c": 3}], r"row 1 lacks \['b'\] and has also \['c'\]"),
        ({"a": [1, 2], "b": [1]}, r"differ in length \(a: 2, b: 1\)"),
        ({"a": "12"}, "column 'a' must be a list"),
        ([], "no entity rows"),
        ([("a", 1)], "entity row 0 is a tuple"),
        (object(), "entity rows are an object; give a list of dicts, .* frame or an Arrow"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns 'a'; keep one"),
    ],
)
def test_uneven_entity_rows_are_refused_before_anything_is_sent(peer, store, rows, message):
    with pytest.raises(Invalid, match=message):
        store.get_online_features(REFERENCES, rows)

    assert peer.requests == []


@pytest.mark.parametrize("arguments", [{}, {"features": ["a:b"], "feature_service": "s"}])
def test_features_and_service_exclude_each_other(store, arguments):
    with pytest.raises(Invalid, match="either features"):
        store.get_online_features(entity_rows=[{"a": 1}], **arguments)
