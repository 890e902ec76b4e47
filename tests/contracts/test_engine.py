"""What every engine computes, refuses and finds: sources, limits, the latest stored rows.

Not for point-in-time joins (``test_engine_joins``), nor for one engine's own ways.
"""

from __future__ import annotations

import random
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from materialization.compute.engine import ENGINES
from materialization.compute.jobs import ComputeJob, SplitJob
from materialization.compute.limits import EngineLimits
from materialization.errors import (
    EngineLimitExceeded,
    RowSqlRefused,
    SourceValueInvalid,
    UnknownColumn,
)
from materialization.sources.files import resolve_source
from materialization.stores.columns import INSTANT, computed_schema, stored_schema
from materialization.stores.offline_protocol import OfflineStoreUnavailable
from materialization.ticks import ticks_between
from registry.spec.aggregations import AggregationSpec
from registry.spec.model import ScheduleSpec
from tests.materialization.engine_cases import (
    END,
    SHARED,
    at,
    computed_rows,
    heavy_spec,
    make_spec,
    slow_spec,
    write_parquet,
)
from tests.oracle import stamps
from tests.oracle_ticks import latest_within, snapshot_ticks

LIMITS = EngineLimits(memory_limit_mb=256, threads=1, timeout_s=30)
T = at("2024-03-01T12:00")
US = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
SCHEMA = pa.schema([("k", pa.int64()), ("event", INSTANT), ("x", pa.float64())])


@pytest.fixture(params=list(ENGINES))
def make_engine(request):
    """A function: limits that differ from ``LIMITS`` → an engine."""
    return lambda **limits: ENGINES[request.param](msgspec.structs.replace(LIMITS, **limits))


@pytest.fixture
def engine(make_engine):
    return make_engine()


def job(root, spec, **window):
    source = resolve_source(spec.source, root=str(root))
    return ComputeJob(spec, source, **{"window_end": END, **window})


def rows_of(engine, root, spec, **window):
    return computed_rows(engine, job(root, spec, **window))


@pytest.fixture
def rows(tmp_path):
    write_parquet(tmp_path, [{"k": n, "event": T, "x": float(n)} for n in range(5)], SCHEMA)
    return tmp_path


# --- computing ---------------------------------------------------------------------------------


def test_rows_come_as_arrow_with_counters(engine, rows):
    table, counters = rows_of(engine, rows, make_spec())

    assert table.schema == computed_schema(make_spec())
    assert sorted(table["x"].to_pylist()) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert (counters.rows_read, counters.rows) == (5, 5)


def made_rows(*, sort: bool) -> list[dict[str, Any]]:
    """Rows of ten hours: late ones, ties, and some without a key, a time or a value."""
    dice = random.Random(11)
    made = [
        {"k": dice.choice([1, 2, 3, None]), "event": T + dice.randrange(600) * HOUR / 60,
         "created": None, "x": dice.choice([None, float("nan"), -0.0, 1.5])}
        for _ in range(400)
    ]  # fmt: skip
    for row in made[::3]:
        row["created"] = row["event"] + dice.choice([-1, 0, 2]) * HOUR
    made += made[:20]
    made.append({"k": 1, "event": None, "created": None, "x": 1.0})
    return sorted(made, key=lambda row: row["event"] or T) if sort else made


@pytest.mark.parametrize("created", [None, "created"])
def test_windows_that_are_split_have_the_rows_that_each_has_by_itself(engine, tmp_path, created):
    schema = SCHEMA.append(pa.field("created", INSTANT))
    write_parquet(tmp_path, made_rows(sort=False), schema, row_group_size=50)
    spec = make_spec(created=created)
    ends = tuple(T + hours * HOUR for hours in (2, 3, 3.5, 8))
    starts = (T + HOUR, *ends)
    source, staging = resolve_source(spec.source, root=str(tmp_path)), tmp_path / "staging"
    staging.mkdir()

    given = SplitJob(spec, source, starts[0], ends, str(staging), sequence=7)
    parts = engine.split(given, watch=lambda share: None).parts

    assert len(parts) == len(ends)
    repeated = 0
    for start, end, part in zip(starts, ends, parts, strict=False):
        alone, counters = rows_of(engine, tmp_path, spec, window_start=start, window_end=end)
        job = ComputeJob(spec, source, end, start, prepared=part, staging=str(staging), sequence=7)
        computed = engine.compute(job, watch=lambda share: None)
        apart = [pq.read_table(file, partitioning=None) for file in computed.files]
        assert all(table["__sequence"].unique().to_pylist() == [7] for table in apart)
        rows = [row for table in apart for row in table.drop(["__sequence"]).to_pylist()]
        assert sorted(map(repr, rows)) == sorted(map(repr, alone.to_pylist()))
        assert computed.counters == counters
        repeated += counters.repeated
    assert repeated > 0


def test_windows_that_lie_apart_already_are_not_split(engine, tmp_path):
    write_parquet(tmp_path, made_rows(sort=True)[:-1], SCHEMA, row_group_size=50)
    spec = make_spec()
    ends = tuple(T + hours * HOUR for hours in (2, 4, 6, 8))
    source, staging = resolve_source(spec.source, root=str(tmp_path)), tmp_path / "staging"
    staging.mkdir()

    given = SplitJob(spec, source, None, ends, str(staging), sequence=7)

    assert engine.split(given, watch=lambda share: None).parts is None
    assert list(staging.iterdir()) == []


WINDOWS = {"1h": HOUR, "3h": 3 * HOUR}
FUNCTIONS = ("count", "sum", "min", "max", "last")


def test_windows_at_ticks_answer_as_the_oracle_does(engine, tmp_path):
    dice = random.Random(7)
    schema = SCHEMA.append(pa.field("created", INSTANT))
    events = [T + timedelta(minutes=dice.randrange(0, 600, 15)) for _ in range(40)]
    history = [
        {"k": dice.randrange(3), "event": event, "created": event + dice.choice([0, 0, 2]) * HOUR,
         "x": dice.choice([None, -1.5, 0.25, 2.0])}
        for event in events
    ]  # fmt: skip
    write_parquet(tmp_path, history, schema)
    outputs = {f"x_{f}_{name}": ("x", f, w) for f in FUNCTIONS for name, w in WINDOWS.items()}
    spec = make_spec(
        features=[(name, "int64" if "count" in name else "float64") for name in outputs],
        created="created", schedule=ScheduleSpec(every="1h"),
        aggregations=(AggregationSpec(column="x", functions=FUNCTIONS, windows=tuple(WINDOWS)),),
    )  # fmt: skip
    end = T + 12 * HOUR

    table, _ = rows_of(engine, tmp_path, spec, window_end=end)

    stored = {
        ((row["k"],), row["event_timestamp"]): {name: row[name] for name in outputs}
        for row in table.to_pylist()
    }
    ticks = ticks_between(spec.view.schedule, T - HOUR, end)
    dense = snapshot_ticks([{**row, "key": (row["k"],)} for row in history], ticks, outputs)
    assert len(dense) > 20
    for key, tick in dense:
        assert latest_within(stored, key, tick, None) == dense[key, tick]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS k, now() AS event, content AS x FROM read_text('/etc/passwd')",
        "SELECT 1 AS k, now() AS event, file AS x FROM glob('/etc/*')",
        "SELECT 1 AS k, now() AS event, * FROM read_csv('{secret}')",
        "SELECT 1 AS k, now() AS event, * FROM '{secret}'",
        "SELECT * FROM rows); COPY (SELECT 1) TO '{own}' (USE_TMP_FILE FALSE); SELECT (1",
        "COPY (SELECT 1) TO '{own}' (USE_TMP_FILE FALSE)",
        "SELECT * FROM rows; COPY (SELECT 1) TO '{outside}'",
        "SET threads = 8",
        "RESET lock_configuration",
        "SELECT * FROM rows; SET memory_limit = '10GB'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "ATTACH '{outside}' AS other",
        "PRAGMA enable_profiling",
        "CREATE TABLE t AS SELECT 1",
    ],
)
def test_hostile_sql_neither_reads_nor_writes_nor_changes_settings(
    engine, rows, tmp_path_factory, sql
):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.csv").write_text("x\n1\n")
    own = rows / "rows.parquet"
    before = own.read_bytes()
    places = {"secret": outside / "secret.csv", "own": own, "outside": outside / "new.csv"}

    with pytest.raises(RowSqlRefused):
        rows_of(engine, rows, make_spec(sql=sql.format(**places)))

    assert own.read_bytes() == before
    assert [path.name for path in outside.iterdir()] == ["secret.csv"]


def test_what_is_wrong_with_a_source_is_raised_here(engine, rows):
    with pytest.raises(UnknownColumn) as caught:
        rows_of(engine, rows, make_spec(features=[("y", "int64")]))
    assert caught.value.data == {"column": "y", "known": ["event", "k", "x"]}


def test_a_value_found_bad_in_the_middle_of_the_stream_is_no_end_of_it(make_engine, tmp_path):
    many = [
        {"k": n, "event": T, "x": n + 0.5 if n == 190_000 else float(n)} for n in range(200_000)
    ]
    write_parquet(tmp_path, many, SCHEMA)

    with pytest.raises(SourceValueInvalid, match="is not an int64") as caught:
        rows_of(make_engine(batch_rows=1000), tmp_path, make_spec(features=[("x", "int64")]))
    assert "190000.5" in caught.value.example


def test_too_long_is_a_limit_not_a_crash(make_engine, tmp_path):
    spec = slow_spec(tmp_path)
    began = time.monotonic()

    with pytest.raises(EngineLimitExceeded) as caught:
        rows_of(make_engine(timeout_s=1.0, memory_limit_mb=1000), tmp_path, spec)

    assert caught.value.data["limit"] == "time"
    assert time.monotonic() - began < 10


def test_too_much_memory_is_a_limit_too(make_engine, tmp_path):
    spec = heavy_spec(tmp_path)

    with pytest.raises(EngineLimitExceeded) as caught:
        rows_of(make_engine(memory_limit_mb=40, temp_limit_mb=1), tmp_path, spec)

    assert caught.value.data["limit"] == "memory"


# --- looking -----------------------------------------------------------------------------------


def test_a_look_counts_and_places_what_is_wrong(engine, rows):
    spec = make_spec(features=[("x", "float64"), ("z", "int64", "xx")])

    (report,) = engine.look([spec], job(rows, spec).source)

    assert (report.rows, report.first_event, report.last_event) == (5, T, T)
    [(path, message)] = report.problems
    assert path == ("features", 1, "column")
    assert "'xx'" in message


def test_a_look_that_cannot_be_had_is_a_problem_of_its_version_alone(engine, rows):
    broken = make_spec(sql="SELECT k, event, xx AS x FROM rows")
    sound = make_spec(features=[("x", "float64")])

    before, report, after = engine.look([sound, broken, sound], job(rows, sound).source)

    [(path, message)] = report.problems
    assert path == ("sql",)
    assert "the source has no column 'xx'" in message
    assert (before.rows, before.problems) == (after.rows, after.problems) == (5, [])


# --- queries -----------------------------------------------------------------------------------


def query(engine, rows, sql, *, most_rows=100, most_bytes=1 << 20):
    spec = make_spec(sql=sql, features=[])
    return engine.query(spec, job(rows, spec).source, most_rows=most_rows, most_bytes=most_bytes)


def test_a_query_gives_its_columns_as_they_are(engine, rows):
    table = query(engine, rows, "SELECT k * 2 AS twice, event FROM rows WHERE x > 2")

    assert table.column_names == ["twice", "event"]
    assert sorted(table["twice"].to_pylist()) == [6, 8]
    assert set(table["event"].to_pylist()) == {T}
    assert query(engine, rows, "SELECT k FROM rows WHERE x > 9").num_rows == 0


def test_a_query_gives_no_more_than_it_may(engine, rows):
    assert query(engine, rows, "SELECT k FROM rows", most_rows=3).num_rows == 3
    with pytest.raises(EngineLimitExceeded, match="more than 10 bytes"):
        query(engine, rows, "SELECT k FROM rows", most_bytes=10)


@pytest.mark.parametrize("sql", ["SELECT 1; SELECT 2", "COPY rows TO 'x'", "SELEC"])
def test_a_query_is_one_select(engine, rows, sql):
    with pytest.raises(RowSqlRefused):
        query(engine, rows, sql)


# --- the latest rows ---------------------------------------------------------------------------

PAIR = make_spec(keys=[("a", "string"), ("b", "string")], features=[("x", "float64")])


def stored(folder, rows, *, name="stored.parquet", spec=PAIR):
    path = folder / name
    pq.write_table(pa.Table.from_pylist(rows, schema=stored_schema(spec)), path)
    return str(path)


def pair(key, event, created, run, x):
    return {"a": key[0], "b": key[1], "event_timestamp": event, "created_timestamp": created,
            "__sequence": run, "x": x}  # fmt: skip


def latest(engine, files, **wanted):
    with engine.latest_rows(files, PAIR, **wanted) as reader:
        table = reader.read_all()
    assert table.schema == stored_schema(PAIR)
    found = {(row["a"], row["b"]): (row["x"], row["__sequence"]) for row in table.to_pylist()}
    assert len(found) == table.num_rows
    return found


def test_the_latest_row_is_the_greatest_by_event_created_and_sequence(engine, tmp_path):
    start = at("1969-12-31T12:00")
    late, one, other = start + HOUR, ("1", "23"), ("12", "3")
    first = [
        pair(one, start, start, 1, 1.0), pair(one, start, late, 1, 2.0),
        pair(other, start, start, 1, 3.0), pair(other, late, late, 1, 4.0),
    ]  # fmt: skip
    files = (
        stored(tmp_path, first),
        stored(tmp_path, [pair(one, start, late, 2, 5.0)], name="second.parquet"),
    )

    assert latest(engine, files) == {one: (5.0, 2), other: (4.0, 1)}
    assert latest(engine, files, sequence=1) == {one: (2.0, 1), other: (4.0, 1)}
    assert latest(engine, files, up_to=1) == {one: (2.0, 1), other: (4.0, 1)}
    assert latest(engine, files, as_of=late - US) == {one: (1.0, 1), other: (3.0, 1)}
    some = pa.table({"a": ["12", "12", "1"], "b": ["3", "3", "2"]})
    assert latest(engine, files, among=some) == {other: (4.0, 1)}


def test_the_latest_rows_of_a_made_history_are_the_greatest_visible_ones(engine, tmp_path):
    dice = random.Random(11)
    keys = [("1", "23"), ("12", "3"), ("", "123")]
    history = [
        pair(dice.choice(keys), T + dice.randrange(6) * HOUR, T + dice.randrange(9) * HOUR,
             sequence, float(sequence))
        for sequence in range(60)
    ]  # fmt: skip
    as_of = T + 5 * HOUR

    found = latest(engine, (stored(tmp_path, history),), as_of=as_of)

    visible = [r for r in history if max(r["event_timestamp"], r["created_timestamp"]) <= as_of]
    for key in keys:
        best = max((r for r in visible if (r["a"], r["b"]) == key), key=stamps)
        assert found[key] == (best["x"], best["__sequence"])


def test_the_latest_of_nothing_is_nothing(engine):
    assert latest(engine, ()) == {}


def test_some_entities_are_as_many_as_asked_for_and_each_once(engine, tmp_path):
    rows = [pair((str(n % 9), "b"), T, T, n, 1.0) for n in range(99)]
    files = (stored(tmp_path, rows),)

    found = engine.some_entities(files, PAIR, 4).to_pylist()

    assert len({row["a"] for row in found}) == len(found) == 4
    assert engine.some_entities(files, PAIR, 99).num_rows == 9
    assert engine.some_entities((), PAIR, 4).num_rows == 0


def test_all_entities_lie_in_a_file_for_which_there_is_a_bound(make_engine, tmp_path):
    keys = pa.array([f"{n:060d}" for n in range(60_000)])
    columns = {"a": keys, "b": keys, "x": pa.nulls(len(keys), pa.float64())}
    some = pa.table({**columns, **dict.fromkeys(("event_timestamp", "created_timestamp"),
                     pa.repeat(pa.scalar(T, INSTANT), len(keys))),
                     "__sequence": pa.repeat(1, len(keys))})  # fmt: skip
    file = str(tmp_path / "many.parquet")
    pq.write_table(some.select(stored_schema(PAIR).names), file)

    found = make_engine().some_entities((file,), PAIR, None)

    assert sorted(found["a"].to_pylist()) == keys.to_pylist()
    maps = [line for line in Path("/proc/self/maps").read_text().splitlines() if ".arrow" in line]
    mapped = [tuple(int(n, 16) for n in line.split()[0].split("-")) for line in maps]
    buffers = [b for column in found.columns for c in column.chunks for b in c.buffers() if b]
    assert all(any(start <= b.address < end for start, end in mapped) for b in buffers)
    with pytest.raises(EngineLimitExceeded) as refused:
        make_engine(temp_limit_mb=1).some_entities((file,), PAIR, None)
    assert refused.value.data["limit"] == "disk"


def test_rows_of_the_same_stamps_are_those_of_keys_times_and_sequence(engine, tmp_path):
    one, other = ("1", "23"), ("12", "3")
    history = [pair(one, T, T, 1, 1.0), pair(one, T, T, 2, 2.0), pair(one, T, T + US, 1, 3.0),
               pair(other, T, T, 1, 4.0), pair(one, T, T, 1, 5.0)]  # fmt: skip
    asked = pa.Table.from_pylist(
        [history[0], pair(other, T, T, 2, 0.0)], schema=stored_schema(PAIR)
    ).drop_columns("x")

    found = engine.same_stamps((stored(tmp_path, history),), PAIR, asked)

    assert found.schema == stored_schema(PAIR)
    assert sorted(found["x"].to_pylist()) == [1.0, 5.0]
    assert engine.same_stamps((), PAIR, asked).num_rows == 0


def test_a_stored_file_that_is_gone_is_an_unavailable_store(engine, tmp_path):
    with pytest.raises(OfflineStoreUnavailable, match=r"gone\.parquet"):
        latest(engine, (str(tmp_path / "gone.parquet"),))


def many_rows(folder):
    """Rows of a million keys, which no 20 MB hold."""
    size = 1_000_000
    times = pa.repeat(pa.scalar(T, INSTANT), size)
    columns = {
        "a": pa.array([f"key number {n}" for n in range(size)]), "b": pa.repeat("b", size),
        "event_timestamp": times, "created_timestamp": times,
        "__sequence": pa.array(range(size), pa.int64()), "x": pa.repeat(1.0, size),
    }  # fmt: skip
    path = folder / "many.parquet"
    pq.write_table(pa.table(columns, schema=stored_schema(PAIR)), path)
    return (str(path),)


@pytest.mark.parametrize(
    ("limits", "name"),
    [
        ({"memory_limit_mb": 20, "temp_limit_mb": 1}, "memory"),
        ({"timeout_s": 0.01, "memory_limit_mb": 1000}, "time"),
    ],
)
def test_finding_the_latest_rows_has_its_limits(make_engine, tmp_path, limits, name):
    with pytest.raises(EngineLimitExceeded, match="raise ENGINE_") as caught:
        latest(make_engine(**limits), many_rows(tmp_path))

    assert caught.value.data["limit"] == name


# --- real inputs -------------------------------------------------------------------------------

shared = pytest.mark.skipif(not SHARED.exists(), reason=f"the real inputs are not there: {SHARED}")


@shared
def test_driver_stats_come_with_their_naive_created_times(engine):
    spec = make_spec(
        "driver_stats.parquet",
        keys=[("driver_id", "int64")],
        event="event_timestamp",
        created="created",
        features=[("conv_rate", "float32"), ("trips", "int64", "avg_daily_trips")],
    )  # fmt: skip

    table, counters = rows_of(engine, SHARED, spec)

    assert (counters.rows_read, counters.repeated, table.num_rows) == (1807, 2, 1805)
    assert set(table["driver_id"].to_pylist()) == {1001, 1002, 1003, 1004, 1005}
    assert min(table["created_timestamp"].to_pylist()) > max(table["event_timestamp"].to_pylist())


@shared
def test_credit_history_keeps_its_text_keys(engine):
    spec = make_spec(
        "credit_history_sample.csv",
        keys=[("dob_ssn", "string")],
        event="event_timestamp",
        created="created_timestamp",
        features=[("credit_card_due", "int64"), ("bankruptcies", "int32")],
    )  # fmt: skip

    table, _ = rows_of(engine, SHARED, spec)

    assert table.num_rows == 1000
    assert all(len(key) == 13 for key in table["dob_ssn"].to_pylist())


@shared
def test_purchases_are_counted_as_their_tutorial_asks(engine):
    spec = make_spec(
        "chronon_purchases.csv", keys=[("user_id", "int64")], event="ts", event_unit="ms",
        features=[("purchase_price_sum_14d", "int64"), ("purchase_price_count_14d", "int64")],
        aggregations=(
            AggregationSpec(column="purchase_price", functions=("sum", "count"), windows=("14d",)),
        ),
        schedule=ScheduleSpec(every="1d"),
    )  # fmt: skip

    table, counters = rows_of(engine, SHARED, spec, window_end=at("2023-12-01T00:00"))

    lines = (SHARED / "chronon_purchases.csv").read_text().splitlines()[1:]
    events = [
        (int(user), int(ts), int(price))
        for _, ts, _, user, _, price in (x.split(",") for x in lines)
    ]
    end = int(at("2023-12-01T00:00").timestamp() * 1000)
    inside = [
        price for user, ts, price in events if user == 1 and end - 14 * 86_400_000 < ts <= end
    ]
    mine = [row for row in table.to_pylist() if row["user_id"] == 1]
    newest = max(mine, key=lambda row: row["event_timestamp"])
    assert (newest["purchase_price_sum_14d"], newest["purchase_price_count_14d"]) == (
        sum(inside) if inside else None,
        len(inside),
    )
    assert counters.rows_read == len(events)
