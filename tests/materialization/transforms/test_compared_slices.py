"""Rows that are compared with what is stored are the same however many are compared at once."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materialization.compute.duckdb_engine import DuckDBEngine
from materialization.compute.jobs import ComputeJob, Reading
from materialization.finding.kinds import find_source
from materialization.sources.files import Whereabouts
from materialization.stores.columns import INSTANT, SEQUENCE, stored_schema
from tests.materialization.engine_cases import LIMITS, computed_rows, make_spec

T = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SCHEMA = pa.schema([("k", pa.int64()), ("event", INSTANT), ("x", pa.float64())])


@pytest.mark.parametrize("seed", range(4))
def test_slices_find_the_same_rows_and_counts(tmp_path, seed):
    dice = random.Random(seed)
    spec = make_spec("rows.parquet", keys=[("k", "int64")], features=[("x", "float64")])

    def some(count):
        return [
            {"k": dice.randrange(9), "event": T + dice.randrange(40) * HOUR, "x": dice.random()}
            for _ in range(count)
        ]

    stored = some(60)
    kept = [row for row in stored if dice.random() < 0.7]
    corrected = [row | {"x": -1.0} for row in stored if dice.random() < 0.2]
    source = [*kept, *corrected, *some(40)]
    pq.write_table(pa.Table.from_pylist(source, SCHEMA), tmp_path / "rows.parquet")
    rows = [
        {"k": row["k"], "event_timestamp": row["event"], "created_timestamp": row["event"],
         SEQUENCE: 1, "x": row["x"]}
        for row in stored
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, stored_schema(spec)), tmp_path / "stored.parquet")
    found = find_source(spec.source, Whereabouts(root=str(tmp_path)))
    end = T + 50 * HOUR
    reading = Reading(found, ((None, end),), known_since=end, unseen=True, counts_gone=True)
    job = ComputeJob(
        spec, found, end, state_files=(str(tmp_path / "stored.parquet"),), readings=(reading,)
    )

    together = msgspec.structs.replace(LIMITS, compared_rows=1000)
    whole, counted = computed_rows(DuckDBEngine(together), job)
    sliced, again = computed_rows(DuckDBEngine(LIMITS), job)

    assert again == counted
    assert counted.late and counted.corrected and counted.gone
    assert sorted(map(repr, sliced.to_pylist())) == sorted(map(repr, whole.to_pylist()))
