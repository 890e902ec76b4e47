"""A question about a part of a history reads that part, and before it what counts at its start."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from materialization.compute.duckdb_engine import DuckDBEngine
from materialization.compute.limits import EngineLimits
from materialization.compute.questions import (
    EntitiesQuestion,
    JoinQuestion,
    StoredEntities,
    Timing,
)
from materialization.stores.columns import INSTANT, stored_schema
from tests.materialization.engine_cases import make_spec, wreck, write_parquet

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
ENGINE = DuckDBEngine(EngineLimits(memory_limit_mb=256, threads=2, timeout_s=60))
SPEC = make_spec(features=[("x", "float64")])
KEYS = range(4)
FIRST, LAST = START + 30 * DAY + 12 * HOUR, START + 35 * DAY + 12 * HOUR


@pytest.fixture
def file(tmp_path):
    """Return a file of a row a day of each key, and a group a day, of which some are wrecked."""

    def wrecked(*, all_but):
        rows = [
            {
                "k": key,
                "event_timestamp": START + day * DAY,
                "created_timestamp": START + day * DAY + late,
                "__sequence": 1,
                "x": float(day),
            }
            for day in range(60)
            for key, late in zip(KEYS, (HOUR, HOUR, 2 * DAY, -HOUR), strict=True)
        ]
        schema = stored_schema(SPEC)
        path = write_parquet(tmp_path, rows, schema, row_group_size=len(KEYS))
        for day in {*range(60)} - {*all_but}:
            for column in range(len(schema)):  # whoever reads their values fails
                wreck(path, day, column=column)
        return str(path)

    return wrecked


@pytest.mark.parametrize(("timing", "back"), [(Timing.KNOWN, 8), (Timing.EVENT, 1)])
def test_a_join_reads_its_range_and_back_to_what_each_key_takes(file, timing, back):
    asked = [(key, at) for at in (FIRST, LAST) for key in KEYS]
    keys, times = zip(*asked, strict=True)
    entities = pa.table([pa.array(keys), pa.array(times, INSTANT)], ["k", "event_timestamp"])
    path = file(all_but=range(31 - back, 36))

    [answer] = ENGINE.point_in_time_joins([JoinQuestion(SPEC, (path,), ("x",), entities, timing)])

    late = 28.0 if timing is Timing.KNOWN else 30.0
    expected = [30.0, 30.0, late, 30.0, 35.0, 35.0, late + 5, 35.0]
    assert answer.rows["x"].to_pylist() == expected


@pytest.mark.parametrize(("timing", "back"), [(Timing.KNOWN, 3), (Timing.EVENT, 0)])
def test_who_there_is_in_a_range_takes_the_range_and_what_came_late_in_it(file, timing, back):
    path = file(all_but=range(31 - back, 36))
    schema = pa.schema([("k", pa.int64())])
    views = (StoredEntities(SPEC, (path,)),)

    found = ENGINE.entity_rows(
        EntitiesQuestion(views, schema, (FIRST, LAST), None, 100, timing)
    ).to_pylist()

    lags = (HOUR, HOUR, 2 * DAY, timedelta()) if timing is Timing.KNOWN else [timedelta()] * 4
    times = [(START + day * DAY + lag, key) for key, lag in zip(KEYS, lags, strict=True)
             for day in range(60)]  # fmt: skip
    assert [(row["event_timestamp"], row["k"]) for row in found] == sorted(
        (at, key) for at, key in times if FIRST <= at <= LAST
    )
