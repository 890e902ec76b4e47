"""Encodings on a real server with its worker: defined, fitted, reviewed, stored, read, as the model
would have scaled them by itself.

Not for each step (``tests/contracts``) or for who sees what (``tests/materialization``).
"""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, StandardScaler

from assay import errors as client_errors
from tests.factories import ENTITY, SOURCE
from tests.journeys import test_golden_path as golden
from tests.journeys.test_golden_path import NOW, assayed, until
from tests.oracle_ticks import changes_in, values_as_of

pytestmark = [pytest.mark.journey, pytest.mark.database("sqlite", "postgresql")]
folder, server, people = golden.folder, golden.server, golden.people
ana, sam = golden.ana, golden.sam

FIT = (NOW - timedelta(hours=2)).isoformat(), NOW.isoformat()
VIEW = f"""
kind: FeatureView
name: driver_encoded
entities: [driver]
source: driver_stats
features:
  - name: trips_scaled
    column: avg_daily_trips
    type: float64
    encode: {{steps: [standard], fit: {{from: "{FIT[0]}", to: "{FIT[1]}"}}}}
  - name: trips_places
    column: avg_daily_trips
    type: list<float32>
    encode: {{steps: [one_hot], fit: {{from: "{FIT[0]}", to: "{FIT[1]}"}}}}
  - name: trips_bin
    column: avg_daily_trips
    type: int64
    encode:
      steps: [{{step: bucketize, bins: 4}}]
      fit: {{from: "{FIT[0]}", to: "{FIT[1]}"}}
schedule: {{every: 1h}}
"""
NAMES = ["trips_scaled", "trips_places", "trips_bin"]


def test_from_a_definition_to_what_a_model_reads(ana, sam, folder, tmp_path):
    path = tmp_path / "features.yaml"
    path.write_text("\n---\n".join((ENTITY, SOURCE, VIEW)))
    ana.apply(str(path), submit=True)
    waiting = sam.review("driver_encoded")
    if waiting["evidence"]["status"] != "computed":
        with pytest.raises(client_errors.Conflict, match=r"fitted by a worker|changed since"):
            sam.approve("driver_encoded", packet_hash=waiting["packet_hash"])
    review = until(lambda: assayed(sam, "driver_encoded"))

    fit = review["evidence"]["parts"]["fit"]
    assert fit["facts"]["features"]["trips_scaled"]["rows"] == 20
    sam.approve("driver_encoded", packet_hash=review["packet_hash"])
    until(lambda: ana.get_feature_view("driver_encoded")["default_version"] == "1.0.0")

    rows = pq.read_table(folder / "driver_stats.parquet").sort_by("driver_id")
    values = [[float(x)] for x in rows["avg_daily_trips"].to_pylist()]
    bins = KBinsDiscretizer(4, encode="ordinal", quantile_method="linear").fit(values)
    wanted = {
        "trips_scaled": StandardScaler().fit_transform(values)[:, 0].tolist(),
        "trips_places": OneHotEncoder(sparse_output=False).fit_transform(values).tolist(),
        "trips_bin": bins.transform(values)[:, 0].tolist(),
    }
    drivers = rows["driver_id"].to_pylist()
    references = [f"driver_encoded:{name}" for name in NAMES]
    online = ana.get_online_features(references, [{"driver_id": each} for each in drivers])
    frame = pa.table({"driver_id": rows["driver_id"], "event_timestamp": pa.array([NOW] * 20)})
    offline = ana.get_historical_features(frame, references).to_arrow()
    for name in NAMES:
        assert online.to_dict()[name] == offline[name].to_pylist()
        assert offline[name].to_pylist() == [pytest.approx(each) for each in wanted[name]]


#: The last full hour; rows are of the two days before it, so nothing leaves a window meanwhile.
HOUR = timedelta(hours=1)
TICK = NOW.replace(minute=0, second=0)
VISITS = [
    {
        "key": (1001 + n % 7,),
        "event": TICK - 47 * HOUR + n * HOUR / 4,
        "created": None,
        "amount": float(n % 11),
        "plan": ("free", "team", "pro", None)[(n // 3) % 4],
    }
    for n in range(180)
]
RANGE = f'{{from: "{(TICK - 50 * HOUR).isoformat()}", to: "{TICK.isoformat()}"}}'
WINDOWS = f"""
kind: DataSource
name: visits
type: file
path: visits.parquet
event_timestamp: event
---
kind: FeatureView
name: driver_spend
entities: [driver]
source: visits
aggregations:
  - {{column: amount, functions: [sum, count], windows: [3d]}}
  - {{column: plan, functions: [last], windows: [3d]}}
features:
  - {{name: spend, column: amount_sum_3d, type: float64,
     encode: {{steps: [standard], fit: {RANGE}}}}}
  - {{name: plan, column: plan_last_3d, type: list<float64>,
     encode: {{steps: [one_hot], fit: {RANGE}}}}}
  - {{name: visits, column: amount_count_3d, type: int64}}
accuracy: temporal
schedule: {{every: 1h}}
"""
OUTPUTS = {
    "spend": ("amount", "sum", 72 * HOUR),
    "plan": ("plan", "last", 72 * HOUR),
    "visits": ("amount", "count", 72 * HOUR),
}


def test_aggregates_are_encoded_alike_at_ticks_and_as_of_any_instant(ana, sam, folder, tmp_path):
    columns = {name: [row[name] for row in VISITS] for name in ("event", "amount", "plan")}
    pq.write_table(
        pa.table({"driver_id": [key for (key,) in (row["key"] for row in VISITS)], **columns}),
        folder / "visits.parquet",
    )
    path = tmp_path / "windows.yaml"
    path.write_text("\n---\n".join((ENTITY, WINDOWS)))
    ana.apply(str(path), submit=True)
    review = until(lambda: assayed(sam, "driver_spend"))

    ticks = [TICK - n * HOUR for n in range(50, 0, -1)]
    sums = [found["spend"] for *_, found in changes_in(VISITS, ticks, OUTPUTS, "spend")]
    plans = [found["plan"] for *_, found in changes_in(VISITS, ticks, OUTPUTS, "plan")]
    facts = review["evidence"]["parts"]["fit"]["facts"]["features"]
    assert [facts[name]["rows"] for name in ("spend", "plan")] == [len(sums), len(plans)]
    sam.approve("driver_spend", packet_hash=review["packet_hash"])
    until(lambda: ana.get_feature_view("driver_spend")["default_version"] == "1.0.0")

    scaler = StandardScaler().fit([[each] for each in sums])
    places = OneHotEncoder(sparse_output=False).fit([[each] for each in plans])
    references = [f"driver_spend:{name}" for name in OUTPUTS]
    drivers = list(range(1001, 1008))
    online = ana.get_online_features(references, [{"driver_id": each} for each in drivers])
    for at in (TICK, TICK - 20 * HOUR - timedelta(minutes=17)):
        frame = pa.table({"driver_id": drivers, "event_timestamp": pa.array([at] * 7)})
        offline = ana.get_historical_features(frame, references).to_arrow()
        for place, driver in enumerate(drivers):
            loop = values_as_of(VISITS, (driver,), at, OUTPUTS)
            found = {name: offline[name][place].as_py() for name in OUTPUTS}
            assert found["visits"] == loop["visits"]
            assert [found["spend"]] == pytest.approx(scaler.transform([[loop["spend"]]])[0])
            assert found["plan"] == places.transform([[loop["plan"]]])[0].tolist()
            if at == TICK:
                assert found == {name: online.to_dict()[name][place] for name in OUTPUTS}
