"""The child process: what it gives, what it refuses, how it ends."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta

import msgspec
import pyarrow as pa
import pytest

from materialization.compute.child import compute, start_child
from materialization.compute.jobs import ComputeJob
from materialization.compute.limits import EngineLimits
from materialization.errors import (
    EngineLimitExceeded,
    EngineStopped,
    RowSqlRefused,
    SourceValueInvalid,
    UnknownColumn,
)
from materialization.sources.files import resolve_source
from materialization.stores.columns import INSTANT, computed_schema
from registry.spec.aggregations import AggregationSpec
from registry.spec.model import ScheduleSpec
from tests.materialization.engine_cases import END, SHARED, at, make_spec, write_parquet

LIMITS = EngineLimits(memory_limit_mb=256, threads=1, timeout_s=30)
T = at("2024-03-01T12:00")
SCHEMA = pa.schema([("k", pa.int64()), ("event", INSTANT), ("x", pa.float64())])


def job(root, spec, **window):
    source = resolve_source(spec.source, roots=[str(root)])
    return ComputeJob(spec, source, **{"window_end": END, **window})


def rows_of(root, spec, limits=LIMITS, **window):
    with compute(job(root, spec, **window), limits) as computation:
        return computation.reader.read_all(), computation.counters


@pytest.fixture
def rows(tmp_path):
    write_parquet(tmp_path, [{"k": n, "event": T, "x": float(n)} for n in range(5)], SCHEMA)
    return tmp_path


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_rows_come_as_arrow_with_counters(rows):
    table, counters = rows_of(rows, make_spec())

    assert table.schema == computed_schema(make_spec())
    assert sorted(table["x"].to_pylist()) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert (counters.rows_read, counters.rows) == (5, 5)


def test_it_works_from_any_directory_and_leaves_nothing_behind(rows, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    temp = tmp_path_factory.mktemp("private")

    rows_of(rows, make_spec(), msgspec.structs.replace(LIMITS, temp_root=str(temp)))

    assert list(temp.iterdir()) == []


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
def test_hostile_sql_neither_reads_nor_writes_nor_changes_settings(rows, tmp_path_factory, sql):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret.csv").write_text("x\n1\n")
    own = rows / "rows.parquet"
    before = own.read_bytes()
    places = {"secret": outside / "secret.csv", "own": own, "outside": outside / "new.csv"}

    with pytest.raises(RowSqlRefused):
        rows_of(rows, make_spec(sql=sql.format(**places)))

    assert own.read_bytes() == before
    assert [path.name for path in outside.iterdir()] == ["secret.csv"]


def test_the_environment_does_not_reach_the_child(rows, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "do-not-tell")

    with start_child(job(rows, make_spec()), LIMITS) as child:
        environment = open(f"/proc/{child.pid}/environ").read()  # noqa: PTH123, SIM115

    assert "SECRET_KEY" not in environment
    assert "PATH" not in environment


def test_errors_of_the_child_are_raised_here(rows):
    with pytest.raises(UnknownColumn) as caught:
        rows_of(rows, make_spec(features=[("y", "int64")]))
    assert caught.value.data == {"column": "y", "known": ["event", "k", "x"]}


def test_a_value_found_bad_in_the_middle_of_the_stream_is_no_end_of_it(tmp_path):
    many = [
        {"k": n, "event": T, "x": n + 0.5 if n == 190_000 else float(n)} for n in range(200_000)
    ]
    write_parquet(tmp_path, many, SCHEMA)
    limits = msgspec.structs.replace(LIMITS, batch_rows=1000)

    with pytest.raises(SourceValueInvalid, match="190000.5"):
        rows_of(tmp_path, make_spec(features=[("x", "int64")]), limits)


def heavy(tmp_path):
    """A view whose deviations look at some 10^10 pairs of rows."""
    many = [{"k": 1, "event": T + timedelta(seconds=n), "x": float(n)} for n in range(200_000)]
    write_parquet(tmp_path, many, SCHEMA)
    return make_spec(
        features=[("x_stddev_30d", "float64")],
        aggregations=(AggregationSpec(column="x", functions=("stddev",), windows=("30d",)),),
        schedule=ScheduleSpec(every="1s"),
    )


def test_too_long_is_a_limit_not_a_crash(tmp_path):
    spec = heavy(tmp_path)
    began = time.monotonic()

    with pytest.raises(EngineLimitExceeded) as caught:
        rows_of(
            tmp_path, spec, msgspec.structs.replace(LIMITS, timeout_s=1.0, memory_limit_mb=1000)
        )

    assert caught.value.data["limit"] == "time"
    assert time.monotonic() - began < 10


def test_too_much_memory_is_a_limit_too(tmp_path):
    spec = heavy(tmp_path)

    with pytest.raises(EngineLimitExceeded) as caught:
        rows_of(
            tmp_path, spec, msgspec.structs.replace(LIMITS, memory_limit_mb=40, temp_limit_mb=1)
        )

    assert caught.value.data["limit"] == "memory"


def test_leaving_early_ends_the_child(tmp_path):
    many = [{"k": n, "event": T, "x": float(n)} for n in range(300_000)]
    write_parquet(tmp_path, many, SCHEMA)

    with start_child(job(tmp_path, make_spec()), LIMITS) as child:
        child.open_stream().read_next_batch()
        assert is_alive(child.pid)

    assert not is_alive(child.pid)


def test_a_killed_child_may_be_tried_again(tmp_path):
    spec = heavy(tmp_path)
    with pytest.raises(EngineStopped), start_child(job(tmp_path, spec), LIMITS) as child:
        os.kill(child.pid, signal.SIGKILL)
        child.open_stream()


def test_the_child_dies_with_its_parent(tmp_path):
    spec = heavy(tmp_path)
    read, write = os.pipe()
    parent = os.fork()
    if parent == 0:
        with start_child(job(tmp_path, spec), LIMITS) as child:
            os.write(write, str(child.pid).encode())
            time.sleep(30)
    pid = int(os.read(read, 20))
    time.sleep(0.5)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)

    ends = time.monotonic() + 5
    while _runs(pid) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not _runs(pid)


def _runs(pid):
    """Say whether the process runs; a zombie nobody waits for does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


shared = pytest.mark.skipif(not SHARED.exists(), reason=f"the real inputs are not there: {SHARED}")


@shared
def test_driver_stats_come_with_their_naive_created_times():
    spec = make_spec(
        "driver_stats.parquet",
        keys=[("driver_id", "int64")],
        event="event_timestamp",
        created="created",
        features=[("conv_rate", "float32"), ("trips", "int64", "avg_daily_trips")],
    )  # fmt: skip

    table, counters = rows_of(SHARED, spec)

    assert table.num_rows == counters.rows_read == 1807
    assert set(table["driver_id"].to_pylist()) == {1001, 1002, 1003, 1004, 1005}
    assert min(table["created_timestamp"].to_pylist()) > max(table["event_timestamp"].to_pylist())


@shared
def test_credit_history_keeps_its_text_keys():
    spec = make_spec(
        "credit_history_sample.csv",
        keys=[("dob_ssn", "string")],
        event="event_timestamp",
        created="created_timestamp",
        features=[("credit_card_due", "int64"), ("bankruptcies", "int32")],
    )  # fmt: skip

    table, _ = rows_of(SHARED, spec)

    assert table.num_rows == 1000
    assert all(len(key) == 13 for key in table["dob_ssn"].to_pylist())


@shared
def test_purchases_are_counted_as_their_tutorial_asks():
    spec = make_spec(
        "chronon_purchases.csv", keys=[("user_id", "int64")], event="ts", event_unit="ms",
        features=[("purchase_price_sum_14d", "int64"), ("purchase_price_count_14d", "int64")],
        aggregations=(
            AggregationSpec(column="purchase_price", functions=("sum", "count"), windows=("14d",)),
        ),
        schedule=ScheduleSpec(every="1d"),
    )  # fmt: skip

    table, counters = rows_of(SHARED, spec, window_end=at("2023-12-01T00:00"))

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
