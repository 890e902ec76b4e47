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
from tests.serving.historical_world import commit, stored_view

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
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


def test_numbers_of_a_csv_that_stay_text_are_told_in_the_manifest(caller):
    body = b"driver_id,event_timestamp,price\n1001,2026-03-01T14:00:00Z,1e-05\n"
    caller.post("?name=churn&features=driver_hourly:avg_daily_trips", body, content_type="text/csv")

    made = make(NOON)

    assert "column 'price' of the CSV" in made.manifest["warnings"][0]
    assert "frame_warnings" not in made.manifest["request"]


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


@pytest.fixture
def drivers(cast):
    rows = [
        {"driver_id": 1001, "event": NOON, "avg_daily_trips": 3},
        {"driver_id": 1002, "event": NOON + HOUR, "avg_daily_trips": 7},
    ]
    return stored_view(cast, rows, at=NOON)


def of_all(client, cast, **more):
    return Caller(client, cast.consumer).post(
        body={"name": "churn", "features": ["driver_hourly:avg_daily_trips"], **more}
    )


def test_all_entities_that_there_are_when_it_is_asked_for_are_its_frame(client, cast, drivers):
    times = [f"{NOON + HOUR / 2:%FT%TZ}", f"{NOON + 2 * HOUR:%FT%TZ}"]
    split = {"by": "entity", "keys": ["driver_id"], "shares": {"train": 0.5, "test": 0.5}}
    asked = of_all(client, cast, all_entities={"at": times}, split=split)
    assert (asked.status_code, asked.json()["rows"]) == (202, 3), asked.content
    late = {"driver_id": 1003, "event": NOON, "avg_daily_trips": 9}
    commit(drivers, [late], sequence=2)

    made = make(NOON + 3 * HOUR)

    caller = Caller(client, cast.consumer)
    rows = caller.rows().sort_by([("event_timestamp", "ascending"), ("driver_id", "ascending")])
    assert rows["driver_id"].to_pylist() == [1001, 1001, 1002]
    assert rows["avg_daily_trips"].to_pylist() == [3, 3, 7]
    assert made.manifest["request"]["all_entities"] == {"at": times}
    assert verify(caller, NOON + 4 * HOUR)["verdict"] == "equal"


@pytest.mark.parametrize(
    ("every", "words"),
    [
        ({"at": "2026-03-01T14:00:00Z", "limit": 1}, "leave out limit and after"),
        ({"at": "soon"}, "soon"),
        ({}, "all_entities"),
    ],
)
def test_all_entities_that_cannot_be_meant_are_refused(client, cast, drivers, every, words):
    refused = of_all(client, cast, all_entities=every)

    assert refused.status_code == 422
    assert words in refused.json()["detail"]
    assert Dataset.objects.count() == 0


def test_neither_a_frame_nor_all_entities_is_refused(client, cast, drivers):
    assert "all_entities" in of_all(client, cast).json()["detail"]
