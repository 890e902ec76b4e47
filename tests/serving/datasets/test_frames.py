"""Frames as programs send them: what Parquet holds is kept as it is, the rest is refused."""

from __future__ import annotations

import io
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import ipc

from serving.models import Dataset
from tests.serving.datasets_world import Caller, make, verify
from tests.serving.historical_world import stored_view

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ARROW = "application/vnd.apache.arrow.stream"
KEPT = {
    "dictionary": pa.array(["a", None]).dictionary_encode(),
    "view": pa.array(["a", None], pa.string_view()),
    "half": pa.array([np.float16(1.5), None], pa.float16()),
    "decimal": pa.array([Decimal("1.5"), None], pa.decimal256(50, 2)),
    "uuid": pa.array([uuid.UUID(int=7).bytes, None], pa.uuid()),
    "seconds": pa.array([NOON, None], pa.timestamp("s", "UTC")),
    "duration": pa.array([timedelta(1), None], pa.duration("s")),
    "struct": pa.array([{"a": float("nan")}, None]),
    "nothing": pa.nulls(2),
    "runs": pa.RunEndEncodedArray.from_arrays([1, 2], ["a", "b"]),
    "unsigned": pa.array([2**64 - 1, None], pa.uint64()),
}
REFUSED = {
    "interval": pa.array([(1, 2, 3), None], pa.month_day_nano_interval()),
    "empty": pa.array([{}, None], pa.struct([])),
    "far": pa.array([2**62, None], pa.timestamp("s")),
}


@pytest.fixture
def caller(client, cast):
    stored_view(cast, [{"driver_id": 1001, "event": NOON, "avg_daily_trips": 3}], at=NOON)
    return Caller(client, cast.consumer)


def sent(caller: Caller, name: str, column: pa.Array):
    times = pa.array([NOON, NOON], pa.timestamp("us", "UTC"))
    table = pa.table({"driver_id": [1001, 1002], "event_timestamp": times, name: column})
    body = io.BytesIO()
    with ipc.new_stream(body, table.schema) as stream:
        stream.write_table(table)
    query = "?name=churn&features=driver_hourly:avg_daily_trips"
    return caller.post(query, body.getvalue(), content_type=ARROW)


@pytest.mark.parametrize("name", KEPT)
def test_what_parquet_holds_is_kept_and_equal_when_read_again(caller, name):
    assert sent(caller, name, KEPT[name]).status_code == 202

    assert make(NOON).status == "done"
    assert verify(caller, NOON)["verdict"] == "equal"


@pytest.mark.parametrize("name", REFUSED)
def test_what_parquet_does_not_hold_is_refused_by_name(caller, settings, name):
    refused = sent(caller, name, REFUSED[name])

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_entity_frame")
    assert f"column '{name}'" in refused.json()["detail"]
    assert Dataset.objects.count() == 0
    assert list((settings.OFFLINE_STORE / "_datasets").rglob("*.parquet")) == []


def test_a_frame_without_rows_is_a_dataset_without_rows(caller):
    body = {
        "name": "churn",
        "features": ["driver_hourly:avg_daily_trips"],
        "entities": {"driver_id": [], "event_timestamp": []},
    }
    assert caller.post(body=body).status_code == 202

    assert make(NOON).status == "done"
    assert verify(caller, NOON)["verdict"] == "equal"
