"""Online reads through the client: what is sent, and the forms of the answer."""

from __future__ import annotations

import math
import sys
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import polars as pl
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
            "driver_id": [1001, None],
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


@pytest.mark.parametrize(
    ("rows", "sent"),
    [
        ({"id": [1, 2, 3], "x": [0.1, math.nan, None]}, [0.1, "NaN", None]),
        ([{"id": 1, "x": 0.1}, {"id": 2, "x": np.float32("nan")}, {"id": 3, "x": pd.NA}],
         [0.1, "NaN", None]),
        (pa.table({"id": [1, 2, 3], "x": [0.1, math.nan, None]}), [0.1, "NaN", None]),
        (pd.DataFrame({"id": [1, 2, 3], "x": [0.1, math.nan, None]}), [0.1, None, None]),
    ],
    ids=["columns", "rows", "arrow", "pandas"],
)  # fmt: skip
@pytest.mark.parametrize(("kind", "tenth"), [("float32", 0.10000000149011612), ("float64", 0.1)])
def test_request_values_keep_nan_and_come_back_as_their_type_holds_them(
    peer, store, rows, sent, kind, tenth
):
    echoed = {
        "metadata": {"feature_names": ["id", "x"], "value_types": ["int64", kind]},
        "results": [{"values": [1, 2, 3]}, {"values": [tenth, *sent[1:]]}],
    }
    answer = ask(peer, store, echoed, features=REFERENCES, entity_rows=rows)

    assert peer.requests[0].json()["entities"] == {"id": [1, 2, 3], "x": sent}
    assert answer.to_dict()["x"][0] == tenth


@pytest.mark.parametrize("others", [[0.2, "NaN"], [0.10000000149011612, None], [0.1, "NaN"]])
def test_an_answer_about_other_request_values_is_refused(peer, store, others):
    echoed = {
        "metadata": {"feature_names": ["x"], "value_types": ["float32"]},
        "results": [{"values": others}],
    }
    with pytest.raises(ServerError, match="other entity rows"):
        ask(peer, store, echoed, features=REFERENCES, entity_rows={"x": [0.1, math.nan]})


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


@pytest.mark.parametrize(("rows", "prefers"), [(999, False), (1000, True)])
def test_a_large_answer_is_asked_for_as_arrow_and_taken_as_it_comes(peer, store, rows, prefers):
    values = list(range(rows))
    answer = {
        "metadata": {"feature_names": ["id"], "value_types": ["int64"]},
        "results": [{"values": values, "statuses": [], "event_timestamps": []}],
    }

    found = ask(peer, store, answer, features=["v:x"], entity_rows={"id": values})

    assert ("arrow" in peer.requests[0].headers["Accept"]) == prefers
    assert found.to_dict() == {"id": values}


def test_where_there_is_no_row_there_is_no_instant(peer, store):
    answer = {
        "metadata": {"feature_names": ["id", "x"], "value_types": ["int64", "int64"]},
        "results": [
            {
                "values": [1, 2],
                "statuses": ["PRESENT", "PRESENT"],
                "event_timestamps": ["1970-01-01T00:00:00Z"] * 2,
            },
            {
                "values": [None, 7],
                "statuses": ["NOT_FOUND", "PRESENT"],
                "event_timestamps": ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000000Z"],
            },
        ],
    }

    found = ask(peer, store, answer, features=["v:x"], entity_rows={"id": [1, 2]})

    in_1970 = datetime(1970, 1, 1, tzinfo=UTC)
    assert found.event_timestamps() == {"id": [None, None], "x": [None, in_1970]}
    assert found.to_dict(include_event_timestamps=True)["x__ts"] == [None, 0]
    assert found.to_arrow(include_event_timestamps=True)["x__ts"].to_pylist() == [None, 0]


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


def test_to_polars_has_the_values_of_to_dict_in_declared_types(peer, store):
    peer.answers_with("POST get-online-features", ANSWER)
    response = store.get_online_features("menu", {"driver_id": [1001, 1002, 1001]})

    frame = response.to_polars()

    assert frame.schema == {
        "driver_id": pl.Int64,
        "conv_rate": pl.Float64,
        "avg_trips": pl.Int64,
        "embedding": frame.schema["embedding"],
    }
    assert frame["avg_trips"].to_list() == [None, None, 7]
    assert math.isnan(frame["conv_rate"][0]) and frame["conv_rate"][1] is None


def test_to_polars_without_the_extra_says_what_to_install(peer, store, monkeypatch):
    peer.answers_with("POST get-online-features", ANSWER)
    response = store.get_online_features("menu", {"driver_id": [1001, 1002, 1001]})
    monkeypatch.setitem(sys.modules, "polars", None)

    with pytest.raises(MissingExtra, match=r"to_polars needs polars.*assay\[polars\]"):
        response.to_polars()
