"""A view that reads another on a real server with its worker: both defined, approved, stored, read.

Not for what may be read or for single values (``tests/registry``, ``tests/materialization``).
"""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay import errors as client_errors
from tests.factories import DEFINITIONS
from tests.journeys import test_golden_path as golden
from tests.journeys.test_golden_path import NOW, assayed, until

pytestmark = [pytest.mark.journey, pytest.mark.database("sqlite", "postgresql")]
folder, server, people = golden.folder, golden.server, golden.people
ana, sam = golden.ana, golden.sam

RIDES = """
kind: Entity
name: ride
join_keys: [{name: ride_id, type: int64}]
---
kind: DataSource
name: rides
type: file
path: rides.parquet
event_timestamp: at
---
kind: FeatureView
name: ride_profile
entities: [ride]
source: rides
views: [{features: ["driver_hourly:avg_daily_trips"], on: {driver_id: driver}}]
sql: "SELECT ride_id, at, price / nullif(driver_hourly.avg_daily_trips, 0) AS share FROM rides"
features: [{name: share, type: float64}]
schedule: {every: 1h}
"""


#: The third level: it reads the second, of the same ride.
DEAR = """
kind: FeatureView
name: dear_rides
entities: [ride]
source: rides
views: [{features: ["ride_profile:share"]}]
sql: "SELECT ride_id, at, ride_profile.share > 3 AS dear FROM rides"
features: [{name: dear, type: bool}]
schedule: {every: 1h}
"""
LEVELS = ("driver_hourly", "ride_profile", "dear_rides")


def test_from_one_folder_to_what_a_model_reads(ana, sam, folder, tmp_path):
    rides = {"ride_id": [1, 2, 3], "driver": [1003, 1011, 4711], "price": [10.0, 20.0, 30.0]}
    times = pa.array([NOW - timedelta(seconds=30)] * 3, pa.timestamp("us", tz="UTC"))
    pq.write_table(pa.table(rides | {"at": times}), folder / "rides.parquet")
    (tmp_path / "c.yaml").write_text(DEFINITIONS)
    (tmp_path / "b.yaml").write_text(RIDES)
    (tmp_path / "a.yaml").write_text(DEAR)

    planned = ana.plan(str(tmp_path))
    told = {each["name"]: each["waits_for"] for each in planned["changes"]}
    assert [told[name] for name in LEVELS] == [
        [], ["driver_hourly@1.0.0"], ["ride_profile@1.0.0"],
    ]  # fmt: skip
    for name in LEVELS:
        applied = {each["name"]: each for each in ana.apply(str(tmp_path), submit=True)["changes"]}
        assert applied[name]["state"] == "in_review"
        for above in LEVELS[LEVELS.index(name) + 1 :]:
            with pytest.raises(client_errors.Conflict, match="to be approved; then submit it"):
                ana.submit(above)
        review = until(lambda name=name: assayed(sam, name))
        sam.approve(name, packet_hash=review["packet_hash"])
    for name in LEVELS:
        until(lambda name=name: ana.get_feature_view(name)["default_version"] == "1.0.0")

    said = ana.get_feature_view_version("ride_profile", "1.0.0")
    assert said["reads"][0]["version"] == "driver_hourly@1.0.0"
    assert said["reads"][0]["changed_by_run"] is None
    references = ["ride_profile:share"]
    online = ana.get_online_features(references, [{"ride_id": each} for each in (1, 2, 3)])
    frame = pa.table({"ride_id": [1, 2, 3], "event_timestamp": pa.array([NOW] * 3)})
    offline = ana.get_historical_features(frame, references).to_arrow()
    dear = ana.get_online_features(["dear_rides:dear"], [{"ride_id": each} for each in (1, 2, 3)])
    assert dear.to_dict()["dear"] == [True, False, None]
    trained = ana.get_historical_features(frame, ["dear_rides:dear"]).to_arrow()
    assert trained["dear"].to_pylist() == [True, False, None]
    assert online.to_dict()["share"] == offline["share"].to_pylist() == [5.0, 2.0, None]
    lineage = ana.get_lineage("feature", "ride_profile:share")
    assert "driver_stats.avg_daily_trips" in str(lineage)
    with pytest.raises(client_errors.Conflict, match="feature view ride_profile@1.0.0"):
        sam.retire("driver_hourly@1.0.0")
