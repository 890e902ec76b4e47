"""Random histories and views of every aggregation function, run piece by piece in this process.

Not for the loop they are compared with: ``tests/oracle_ticks.py`` has it.
"""

from __future__ import annotations

import math
import tempfile
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from materialization.stores.columns import INSTANT, SEQUENCE, stored_schema
from materialization.ticks import ticks_between
from registry.spec.aggregate_functions import (
    ApproxPercentile,
    Histogram,
    LastK,
    Percentile,
    function_name,
)
from registry.spec.aggregations import AggregationSpec
from registry.spec.model import ScheduleSpec
from tests.materialization.engine_cases import LIMITS, at, compute_here, make_spec, write_parquet

HOUR = timedelta(hours=1)
EVERY = ScheduleSpec(every="1h")
CRON = ScheduleSpec(cron="7,30 */2 * * *")
#: Before and after 1970, with gaps; offsets put rows exactly on ticks and one microsecond off.
BASE = at("1969-12-31T20:00")
END = BASE + 14 * HOUR
SCHEMA = pa.schema(
    [
        ("a", pa.string()),
        ("b", pa.string()),
        ("event", INSTANT),
        ("created", INSTANT),
        ("x", pa.float64()),
        ("n", pa.int64()),
    ]
)
FUNCTIONS = (
    "sum", "count", "mean", "min", "max", "last", "first", "count_distinct", "stddev",
    LastK(k=2), Histogram(k=3), Percentile(p=37.5), ApproxPercentile(p=37.5),
)  # fmt: skip
WINDOWS = {"1h": HOUR, "3h": 3 * HOUR}
TYPES = {
    "count": "int64",
    "count_distinct": "int64",
    **dict.fromkeys(("any", "all"), "bool"),
    **dict.fromkeys(("first_k", "last_k", "top_k"), "list<float64>"),
    "histogram": "json",
}


def make_view(
    *,
    schedule=EVERY,
    ttl=None,
    columns=("x", "n"),
    start=None,
    functions=FUNCTIONS,
    windows=WINDOWS,
):
    """Return the spec of every function over every column, and its outputs for the loop."""
    outputs = {
        f"{column}_{function}_{window}": (column, function, length)
        for column in columns
        for function in functions
        for window, length in windows.items()
    }
    spec = make_spec(
        keys=(("a", "string"), ("b", "string")),
        features=[
            (name, TYPES.get(function_name(function), "float64"))
            for name, (_, function, _) in outputs.items()
        ],
        created="created",
        aggregations=tuple(
            AggregationSpec(column=column, functions=functions, windows=tuple(windows))
            for column in columns
        ),
        schedule=schedule,
        ttl=ttl,
        start=start,
    )  # fmt: skip
    return spec, outputs


offsets = st.builds(
    lambda hours, minutes, micros: hours * HOUR + timedelta(minutes=minutes, microseconds=micros),
    st.integers(0, 9),
    st.sampled_from([0, 0, 7, 30, 59]),
    st.sampled_from([0, 0, 1, -1]),
)
#: Sums of quarters are exact in any order, so equality is.
quarters = st.one_of(
    st.none(), st.sampled_from([math.nan, 0.0]), st.integers(-8, 8).map(lambda n: n / 4)
)
any_floats = st.one_of(st.none(), st.floats(width=64), st.floats(-1e6, 1e6))


def histories(values):
    row = st.builds(
        lambda key, event, late, x, n: {
            "a": key[0],
            "b": key[1],
            "event": BASE + event,
            "created": None if late is None else BASE + event + late,
            "x": x,
            "n": n,
        },
        st.sampled_from([("1", "23"), ("12", "3"), ("1", "2")]),
        offsets,
        st.sampled_from(
            [None, timedelta(), HOUR / 2, 2 * HOUR, 5 * HOUR, -HOUR, timedelta(days=9)]
        ),
        values,
        st.one_of(st.none(), st.integers(-3, 3)),
    )
    return st.lists(row, max_size=9).flatmap(
        lambda rows: st.sampled_from([rows, rows + rows[:2]])  # exact duplicates
    )


def run(spec, rows, *, start=None, end=END, stored=None, limits=LIMITS, schema=SCHEMA):
    """Run the engine over ``rows``; ``stored`` is the table of earlier pieces."""
    with tempfile.TemporaryDirectory() as directory:
        write_parquet(directory, rows, schema)
        state = []
        if stored is not None:
            state = [Path(directory) / "state.parquet"]
            runs = pa.repeat(pa.scalar(1, pa.int64()), stored.num_rows)
            columns = [
                runs if name == SEQUENCE else stored[name] for name in stored_schema(spec).names
            ]
            pq.write_table(pa.table(columns, schema=stored_schema(spec)), state[0])
        return compute_here(
            spec, directory, start=start, end=end, state_files=state, limits=limits
        )[0]


def as_dict(table, outputs):
    rows = table.to_pylist()
    found = {
        ((r["a"], r["b"]), r["event_timestamp"]): {name: r[name] for name in outputs} for r in rows
    }
    assert len(found) == len(rows), "a tick of a key is stored once"
    assert all(r["event_timestamp"] == r["created_timestamp"] for r in rows)
    return found


def same(left, right):
    if left is None or right is None:
        return left is right
    return left.keys() == right.keys() and all(_same(left[name], right[name]) for name in left)


def _same(left, right):
    if left is None or right is None:
        return left is right
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_same, left, right))
    if not isinstance(left, (int, float)):
        return left == right
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    return left == right or math.isclose(left, right, rel_tol=1e-12)


def with_keys(rows):
    return [{**row, "key": (row["a"], row["b"])} for row in rows]


def all_ticks(schedule, end=END):
    return ticks_between(schedule, BASE - timedelta(days=10), end)


def in_pieces(spec, rows, cuts, **options):
    """Return the rows that one run after the other stores, each continuing from what is there."""
    pieces, start = None, None
    for end in [*cuts, END]:
        piece = run(spec, rows, start=start, end=end, stored=pieces, **options)
        pieces = piece if pieces is None else pa.concat_tables([pieces, piece])
        start = end
    return pieces


def text(table):
    """Return the rows in one order, as text: NaN is not equal to itself; every digit counts."""
    order = [("a", "ascending"), ("b", "ascending"), ("event_timestamp", "ascending")]
    return str(table.sort_by(order).to_pylist())
