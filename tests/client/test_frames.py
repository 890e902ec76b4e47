"""The caller's own columns: whatever was sent is there again, beside the features."""

from __future__ import annotations

import io
import math
import random
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import ipc

from assay import ServerError
from assay.encoding import to_json
from assay.errors import Invalid

AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
ARROW = "application/vnd.apache.arrow.stream"


class Stranger:
    """A frame of a library this client never heard of."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def answer_with(peer, sent: pa.Table, **changed) -> None:
    """Prepare the server's answer to a frame: its columns, then a feature with a null in it."""
    place = sent.column_names.index("event_timestamp")
    stamps = pa.array([AT] * sent.num_rows, pa.timestamp("us", "UTC"))
    table = sent.set_column(place, "event_timestamp", stamps)
    for name, values in changed.items():
        table = table.set_column(table.column_names.index(name), name, values)
    values = [2**53 + 1, *[None] * (sent.num_rows - 1)]
    table = table.append_column("trips", pa.array(values, pa.int64()))
    sink = io.BytesIO()
    with ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    peer.answers_with("POST get-historical-features", sink.getvalue(), Content_Type=ARROW)


def test_columns_and_index_of_a_pandas_frame_come_back_as_they_were(peer, store):
    frame = pd.DataFrame(
        {
            "driver_id": [1, 1, 2],
            "event_timestamp": [AT.replace(tzinfo=None)] * 3,
            "big": pd.array([2**53 + 1, None, -(2**63)], "Int64"),
            "small": np.array([1, 2, 3], "uint8"),
            "flag": pd.array([True, None, False], "boolean"),
            "half": [np.nan, 0.5, -0.0],
            "local": pd.to_datetime([AT] * 3).tz_convert("Europe/Paris"),
            "day": [date(2026, 1, 1), None, date(1, 1, 1)],
            "price": [Decimal("1.10"), Decimal("2.00"), None],
            "raw": [b"\x00", b"", None],
            "kind": pd.Categorical(["a", None, "b"], categories=["b", "a", "c"], ordered=True),
            "text": ["NaN", None, ""],
            "period": pd.period_range("2026-01", periods=3, freq="M").astype(str),
        },
        index=pd.Index([7, 7, 3], name="row"),
    )
    answer_with(peer, pa.Table.from_pandas(frame, preserve_index=False))

    job = store.get_historical_features(frame, ["v:f"])
    frame["small"] = 0  # what the caller does to it afterwards is not in the answer
    found = job.to_df()

    pd.testing.assert_index_equal(found.index, frame.index)
    kept = frame.columns.drop(["event_timestamp", "small"])
    pd.testing.assert_frame_equal(found[kept], frame[kept])
    assert found["small"].tolist() == [1, 2, 3]
    assert (str(found["event_timestamp"].dtype), found["event_timestamp"].iloc[0]) == (
        "datetime64[us, UTC]",
        pd.Timestamp(AT),
    )
    assert found["trips"].tolist() == [2**53 + 1, pd.NA, pd.NA]
    assert list(found.columns) == [*frame.columns, "trips"]


@pytest.mark.parametrize(
    "as_sent",
    [
        lambda table: table,
        lambda table: table.to_batches()[0],
        lambda table: table.to_reader(),
        Stranger,
        lambda table: duckdb.from_arrow(table),
    ],
    ids=["table", "batch", "reader", "stranger", "duckdb"],
)
def test_whatever_gives_arrow_can_be_asked_about(peer, store, as_sent):
    table = pa.table(
        {
            "driver_id": pa.array([2**63 - 1, None], pa.int64()),
            "event_timestamp": pa.array([AT, AT], pa.timestamp("us", "UTC")),
        }
    )
    answer_with(peer, table)

    job = store.get_historical_features(as_sent(table), ["v:f"])

    assert ipc.open_stream(peer.requests[0].body).read_all().to_pylist() == table.to_pylist()
    assert job.to_df()["driver_id"].tolist() == [2**63 - 1, pd.NA]


def test_online_rows_come_from_whatever_gives_arrow(peer, store):
    echoed = {
        "metadata": {"feature_names": ["id"], "value_types": ["int64"]},
        "results": [{"values": [2**63 - 1, None]}],
    }
    peer.answers_with("POST get-online-features", echoed)
    table = pa.table({"id": pa.array([2**63 - 1, None], pa.int64())})

    for rows in (Stranger(table), table.to_batches()[0], duckdb.from_arrow(table)):
        assert len(store.get_online_features("menu", rows)) == 2
        assert peer.requests[-1].json()["entities"] == {"id": [2**63 - 1, None]}


def test_a_column_that_arrow_does_not_have_is_named(store):
    class Polars:
        """Gives all columns or some of them, as polars does; Arrow knows no Int128."""

        def __init__(self, columns):
            self.columns = columns

        def __getitem__(self, columns):
            return Polars(columns)

        def __arrow_c_stream__(self, requested_schema=None):
            if "big" in self.columns:
                raise ValueError("unsupported format string: '_pli128'")
            return pa.table(dict.fromkeys(self.columns, [1])).__arrow_c_stream__()

    with pytest.raises(Invalid, match="column 'big' of a Polars cannot be sent.*Write it as int64"):
        store.get_historical_features(Polars(["driver_id", "big"]), ["v:f"])


def test_an_answer_about_other_rows_is_an_error(peer, store):
    table = pa.table({"driver_id": [1, 2], "event_timestamp": [AT, AT]})
    answer_with(peer, table, driver_id=pa.array([2, 1]))

    with pytest.raises(ServerError, match="column 'driver_id'"):
        store.get_historical_features(table, ["v:f"])


def test_a_polars_frame_is_sent_and_given(peer, store):
    frame = pl.DataFrame(
        {"driver_id": [2**63 - 1, 7], "event_timestamp": [AT, AT]},
        schema_overrides={"event_timestamp": pl.Datetime("us", "UTC")},
    )
    answer_with(peer, frame.to_arrow())

    job = store.get_historical_features(frame, ["v:f"])

    sent = ipc.open_stream(peer.requests[0].body).read_all()
    assert sent.to_pylist() == frame.to_dicts()
    assert job.to_polars().select(frame.columns).equals(frame)


def test_a_lazy_frame_is_refused_with_what_to_give_instead(store):
    lazy = pl.LazyFrame({"driver_id": [1], "event_timestamp": [AT]})

    for ask in (store.get_historical_features, store.request_historical_features):
        with pytest.raises(Invalid, match="LazyFrame has no rows yet; give what its collect"):
            ask(lazy, ["v:f"])
    with pytest.raises(Invalid, match="LazyFrame has no rows yet"):
        store.get_online_features(["v:f"], lazy)


VALUES: list[Any] = [1, -(2**70), True, None, "a", 0.5, -0.0, math.nan, math.inf, b"ab"]
VALUES += [np.float64(0.1), np.int8(3), Decimal("1.50"), AT, date(2026, 1, 31), [1.0, None]]


def test_a_column_is_sent_as_each_of_its_values_alone():
    chance = random.Random(11)
    for _ in range(500):
        values = chance.choices(chance.sample(VALUES, chance.choice([1, 2, 3])), k=4)

        assert to_json(values) == b"[" + b",".join(map(to_json, values)) + b"]"
