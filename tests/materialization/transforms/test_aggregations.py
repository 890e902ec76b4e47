"""Aggregations at ticks against the dense loop of ``tests/oracle_ticks.py``."""

from __future__ import annotations

import math
import sys
from datetime import timedelta
from fractions import Fraction

import duckdb
import msgspec
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from materialization.errors import SourceTrimmed
from materialization.ticks import first_tick
from materialization.transforms.aggregation.computing import register
from materialization.transforms.aggregation.exact_sums import (
    bins_sql,
    extent_sql,
    numbered_bins,
    one_bin,
    total_of,
)
from materialization.transforms.aggregation.rounding import EXACTLY, exactly, layered, mean_sql
from registry.spec.model import ScheduleSpec
from tests.materialization.aggregation_cases import (
    BASE,
    CRON,
    END,
    EVERY,
    FUNCTIONS,
    HOUR,
    SCHEMA,
    all_ticks,
    any_floats,
    as_dict,
    histories,
    in_pieces,
    make_view,
    offsets,
    quarters,
    run,
    same,
    text,
    with_keys,
)
from tests.materialization.engine_cases import LIMITS, compute_here, write_parquet
from tests.oracle_ticks import MICROSECOND, latest_within, snapshot_ticks

#: One slice of the keys, where it is not what is tested: each slice plans all its statements anew.
AT_ONCE = msgspec.structs.replace(LIMITS, slice_rows=1_000_000)


def in_seconds(ttl):
    """Write a duration as definitions do."""
    return f"{ttl // timedelta(seconds=1)}s" if ttl else None


@settings(max_examples=20)
@given(
    histories(quarters),
    st.sampled_from([EVERY, CRON]),
    st.sampled_from([None, HOUR, 2 * HOUR, 150 * HOUR / 60, 5 * HOUR + timedelta(seconds=1)]),
)
def test_sparse_ticks_answer_every_question_as_dense_ones_do(rows, schedule, ttl):
    spec, outputs = make_view(schedule=schedule, ttl=in_seconds(ttl))

    stored = as_dict(run(spec, rows, limits=AT_ONCE), outputs)

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


@settings(max_examples=12)
@given(
    histories(any_floats),
    st.sampled_from([EVERY, CRON]),
    st.sampled_from([None, 2 * HOUR]),
    st.lists(offsets, min_size=1, max_size=3),
)
def test_pieces_store_the_rows_of_one_run(rows, schedule, ttl, cuts):
    """Also pieces in one slice of the keys the rows of a run in several."""
    spec, _ = make_view(schedule=schedule, ttl=in_seconds(ttl))

    whole = run(spec, rows)

    pieces = in_pieces(spec, rows, sorted({BASE + cut for cut in cuts}), limits=AT_ONCE)
    assert text(pieces) == text(whole)


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


def one(hours, n, *, late=0):
    event = BASE + hours * HOUR
    return {"a": "1", "b": "2", "event": event, "created": event + late * HOUR, "x": None, "n": n}


def hours_of(table):
    return sorted((r["event_timestamp"] - BASE) / HOUR for r in table.to_pylist())


@pytest.mark.parametrize("schedule", [EVERY, ScheduleSpec(cron="0 * * * *")])
@pytest.mark.parametrize("functions", [("count", "mean"), FUNCTIONS])
def test_an_emptied_entity_ends_with_one_row(schedule, functions):
    """It is emptied when all its windows are; while one is not, its ticks beat."""
    spec, outputs = make_view(columns=("n",), ttl="1h", functions=functions, schedule=schedule)

    stored = run(spec, [one(0.5, 5)], end=BASE + 2000 * HOUR)

    # The hour's window empties at 2, the other at 4; nothing changes at 3.
    assert hours_of(stored) == [1, 2, 3, 4]
    last = as_dict(stored, outputs)[("1", "2"), BASE + 4 * HOUR]
    assert (last["n_count_1h"], last["n_count_3h"], last["n_mean_3h"]) == (0, 0, None)


@pytest.mark.parametrize("schedule", [EVERY, ScheduleSpec(cron="0 * * * *")])
def test_runs_after_an_entity_emptied_store_nothing_of_it_until_it_has_a_value(schedule):
    spec, _ = make_view(columns=("n",), ttl="1h", schedule=schedule)
    rows, stored, start, found = [one(0.5, 5)], None, None, []
    # A NULL and a row too late for its windows change nothing; a late one within them does.
    arriving = {3: [], 4: [], 9: [one(5.5, None), one(0.6, 9, late=6)], 11: [one(9.5, 7, late=1)]}

    for end, more in arriving.items():
        rows += more
        piece = run(spec, rows, start=start, end=BASE + end * HOUR, stored=stored)
        stored = piece if stored is None else pa.concat_tables([stored, piece])
        start = BASE + end * HOUR
        found.append(hours_of(piece))

    assert found == [[1, 2, 3], [4], [], [11]]
    assert text(run(spec, rows, end=start)) == text(stored)


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


def test_an_equal_value_twice_at_one_tick_is_one_distinct_value():
    """Windows over ties may order them differently on several threads."""
    spec, outputs = make_view(columns=("n",), functions=("count_distinct",))
    limits = msgspec.structs.replace(LIMITS, threads=4, slice_rows=10_000_000)
    row = {"event": BASE + HOUR / 2, "created": None, "x": None}
    keys = [{"a": "1", "b": str(number)} for number in range(1000)]
    rows = [row | key | {"n": n % 7} for n in range(200) for key in keys]

    stored = as_dict(run(spec, rows, limits=limits), outputs)

    assert {values["n_count_distinct_1h"] for values in stored.values()} == {7, 0}


@pytest.mark.parametrize("function", ["sum", "mean"])
@pytest.mark.parametrize("total", [-(2**54) - 3, 2**54 + 3, 2**62 + 513, -(2**62) - 513, -1])
def test_a_whole_sum_becomes_the_nearest_double(function, total):
    spec, outputs = make_view(columns=("n",), functions=(function,))
    row = {"a": "1", "b": "2", "event": BASE + HOUR / 2, "created": None, "x": None, "n": total}

    stored = as_dict(run(spec, [row]), outputs)

    assert stored[("1", "2"), BASE + HOUR][f"n_{function}_1h"] == float(total)


def of_bins(values, count=None, *, one=True, exactly=exactly):
    """Return the sum of doubles, or its part, as the stages make it of the bins they fall into."""
    with duckdb.connect() as connection:
        types = ["HUGEINT[]", "INTEGER[]", "INTEGER", "HUGEINT"]
        connection.create_function(EXACTLY, exactly, types, "DOUBLE")
        connection.register("given", pa.table({"x": pa.array(values, pa.float64())}))
        asked = f"SELECT {extent_sql('x')}, {bins_sql('x')} FROM given"
        ((number, least, greatest, _, numbers),) = connection.execute(asked).fetchall()
        bins = one_bin(number, least, greatest) if one else None
        bins = numbered_bins(numbers) if bins is None else bins
        sums = "".join(f", sum({each.scaled('x')}) AS b{i}" for i, each in enumerate(bins))
        value = total_of("t", [(each.power, f"b{i}") for i, each in enumerate(bins)], count)
        rows = f"(SELECT count(*) AS n{sums} FROM given)"
        query = f"SELECT {value.sql} FROM {layered(rows, [value.layers])}"
        return connection.execute(query).fetchall()[0][0]


def summed(values, **options):
    return of_bins(values, **options)


spread = st.builds(math.ldexp, st.floats(-1, 1), st.integers(-1074, 900))
near = st.builds(math.ldexp, st.floats(-1, 1), st.integers(-30, 60))


@settings(max_examples=60)
@given(
    st.lists(spread, min_size=1, max_size=9)
    | st.lists(near, min_size=1, max_size=9)
    | st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1)
    | st.lists(st.floats(-1e-300, 1e-300), min_size=1, max_size=9)
)
def test_a_sum_of_doubles_is_rounded_once(values):
    for one in (True, False):
        assert summed(values, one=one) == math.fsum(values)
        assert summed([*values, *(-value for value in values)], one=one) == 0


def nearest(exact):
    """Return the double nearest to a fraction; whole numbers are divided with one rounding."""
    return exact.numerator / exact.denominator


def mean_of(values):
    return nearest(sum(map(Fraction, values)) / len(values))


@settings(max_examples=120)
@given(
    st.lists(spread, min_size=1, max_size=9)
    | st.lists(near, min_size=1, max_size=9)
    | st.lists(st.floats(-1e-300, 1e-300), min_size=1, max_size=9)
    | st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=9)
    | st.lists(st.sampled_from([0.1, 0.01, 0.7, 1e6 / 3, 1e16, -1e16]), min_size=1, max_size=40)
)
def test_a_mean_of_doubles_is_rounded_once(values):
    for one in (True, False):
        assert of_bins(values, "n", one=one) == mean_of(values)


#: Values right between two doubles, beside them by a hair, and at both ends of what there is.
HOSTILE = {
    "a tie": [1.0, 2**-53],
    "above a tie": [1.0, 2**-53, 2**-110],
    "below a tie": [1.0, 2**-53, -(2**-110)],
    "a tie of the mean": [1.0, 1 + 2**-52],
    "above a tie of the mean": [1.0, 1 + 2**-52, 2**-300, 0.0],
    "huge": [1.7e308, 1.7e308, 1.7e308],
    "huge with little": [1.7e308, 1.7e308, 5e-324],
    "huge that cancel": [1.7e308, 1.0, -1.7e308],
    "subnormal": [5e-324, 0.0, 0.0],
    "half the least": [5e-324, 0.0],
    "more than half the least": [5e-324, 5e-324, 0.0],
    "little beside nothing": [2.2250738585072014e-308, 5e-324, 5e-324],
    "a long cancellation": [1e16, 1.0, -1e16, 1e-16] * 50 + [0.1],
    "thirds": [0.1] * 3,
}


@pytest.mark.parametrize("values", HOSTILE.values(), ids=HOSTILE)
def test_hostile_sums_and_means_of_doubles_are_rounded_once(values):
    signs = ([value * sign for value in values] for sign in (1, -1))
    for signed in signs:
        exact = sum(map(Fraction, signed))
        beyond = math.inf if exact > 0 else -math.inf
        total = nearest(exact) if abs(exact) < 2**1024 else beyond
        for one in (True, False):
            found = of_bins(signed, one=one), of_bins(signed, "n", one=one)
            assert found == (total, mean_of(signed))


@settings(max_examples=60)
@given(
    st.integers(-(2**126), 2**126) | st.integers(-(2**60), 2**60) | st.integers(-100, 100),
    st.integers(1, 2**31) | st.integers(1, 9),
    st.sampled_from([0, 2, 10, 18, 38]),
)
def test_a_mean_of_whole_numbers_and_decimals_is_rounded_once(total, count, scale):
    total = max(min(total, 10**38 - 1), 1 - 10**38) if scale else total
    kind = f"DECIMAL(38,{scale})" if scale else "HUGEINT"
    text = f"{'-' if total < 0 else ''}{abs(total) // 10**scale}.{abs(total) % 10**scale:0{scale}d}"
    given = f"CAST('{text if scale else total}' AS {kind})"
    with duckdb.connect() as connection:
        register(connection)
        query = f"SELECT {mean_sql('x', kind, 'n')} FROM (SELECT {given} AS x, {count} AS n)"
        found = connection.execute(query).fetchall()[0][0]
    assert found == nearest(Fraction(total, count * 10**scale))


prices = st.integers(1, 10**7).map(lambda cents: cents / 100)


@settings(max_examples=60)
@given(st.lists(prices, min_size=1, max_size=9) | st.lists(st.floats(1, 2), min_size=2, max_size=5))
@example([round(0.01 * number * 7.3, 2) for number in range(1, 1000)])
def test_ordinary_values_are_rounded_without_python(values):
    """The way by whole numbers is for what two doubles cannot decide: it costs much more.

    Sums and means of few values are often right between two doubles.
    """
    assert of_bins(values, exactly=_never) == math.fsum(values)
    assert of_bins(values, "n", exactly=_never) == mean_of(values)


def _never(amounts, powers, scale, count):
    raise AssertionError("computed by whole numbers")


def test_a_sum_beyond_every_double_is_infinite():
    assert summed([1.7e308, 1.7e308, 1e-300]) == math.inf
    assert summed([-1.7e308, -1.7e308, 1.0]) == -math.inf
    assert summed([1.7e308, 1.7e308, -1.7e308]) == 1.7e308


def test_a_source_that_lost_its_beginning_is_no_less_of_an_unbounded_window(tmp_path):
    """Silently it would count what is left. A bounded window does, and is whole again in time."""
    rows = _every_hour(4)
    unbounded, _ = make_view(columns=("x",), functions=("count",), windows={"unbounded": None})
    bounded, _ = make_view(columns=("x",), functions=("count",), windows={"1h": HOUR})
    write_parquet(tmp_path, rows[1:], SCHEMA)

    def later(spec, first_event):
        return compute_here(spec, tmp_path, start=BASE + 2 * HOUR, end=END, first_event=first_event)

    assert later(bounded, rows[0]["event"])[0].num_rows
    assert later(unbounded, rows[1]["event"])[0].num_rows
    with pytest.raises(SourceTrimmed, match="began with 1969-12-31T20:30:00"):
        later(unbounded, rows[0]["event"])
    # Rows that no tick of a run can see are there all the same.
    gap = BASE + HOUR
    filled, _ = compute_here(unbounded, tmp_path, end=gap, first_event=rows[1]["event"])
    assert filled.num_rows == 0


def _every_hour(count):
    return [
        {"a": "1", "b": "2", "event": BASE + (n + 0.5) * HOUR, "created": None, "x": 1.0, "n": n}
        for n in range(count)
    ]
