"""Rows of an aggregated source that are copies of others: each counts, and they are told of."""

from __future__ import annotations

import json
import tempfile
from datetime import timedelta

import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings

from materialization.compute import look as looks
from materialization.compute.engine import ENGINES
from materialization.sources.files import Whereabouts
from materialization.stores.columns import INSTANT
from registry.spec.aggregations import AggregationSpec
from registry.spec.model import ScheduleSpec
from tests.materialization.aggregation_cases import (
    END,
    EVERY,
    HOUR,
    SCHEMA,
    all_ticks,
    as_dict,
    histories,
    make_view,
    quarters,
    same,
    with_keys,
)
from tests.materialization.engine_cases import (
    LIMITS,
    at,
    compute_here,
    make_spec,
    write_parquet,
)
from tests.oracle_ticks import snapshot_ticks

T = at("2024-03-01T12:00")
ENGINE = ENGINES["duckdb"](LIMITS)
#: What the view reads of two purchases of one instant is equal; their order numbers differ.
PURCHASES = [(1, 0, 5.0, "o1"), (1, 0, 5.0, "o2"), (2, 1, 5.0, "o3"), (1, 2, 7.0, "o4")]


def purchase(k, hours, x, order):
    return {"k": k, "event": T + timedelta(hours=hours), "x": x, "order": order}


def write(folder, name, purchases):
    rows = [purchase(*each) for each in purchases]
    schema = [("k", pa.int64()), ("event", INSTANT), ("x", pa.float64()), ("order", pa.string())]
    if name.endswith("jsonl"):
        lines = (json.dumps(row | {"event": row["event"].isoformat()}) for row in rows)
        (folder / name).write_text("\n".join(lines))
    elif name.endswith("csv"):
        pyarrow.csv.write_csv(pa.Table.from_pylist(rows, pa.schema(schema)), folder / name)
    else:
        write_parquet(folder, rows, pa.schema(schema), name=name)


def spec_of(path):
    return make_spec(
        path,
        features=[("x_count_1d", "int64"), ("x_sum_1d", "float64")],
        aggregations=(
            AggregationSpec(column="x", functions=("count", "sum"), windows=("1d",)),
        ),
        schedule=ScheduleSpec(every="1h"),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_file_that_is_delivered_twice_counts_twice_and_is_told_of(tmp_path, kind):
    spec, where = spec_of(f"*.{kind}"), Whereabouts(root=str(tmp_path))
    write(tmp_path, f"a.{kind}", PURCHASES)

    once, counters = compute_here(spec, tmp_path, end=T + 3 * HOUR)
    (looked,) = looks.look([spec], where=where, engine=ENGINE)

    assert counters.copies == 0
    assert not [each for each in looked.warnings if "cop" in each]

    write(tmp_path, f"b.{kind}", PURCHASES[1:])
    twice, counters = compute_here(spec, tmp_path, end=T + 3 * HOUR)
    (looked,) = looks.look([spec], where=where, engine=ENGINE)

    assert counters.copies == 3
    (said,) = [each for each in looked.warnings if "cop" in each]
    assert said.startswith("3 rows are copies of others, equal in every column of the source")
    assert max(once["x_sum_1d"].to_pylist()) == 17.0
    assert max(twice["x_sum_1d"].to_pylist()) == 29.0


def test_folders_tell_rows_of_json_apart(tmp_path):
    for day in ("1", "2"):
        (tmp_path / f"day={day}").mkdir()
        write(tmp_path / f"day={day}", "a.jsonl", PURCHASES)

    _, counters = compute_here(spec_of("day=*/*.jsonl"), tmp_path, end=T + 3 * HOUR)

    assert counters.copies == 0


def test_only_rows_that_the_ticks_of_the_run_see_are_counted(tmp_path):
    write(tmp_path, "a.parquet", [*PURCHASES, *PURCHASES])

    counts = [
        compute_here(spec_of("a.parquet"), tmp_path, start=start and T + start, end=T + end)[1]
        for start, end in [(None, HOUR), (None, 3 * HOUR), (25 * HOUR, 26 * HOUR)]
    ]

    assert [each.copies for each in counts] == [3, 4, 1]


@settings(max_examples=30)
@given(histories(quarters))
def test_random_copies_count_each_and_are_counted(rows):
    spec, outputs = make_view(functions=("sum", "count", "last"))
    rows = [row for row in rows if max(row["event"], row["created"] or row["event"]) <= END]

    with tempfile.TemporaryDirectory() as folder:
        write_parquet(folder, rows, SCHEMA)
        table, counters = compute_here(spec, folder, end=END)

    assert counters.copies == len(rows) - len({repr(sorted(row.items())) for row in rows})
    dense = snapshot_ticks(with_keys(rows), all_ticks(EVERY), outputs)
    stored = as_dict(table, outputs)
    assert all(same(values, dense[place]) for place, values in stored.items())
