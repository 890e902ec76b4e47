"""Totals as of any instants, read at edges. Not for each function: the contract suite is."""

from __future__ import annotations

import random
from datetime import timedelta
from decimal import Decimal
from functools import partial

import pyarrow as pa
import pytest
from msgspec.structs import replace

from lib.instants import MICROSECOND
from materialization.compute.questions import Timing
from materialization.compute.session import open_session
from materialization.errors import SourceValueInvalid
from materialization.stores.columns import INSTANT
from materialization.transforms.aggregation.aggregates import read_aggregates
from materialization.transforms.aggregation.computing import facts_of
from materialization.transforms.aggregation.edges import (
    Strays,
    is_streamed,
    running_sql,
    strays_sql,
)
from registry.spec.aggregations import AggregationSpec
from tests.materialization.aggregation_cases import BASE, EVERY, HOUR, make_view, with_keys
from tests.materialization.engine_cases import LIMITS, make_spec
from tests.materialization.temporal_cases import Events, temporal
from tests.oracle_ticks import values_as_of

#: All keys in one slice: the ticks that are computed beside are not what is tested.
AT_ONCE = replace(LIMITS, slice_rows=1_000_000)
WINDOWS = {"1h": HOUR, "3h": 3 * HOUR, "24h": 24 * HOUR, "unbounded": None}
DECIMALS = pa.schema(
    [
        ("a", pa.string()),
        ("event", INSTANT),
        ("created", INSTANT),
        ("d", pa.decimal128(38, 0)),
    ]
)


def some_rows(chance, number, *, keys=7):
    """Return rows of which some come at once, some late, some too late for one window or all."""
    late = [timedelta()] * 5 + [HOUR / 2, 2 * HOUR, 5 * HOUR, 30 * HOUR]
    return [
        {
            "a": str(chance.randrange(keys)),
            "b": "2",
            "event": (event := BASE + timedelta(minutes=chance.randrange(-3000, 3000))),
            "created": event + chance.choice(late),
            "x": chance.choice([None, 0.25, -1.5, 1e9, 3.75]),
            "n": chance.choice([None, 1, -7, 2**40]),
        }
        for _ in range(number)
    ]


def questions(chance, number, *, keys=9):
    return [
        (
            (str(chance.randrange(keys)), "2"),
            BASE + timedelta(minutes=chance.randrange(-4000, 5000)),
        )
        for _ in range(number)
    ]


@pytest.mark.parametrize(
    ("functions", "ttl"), [(("count", "sum", "variance"), None), (("count", "mean", "max"), "4h")]
)
def test_totals_of_many_keys_are_those_of_the_loop(tmp_path, functions, ttl):
    """Beside what is no total too, and over more columns than are computed at a time."""
    chance = random.Random(61)
    rows, asked = some_rows(chance, 300), questions(chance, 400)
    spec, outputs = make_view(
        columns=("x", "n"), functions=functions, windows=WINDOWS, ttl=ttl, schedule=EVERY
    )
    events = Events(temporal(spec), tmp_path, limits=AT_ONCE)
    events.store(rows, is_first=True)

    for timing in Timing:
        known = timing is Timing.KNOWN
        wanted = [
            values_as_of(with_keys(rows), *each, outputs, ttl=spec.ttl, known=known)
            for each in asked
        ]
        assert sum(each is not None for each in wanted) > 100
        found = events.values(asked, timing=timing)
        for got, want, each in zip(found, wanted, asked, strict=True):
            assert got == want, each


@pytest.mark.parametrize("functions", [("count", "sum"), ("count", "max")])
def test_rows_that_ask_the_same_have_the_same_answer_each_in_its_place(tmp_path, functions):
    """Beside rows that ask of nobody, of a stranger, and of a time before there was anything."""
    chance = random.Random(9)
    rows, asked = some_rows(chance, 60), [*dict.fromkeys(questions(chance, 60))]
    asked += [((None, "2"), BASE), (("stranger", "2"), BASE), (("1", "2"), BASE - 900 * HOUR)]
    chance.shuffle(asked)
    spec, outputs = make_view(columns=("x",), functions=functions, windows=WINDOWS)
    events = Events(temporal(spec), tmp_path, limits=AT_ONCE)
    events.store(rows, is_first=True)
    wanted = {each: values_as_of(with_keys(rows), *each, outputs) for each in asked}

    again = [*asked, *chance.sample(asked, 40)]

    assert events.values(asked) == [wanted[each] for each in asked]
    assert events.values(again) == [wanted[each] for each in again]


def test_rows_that_were_lost_leave_when_they_were_found_to_be_gone(tmp_path):
    chance = random.Random(7)
    rows = [row for row in some_rows(chance, 120) if row["created"] <= BASE + 40 * HOUR]
    unlike = {(row["a"], row["event"], str(row["x"]), row["n"]): row for row in rows}
    first = min(unlike.values(), key=lambda row: row["event"])
    rows = [first, *(row for row in unlike.values() if row is not first)]
    kept = [row for place, row in enumerate(rows) if not place or place % 3]
    gone = [
        {**row, "gone": BASE + 41 * HOUR}
        for place, row in enumerate(rows)
        if place and not place % 3
    ]
    spec, outputs = make_view(columns=("x", "n"), functions=("count", "sum"), windows=WINDOWS)
    events = Events(temporal(spec), tmp_path, limits=AT_ONCE)
    events.store(rows, end=BASE + 40 * HOUR, is_first=True)
    events.store(kept, end=BASE + 41 * HOUR)

    asked = [*questions(chance, 200), *((("1", "2"), BASE + n * HOUR) for n in range(35, 70))]

    assert events.values(asked) == [
        values_as_of(with_keys([*kept, *gone]), *each, outputs) for each in asked
    ]


def test_a_total_of_each_key_may_be_more_than_one_of_all_could_be(tmp_path):
    most = Decimal(9 * 10**37)
    rows = [
        {"a": str(key), "event": BASE, "created": BASE, "d": most if key % 2 else -most}
        for key in (1, 3, 5, 2)
    ]
    spec = make_spec(
        keys=(("a", "string"),),
        features=[("d_sum_3h", "decimal(38,0)")],
        created="created",
        aggregations=(AggregationSpec(column="d", functions=("sum",), windows=("3h",)),),
        schedule=EVERY,
    )
    spec = temporal(spec, DECIMALS, d="DECIMAL(38,0)")
    events = Events(spec, tmp_path, schema=DECIMALS)
    events.store(rows, is_first=True)

    asked = [((key,), BASE + HOUR) for key in ("1", "2", "3", "5")]

    assert [each["d_sum_3h"] for each in events.values(asked)] == [most, -most, most, most]


@pytest.mark.parametrize("lookback", [None, "6h"])
def test_by_event_time_alone_what_comes_later_than_any_window_is_there_as_far_as_runs_look_back(
    tmp_path, lookback
):
    row = {"a": "1", "b": "2", "x": 0.5, "n": 1}
    early = {**row, "event": BASE, "created": BASE}
    late = {**row, "event": BASE + 2 * HOUR, "created": BASE + 7 * HOUR}
    spec, _ = make_view(columns=("x",), functions=("count",), windows={"1h": HOUR})
    spec = temporal(replace(spec, source=replace(spec.source, lookback=lookback)))
    events = Events(spec, tmp_path)
    events.store([early], end=BASE + 5 * HOUR, is_first=True)
    asked = [(("1", "2"), BASE + 2 * HOUR)]

    events.store([early, late], start=BASE + 5 * HOUR, end=BASE + 8 * HOUR)
    stored = events.store([early, late], start=BASE + 5 * HOUR, end=BASE + 8 * HOUR)

    assert stored == 0
    assert [each["x_count_1h"] for each in events.values(asked, timing=Timing.EVENT)] == [
        1 if lookback else 0
    ]
    assert [each["x_count_1h"] for each in events.values(asked)] == [0]


@pytest.mark.parametrize(
    "kind", ["INTERVAL", "STRUCT(a DOUBLE)", "MAP(VARCHAR, DOUBLE)[]", "TIME WITH TIME ZONE"]
)
def test_values_that_are_equal_and_have_other_texts_are_not_counted_as_of_instants(kind):
    columns = {"a": "VARCHAR", "b": "VARCHAR", "x": kind, "event": "TIMESTAMP", "created": "DATE"}
    counted, _ = make_view(columns=("x",), functions=("count_distinct",), windows={"1h": HOUR})
    there, _ = make_view(columns=("x",), functions=("count",), windows={"1h": HOUR})

    with pytest.raises(SourceValueInvalid, match="equal ones may have different texts"):
        read_aggregates(temporal(counted), columns)
    read_aggregates(temporal(there), columns)
    read_aggregates(counted, columns)


def test_instants_that_are_written_in_one_way_are_counted():
    columns = {"a": "VARCHAR", "b": "VARCHAR", "x": "TIMESTAMP WITH TIME ZONE"}
    spec, _ = make_view(columns=("x",), functions=("count_distinct",), windows={"1h": HOUR})

    read_aggregates(temporal(spec), columns)


@pytest.fixture
def many(tmp_path):
    """A session as reads have it, with events of more than one block of rows, and instants."""
    limits = replace(LIMITS, threads=4, memory_limit_mb=1000)
    with open_session(limits, directory=str(tmp_path)) as session:
        session.execute(
            "CREATE TEMP TABLE raw AS SELECT i % 7919 AS kid, e, e AS c, "
            "e + CASE WHEN i % 10 = 0 THEN hash(i + 1) % 9000000000 ELSE 0 END AS v, "
            f"{1 << 62} AS until, CAST(hash(i + 2) % 1000 AS DOUBLE) / 100 AS a0, a0 AS a1 "
            "FROM (SELECT i, CAST(hash(i) % 360000000000 AS BIGINT) AS e FROM range(1200000) t(i))"
        )
        session.execute(
            "CREATE TEMP TABLE asked AS SELECT i % 7919 AS kid, i // 7919 AS i, "
            "CAST(hash(i) % 400000000000 AS BIGINT) AS t FROM range(40000) t(i)"
        )
        yield session


def totals(columns=("x",)):
    spec, _ = make_view(columns=columns, functions=("count", "sum"), windows=WINDOWS)
    types = {"a": "VARCHAR", "b": "VARCHAR", "x": "DOUBLE"}
    return read_aggregates(temporal(spec), types)


@pytest.mark.parametrize("streams", [1, 4])
def test_many_events_are_added_up_in_their_order(many, streams):
    aggregates = totals()
    aggregates = aggregates.with_found(facts_of(many, aggregates))
    strays = Strays(*many.execute(strays_sql(aggregates, 1 << 62)).fetchall()[0])
    assert 0.09 < strays.late < 0.11
    assert strays.others
    sql = partial(running_sql, aggregates, strays=strays, latest=400_000_000_000, rows=1_200_000)
    one, other = sql(streams=streams), sql(in_order=True, strays=strays._replace(late=1))

    ((_, plan),) = many.execute(f"EXPLAIN (FORMAT json) {one}").fetchall()
    ((_, slower),) = many.execute(f"EXPLAIN (FORMAT json) {other}").fetchall()

    assert is_streamed(plan)
    assert not is_streamed(slower)
    assert differences(many, one, other) == [0, 0]
    # Each total by a join, of amounts that are whole hundredths; ``s1_…`` are in 2 to the -59th.
    names, plain = ["kid", "i"], ["kid", "i"]
    for n, length in enumerate(WINDOWS.values()):
        within = f"e > t - {length // MICROSECOND}" if length else "e IS NOT NULL"
        names += [f"s0_{n}_n", f"CAST(round(s1_{n}_b0 / {1 << 59} * 100) AS BIGINT)"]
        plain += [f"count(e) FILTER ({within})"]
        plain += [f"coalesce(sum(CAST(round(a0 * 100) AS BIGINT)) FILTER ({within}), 0)"]
    joined = "asked LEFT JOIN raw ON raw.kid = asked.kid AND v <= t GROUP BY ALL"
    by_join = f"SELECT {', '.join(plain).replace('kid', 'asked.kid', 1)} FROM {joined}"
    assert differences(many, f"SELECT {', '.join(names)} FROM ({one})", by_join) == [0, 0]


def differences(session, one, other):
    """Return how many rows the one gives that the other does not, and the other way round."""
    pairs = (one, other), (other, one)
    counts = [f"(SELECT count(*) FROM (({a}) EXCEPT ALL ({b})))" for a, b in pairs]
    return list(session.execute(f"SELECT {', '.join(counts)}").fetchall()[0])


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT sum(i) OVER (ROWS UNBOUNDED PRECEDING) FROM range(9) t(i)",
        "SELECT sum(i) OVER (ORDER BY i ROWS UNBOUNDED PRECEDING) FROM range(9) t(i)",
        "SELECT i FROM (SELECT * FROM range(9) t(i) ORDER BY i)",
        "SELECT sum(i) OVER (ROWS UNBOUNDED PRECEDING) FROM "
        "(SELECT * FROM range(9) t(i) ORDER BY i) JOIN range(3) u(i) USING (i)",
    ],
)
def test_rows_in_no_order_are_not_taken_for_ordered_ones(many, sql):
    ((_, plan),) = many.execute(f"EXPLAIN (FORMAT json) {sql}").fetchall()

    assert not is_streamed(plan)
