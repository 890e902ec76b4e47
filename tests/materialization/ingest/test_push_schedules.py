"""Random histories of pushes and drains, some broken off: both stores answer as the oracle does."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from materialization.edges.stores import push_log
from materialization.ingest.refusals import Refusals
from materialization.ingest.taking import Sent, judge, take
from materialization.ingest.targets import targets_of_source
from materialization.runner.draining import drain_logs
from materialization.stores.layout import log_key
from materialization.stores.push_command import LOGGED, MostWaiting
from registry import access
from tests.materialization.ingest.push_world import ready
from tests.materialization.run_world import AT, INSTANT, offline, online, snapshot, table_of
from tests.oracle import latest_known

if TYPE_CHECKING:
    from datetime import datetime

pytestmark = pytest.mark.django_db
DRIVERS = [1, 2, 3, 4]
SECOND = timedelta(seconds=1)


def push(target: Any, rows: list[dict[str, Any]], at: datetime, later: int = 1000) -> None:
    columns = {
        "driver_id": pa.array([row["driver_id"] for row in rows], pa.int64()),
        "at": pa.array([row["event_timestamp"] for row in rows], INSTANT),
        "fare": pa.array([row["fare"] for row in rows], pa.float64()),
        "city": pa.nulls(len(rows), pa.string()),
        "seats": pa.nulls(len(rows), pa.int32()),
    }
    sent = Sent(target, pa.RecordBatch.from_pydict(columns))
    take(
        judge([sent], Refusals(), partial_ok=False, at=at),
        at=at,
        once=None,
        most=MostWaiting(1000, 1 << 30, later),
    )


@pytest.mark.parametrize("seed", range(4))
def test_any_history_is_the_same_in_both_stores(cast, online_redis, seed):
    chance = random.Random(seed)
    version = ready(cast)
    (target,) = targets_of_source("trips", cast.project, access.Rights(cast.owner))
    uid = table_of(version).uid
    known: list[dict[str, Any]] = []
    at, drained = AT, 0
    for number in range(40):
        # Several at one instant, and rows of one event in one push: the sequence decides.
        at += chance.choice([0, 0, 1, 5]) * SECOND
        rows = [
            {
                "driver_id": chance.choice(DRIVERS),
                "event_timestamp": at - chance.choice([0, 1, 60, 3600]) * SECOND,
                "created_timestamp": at,
                "fare": float(100 * number + place),
            }
            for place in range(chance.randint(1, 5))
        ]
        push(target, rows, at)
        known += rows
        for place, row in enumerate(known):
            row["__sequence"] = place
        if chance.random() < 0.3:
            log = online_redis.dump(log_key(uid))
            drained += drain_logs()
            if chance.random() < 0.5:  # whoever drained died before the log was trimmed
                online_redis.restore(log_key(uid), 0, log, replace=True)
                online_redis.sadd(LOGGED, uid)
    drained += drain_logs()

    assert drained == snapshot(version).rows == len(known)
    assert push_log().logged() == []
    for back in (0, 2, 30):
        asked = at - back * SECOND
        rightly = [latest_known(known, {"driver_id": each}, asked) for each in DRIVERS]
        fares = [row and row["fare"] for row in rightly]
        assert offline(version, {"driver_id": DRIVERS}, at=asked)["fare"] == fares
        if back == 0:
            assert online(version, {"driver_id": DRIVERS}, at=asked)["fare"] == fares
