"""Aggregations at ticks against the dense loop of ``tests/oracle_ticks.py``."""

from __future__ import annotations

import math
import sys
import tempfile
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from materialization.stores.columns import INSTANT, SEQUENCE, stored_schema
from materialization.ticks import first_tick, ticks_between
from registry.spec.durations import format_duration
from registry.spec.model import ScheduleSpec
from registry.spec.transforms import AggregationSpec
from tests.materialization.engine_cases import at, compute_here, make_spec, write_parquet
from tests.oracle_ticks import MICROSECOND, latest_within, snapshot_ticks

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
FUNCTIONS = ("sum", "count", "mean", "min", "max", "last", "first", "count_distinct", "stddev")
WINDOWS = {"1h": HOUR, "3h": 3 * HOUR}
COUNTS = ("count", "count_distinct")


def make_view(*, schedule=EVERY, ttl=None, columns=("x", "n"), start=None):
    outputs = {
        f"{column}_{function}_{window}": (column, function, length)
        for column in columns
        for function in FUNCTIONS
        for window, length in WINDOWS.items()
    }
    spec = make_spec(
        keys=(("a", "string"), ("b", "string")),
        features=[
            (name, "int64" if function in COUNTS else "float64")
            for name, (_, function, _) in outputs.items()
        ],
        created="created",
        aggregations=tuple(
            AggregationSpec(column=column, functions=FUNCTIONS, windows=tuple(WINDOWS))
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


def run(spec, rows, *, start=None, end=END, stored=None):
    """Run the engine over ``rows``; ``stored`` is the table of earlier pieces."""
    with tempfile.TemporaryDirectory() as directory:
        write_parquet(directory, rows, SCHEMA)
        state = []
        if stored is not None:
            state = [Path(directory) / "state.parquet"]
            runs = pa.repeat(pa.scalar(1, pa.int64()), stored.num_rows)
            columns = [
                runs if name == SEQUENCE else stored[name] for name in stored_schema(spec).names
            ]
            pq.write_table(pa.table(columns, schema=stored_schema(spec)), state[0])
        return compute_here(spec, directory, start=start, end=end, state_files=state)[0]


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
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    return left == right or math.isclose(left, right, rel_tol=1e-12)


def with_keys(rows):
    return [{**row, "key": (row["a"], row["b"])} for row in rows]


def all_ticks(schedule, end=END):
    return ticks_between(schedule, BASE - timedelta(days=10), end)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    histories(quarters),
    st.sampled_from([EVERY, CRON]),
    st.sampled_from([None, HOUR, 2 * HOUR, 150 * HOUR / 60, 5 * HOUR + timedelta(seconds=1)]),
)
def test_sparse_ticks_answer_every_question_as_dense_ones_do(rows, schedule, ttl):
    spec, outputs = make_view(schedule=schedule, ttl=format_duration(ttl) if ttl else None)

    stored = as_dict(run(spec, rows), outputs)

    dense = snapshot_ticks(with_keys(rows), all_ticks(schedule), outputs)
    instants = {
        t + d for t in all_ticks(schedule) for d in (-MICROSECOND, timedelta(), MICROSECOND)
    }
    if ttl:
        instants |= {t + ttl + d for t in all_ticks(schedule) for d in (timedelta(), MICROSECOND)}
    beyond = first_tick(schedule, END + MICROSECOND)
    assert set(stored) <= set(dense)
    for key in {key for key, _ in dense}:
        for instant in (i for i in instants if i < beyond):
            left, right = (
                latest_within(stored, key, instant, ttl),
                latest_within(dense, key, instant, ttl),
            )
            assert same(left, right), (key, instant, left, right)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    histories(any_floats),
    st.sampled_from([EVERY, CRON]),
    st.sampled_from([None, 2 * HOUR]),
    st.lists(offsets, min_size=1, max_size=3),
)
def test_pieces_store_the_rows_of_one_run(rows, schedule, ttl, cuts):
    spec, _ = make_view(schedule=schedule, ttl=format_duration(ttl) if ttl else None)

    whole = run(spec, rows)

    pieces, start = None, None
    for end in [*sorted({BASE + cut for cut in cuts}), END]:
        piece = run(spec, rows, start=start, end=end, stored=pieces)
        pieces = piece if pieces is None else pa.concat_tables([pieces, piece])
        start = end
    order = [("a", "ascending"), ("b", "ascending"), ("event_timestamp", "ascending")]
    # Text, because NaN is not equal to itself; every digit counts.
    assert str(pieces.sort_by(order).to_pylist()) == str(whole.sort_by(order).to_pylist())


def test_a_late_row_enters_at_the_next_tick_and_an_emptied_window_is_null_not_zero():
    spec, outputs = make_view(columns=("n",))
    late = {
        "a": "1",
        "b": "2",
        "event": BASE + HOUR,
        "created": BASE + 2 * HOUR + MICROSECOND,
        "x": None,
        "n": 5,
    }

    stored = as_dict(run(spec, [late]), outputs)

    key = ("1", "2")
    assert sorted(tick for _, tick in stored) == [BASE + 3 * HOUR, BASE + 4 * HOUR]
    entered, emptied = stored[key, BASE + 3 * HOUR], stored[key, BASE + 4 * HOUR]
    assert (entered["n_count_3h"], entered["n_sum_3h"], entered["n_count_1h"]) == (1, 5.0, 0)
    assert (emptied["n_count_3h"], emptied["n_count_distinct_3h"]) == (0, 0)
    assert all(value is None for name, value in emptied.items() if "count" not in name)


@pytest.mark.parametrize(
    "values",
    [
        [0.1] * 10,
        [1e16, 1.0, -1e16],
        [1e308, 1e308, -1e308],
        [1e-9, 3.3e-5, -0.7, 1e5 / 3],
        [5e-250, 0.3, -0.3],
    ],
)
def test_sums_are_exact_and_leave_nothing_behind(values):
    spec, outputs = make_view(columns=("x",))
    rows = [
        {"a": "1", "b": "2", "event": BASE + HOUR * n, "created": None, "x": value, "n": 0}
        for n, value in enumerate(values)
    ]

    stored = as_dict(run(spec, rows, end=BASE + 30 * HOUR), outputs)

    assert stored[max(stored)]["x_sum_3h"] is None
    for n in range(len(values)):
        answer = latest_within(stored, ("1", "2"), BASE + HOUR * n, None)
        exact = sum(map(Fraction, values[max(0, n - 2) : n + 1]))
        assert abs(exact) > sys.float_info.max or answer["x_sum_3h"] == pytest.approx(
            float(exact), rel=3e-16, abs=0
        )
        assert answer["x_sum_1h"] == values[n]


def test_start_begins_the_ticks_and_rows_before_it_still_count():
    spec, outputs = make_view(columns=("n",), start=BASE + 2 * HOUR + MICROSECOND)
    rows = [{"a": "1", "b": "2", "event": BASE + HOUR, "created": None, "x": None, "n": 5}]

    stored = as_dict(run(spec, rows), outputs)

    assert min(tick for _, tick in stored) == BASE + 3 * HOUR
    assert stored[("1", "2"), BASE + 3 * HOUR]["n_sum_3h"] == 5.0


def test_rows_that_vanish_from_the_source_are_noticed_at_the_next_run():
    spec, outputs = make_view(columns=("n",))
    rows = [{"a": "1", "b": "2", "event": BASE + HOUR, "created": None, "x": None, "n": 5}]
    first = run(spec, rows, end=BASE + 2 * HOUR)

    second = as_dict(run(spec, [], start=BASE + 2 * HOUR, stored=first), outputs)

    assert second[("1", "2"), BASE + 3 * HOUR]["n_count_3h"] == 0


@pytest.mark.parametrize("end", [BASE - HOUR, BASE + timedelta(minutes=1)])
def test_a_window_without_ticks_or_rows_gives_nothing(end):
    spec, _ = make_view()
    rows = [
        {
            "a": "1",
            "b": "2",
            "event": BASE + timedelta(minutes=5),
            "created": None,
            "x": 1.0,
            "n": 5,
        }
    ]

    assert run(spec, rows, end=end).num_rows == 0
    assert (
        run(
            spec, rows, start=BASE + timedelta(seconds=1), end=BASE + timedelta(minutes=50)
        ).num_rows
        == 0
    )
