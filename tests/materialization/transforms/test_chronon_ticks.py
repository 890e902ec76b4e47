"""Chronon's published quickstart at ticks: what users bought, as of each midnight.

Not for values as of each checkout (``tests/serving/historical/test_chronon_quickstart.py``). The
files lie beside the checkout, if at all; a clone without them skips this.
"""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from materialization.ticks import ticks_between
from registry.spec.aggregate_functions import Histogram, LastK, TopK
from registry.spec.aggregations import AggregationSpec
from registry.spec.model import FeatureSpec, ScheduleSpec
from tests.materialization.aggregation_cases import same
from tests.materialization.engine_cases import LIMITS, SHARED, compute_here, make_spec
from tests.oracle_ticks import latest_within, snapshot_ticks

pytestmark = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"the real inputs are not here: no folder {SHARED}"
)
AT_ONCE = replace(LIMITS, slice_rows=1_000_000)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAILY = ScheduleSpec(every="1d")
LAST_10, OFTEN, HOW_OFTEN = LastK(k=10), TopK(k=3), Histogram(k=5)
LENGTHS = {"3d": timedelta(days=3), "14d": timedelta(days=14), "30d": timedelta(days=30)}
EVER = {"30d": LENGTHS["30d"], "unbounded": None}
ASKED = {"sum": LENGTHS, "count": LENGTHS, "mean": LENGTHS, LAST_10: EVER, OFTEN: EVER,
         HOW_OFTEN: EVER}  # fmt: skip
TYPES = {"mean": "float64", LAST_10: "list<int64>", OFTEN: "list<int64>", HOW_OFTEN: "json"}


def is_dear(row):
    return row["price"] > 500


@pytest.mark.parametrize("file", ["purchases", "returns"])
def test_every_midnight_has_what_the_loop_makes_of_the_published_rows(file):
    column = "purchase_price" if file == "purchases" else "refund_amt"
    outputs, aggregations = {}, []
    for name, where, counts in (("all", None, bool), ("dear", f"{column}::INT > 500", is_dear)):
        for function, windows in ASKED.items():
            aggregations.append(
                AggregationSpec(
                    column=column,
                    functions=(function,),
                    windows=tuple(windows),
                    where=where,
                    name=name,
                )
            )
            for window, length in windows.items():
                outputs[f"{name}_{function}_{window}"] = ("price", function, length, counts)
    kinds = {name: TYPES.get(function, "int64") for name, (_, function, *_) in outputs.items()}
    spec = make_spec(
        f"chronon_{file}.csv",
        keys=[("user_id", "string")],
        features=list(kinds.items()),
        event="ts",
        event_unit="ms",
        aggregations=tuple(aggregations),
        schedule=DAILY,
    )
    share = FeatureSpec(name="share", type="float64", sql="dear_sum_30d / nullif(all_sum_30d, 0)")
    spec = replace(spec, view=replace(spec.view, features=(share, *spec.features)))
    rows = rows_of(file, column)
    ticks = ticks_between(DAILY, rows[0]["event"], rows[-1]["event"] + LENGTHS["30d"])

    table, _ = compute_here(spec, SHARED, end=ticks[-1], limits=AT_ONCE)
    stored = {((r["user_id"],), r["event_timestamp"]): r for r in table.to_pylist()}
    dense = snapshot_ticks(rows, ticks, outputs)
    assert len(dense) > 2000
    for (key, at), wanted in dense.items():
        wanted["share"] = _share(wanted["dear_sum_30d"], wanted["all_sum_30d"])
        found = latest_within(stored, key, at, None)
        assert same({name: found[name] for name in wanted}, wanted), (key, at)


def _share(dear, spent):
    return None if dear is None or not spent else dear / spent


def rows_of(file, column):
    """Return the published rows, the oldest first."""
    with (SHARED / f"chronon_{file}.csv").open(newline="") as lines:
        rows = [
            {
                "key": (each["user_id"],),
                "event": EPOCH + timedelta(milliseconds=int(each["ts"])),
                "created": None,
                "price": int(each[column]),
            }
            for each in csv.DictReader(lines)
        ]
    return sorted(rows, key=lambda row: row["event"])
