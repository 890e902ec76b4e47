"""Views with exact windows over the push source of ``push_world``, and rows pushed to them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from materialization.ingest.refusals import Refusals
from materialization.ingest.taking import Sent, judge, take
from materialization.ingest.targets import targets_of_source
from materialization.stores.push_command import MostWaiting
from registry import access
from tests import factories
from tests.materialization.ingest.push_world import SOURCE
from tests.materialization.run_world import INSTANT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

HOUR = timedelta(hours=1)
STAMPED = SOURCE.replace("event_timestamp: at", "event_timestamp: at\ncreated_timestamp: seen")
STAMPED = STAMPED.replace("at: timestamp,", "at: timestamp, seen: timestamp,")
#: Events of which several may have one time.
TOLD = STAMPED.replace("event_timestamp: at", "event_id: city\nevent_timestamp: at")
#: Feature → its column, its function as a definition has it, its window in hours.
OUTPUTS: dict[str, tuple[str, str, int]] = {
    "fare_sum_1h": ("fare", "sum", 1),
    "fare_sum_3h": ("fare", "sum", 3),
    "fare_count_1h": ("fare", "count", 1),
    "fare_mean_3h": ("fare", "mean", 3),
    "fare_min_1h": ("fare", "min", 1),
    "fare_max_3h": ("fare", "max", 3),
    "fare_last_k_3_3h": ("fare", "last_k", 3),
}
VIEW = """
kind: FeatureView
name: spending
entities: [driver]
source: trips
accuracy: temporal
aggregations:
  - column: fare
    functions: [sum, count, mean, min, max, {function: last_k, k: 3}]
    windows: [1h, 3h]
features:
  - {name: fare_sum_1h, type: float64}
  - {name: fare_sum_3h, type: float64}
  - {name: fare_count_1h, type: int64}
  - {name: fare_mean_3h, type: float64}
  - {name: fare_min_1h, type: float64}
  - {name: fare_max_3h, type: float64}
  - {name: fare_last_k_3_3h, type: "list<float64>"}
"""


def definitions(view: str = VIEW, source: str = SOURCE) -> str:
    return "\n---\n".join((factories.ENTITY, source, view))


def push(cast: factories.Cast, rows: Sequence[dict[str, Any]], at: datetime) -> None:
    """Push rows of ``key``, ``event``, ``created`` and columns to every table of the source."""
    targets = targets_of_source("trips", cast.project, access.Rights(cast.owner))
    every = {
        "driver_id": pa.array([row["key"][0] for row in rows], pa.int64()),
        "at": pa.array([row["event"] for row in rows], INSTANT),
        "seen": pa.array([row.get("created") for row in rows], INSTANT),
        "fare": pa.array([row.get("fare") for row in rows], pa.float64()),
        "city": pa.array([row.get("city") for row in rows], pa.string()),
        "seats": pa.array([row.get("seats") for row in rows], pa.int32()),
        "ok": pa.array([row.get("ok") for row in rows], pa.bool_()),
    }
    sent = [
        Sent(
            target,
            pa.RecordBatch.from_pydict(
                {n: c for n, c in every.items() if n in (target.spec.columns_read or every)}
            ),
        )
        for target in targets
    ]
    judged = judge(sent, Refusals(), partial_ok=False, at=at)
    take(judged, at=at, once=None, most=MostWaiting(10_000, 1 << 30))
