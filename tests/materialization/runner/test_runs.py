"""One run from request to end: what is published, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from lib.connections import get_redis
from materialization.runner import loading
from tests.factories import DEFINITIONS, VIEW, make_version, verbs_of
from tests.materialization.run_world import (
    AT,
    DRIVERS,
    HOUR,
    ROWS,
    SCHEMA,
    committed,
    fresh,
    marker,
    materialize,
    offline,
    online,
    snapshot,
    table_of,
    write_rows,
)

pytestmark = pytest.mark.django_db


# --- What a run does -----------------------------------------------------------------------------


def test_a_backfill_stores_loads_and_makes_the_first_version_the_default(version):
    with committed():
        run = materialize(version)

    assert (run.kind, run.status, run.step, run.progress) == ("backfill", "succeeded", "done", 1.0)
    assert (run.rows_read, run.rows_offline, run.rows_online) == (4, 4, 3)
    assert run.window == (None, AT)
    assert fresh(version).is_ready
    assert fresh(version).feature_view.default_version_id == version.pk
    assert online(version, DRIVERS, at=AT)["avg_daily_trips"] == [11, 20, 30, None]
    assert online(version, DRIVERS, at=AT) == offline(version, DRIVERS, at=AT)
    assert verbs_of(run) == ["requested", "succeeded"]


def test_an_incremental_run_continues_where_coverage_ends(version, sources):
    materialize(version, end=AT - 6 * HOUR)
    write_rows(sources, [*ROWS, (1001, AT, AT, 0.1, 12)])

    run = materialize(version, end=AT)

    assert (run.kind, run.window) == ("incremental", (AT - 6 * HOUR, AT))
    assert run.rows_offline == 3
    assert online(version, DRIVERS, at=AT)["avg_daily_trips"] == [12, 20, 30, None]


def test_an_incremental_run_without_new_rows_succeeds(version):
    materialize(version)

    run = materialize(version, end=AT + HOUR)

    assert (run.status, run.rows_offline) == ("succeeded", 0)
    assert marker(version).as_of == AT + HOUR


@pytest.mark.parametrize(("start", "kind"), [(None, "reload"), (AT - 2 * HOUR, "again")])
def test_a_window_that_is_stored_is_loaded_again(version, start, kind):
    materialize(version)
    get_redis().flushall()

    run = materialize(version, end=AT - HOUR, at=AT, window_start=start)

    assert (run.kind, run.status, run.rows_offline, run.rows_online) == (kind, "succeeded", 0, 3)
    assert online(version, DRIVERS, at=AT) == offline(version, DRIVERS, at=AT)


def test_a_run_that_continues_fills_the_gap_before_what_is_stored(version):
    materialize(version, window_start=AT - 4 * HOUR, end=AT)
    assert not fresh(version).is_ready

    run = materialize(version, end=AT)

    assert (run.kind, run.window, run.rows_offline) == ("incremental", (None, AT), 3)
    assert fresh(version).is_ready
    assert online(version, DRIVERS, at=AT)["avg_daily_trips"] == [11, 20, 30, None]


def test_rows_of_the_future_wait_for_the_run_that_reaches_them(version):
    materialize(version, end=AT - 4 * HOUR)
    assert online(version, DRIVERS, at=AT)["avg_daily_trips"] == [11, None, 30, None]

    materialize(version, end=AT)
    assert online(version, DRIVERS, at=AT)["avg_daily_trips"] == [11, 20, 30, None]


def test_two_versions_that_differ_in_words_share_one_run(cast, version):
    with committed():
        other = make_version(cast, text=DEFINITIONS.replace("Conversion rate", "Share of offers"))

    run = materialize(version)

    assert table_of(other) == table_of(version) == run.table
    assert fresh(other).is_ready
    assert fresh(version).is_ready
    assert online(other, DRIVERS, at=AT) == online(version, DRIVERS, at=AT)


def test_a_longer_ttl_is_loaded_again_so_that_values_stay_long_enough(cast, version):
    materialize(version)
    with committed():
        longer = make_version(cast, text=DEFINITIONS.replace("ttl: 2d", "ttl: 9d"))
    assert not loading.holds_all(table_of(longer), marker(longer), timedelta(days=9))

    run = materialize(longer)

    assert (run.kind, table_of(longer)) == ("reload", table_of(version))
    assert {get_redis().pttl(key) for key in get_redis().keys(b"r*")} == {-1}  # not before long
    assert marker(longer).ttl == timedelta(days=9)


def test_a_store_in_a_folder_that_looks_like_a_partition_keeps_its_values(
    cast, version, settings, tmp_path
):
    settings.OFFLINE_STORE = tmp_path / "avg_daily_trips=7"

    materialize(version)

    assert online(version, DRIVERS, at=AT)["avg_daily_trips"] == [11, 20, 30, None]
    assert online(version, DRIVERS, at=AT) == offline(version, DRIVERS, at=AT)


# --- What publishes nothing ----------------------------------------------------------------------


def test_a_failed_check_publishes_nothing_and_says_why(cast, sources):
    checked = VIEW.replace("type: int32,", "type: int32, checks: {max: 25},")
    write_rows(sources, ROWS)
    with committed():
        version = make_version(cast, text=DEFINITIONS.replace(VIEW, checked))
    materialize(version, end=AT - 5 * HOUR)
    before = snapshot(version), marker(version)

    run = materialize(version)

    assert (run.status, run.error_code) == ("failed", "checks_failed")
    assert "avg_daily_trips: max fails, 1 of 2 rows are above it (asked: max 25)" in run.error
    assert run.example == "avg_daily_trips: the greatest value is 30"
    assert [check["passed"] for check in run.checks] == [False]
    assert (snapshot(version), marker(version)) == before
    assert online(version, DRIVERS, at=AT)["avg_daily_trips"] == [11, None, None, None]
    assert verbs_of(run) == ["requested", "failed"]


def test_a_first_run_whose_check_fails_leaves_a_version_nobody_reads(cast, sources):
    write_rows(sources, ROWS)
    checked = VIEW.replace("type: float32,", "type: float32, checks: {not_null: 1.0},", 1)
    with committed():
        version = make_version(cast, text=DEFINITIONS.replace(VIEW, checked))

    run = materialize(version)

    assert (run.status, run.error_code) == ("failed", "checks_failed")
    assert (snapshot(version).rows, marker(version), fresh(version).is_ready) == (0, None, False)


@pytest.mark.parametrize("start", [None, AT - 9 * HOUR])
def test_a_first_run_without_rows_fails(version, sources, start):
    write_rows(sources, [])

    run = materialize(version, window_start=start)

    assert (run.status, run.error_code) == ("failed", "no_rows")
    assert "no usable row" in run.error
    assert not fresh(version).is_ready


def test_a_missing_file_is_named(version, sources):
    (sources / "driver_stats.parquet").unlink()

    run = materialize(version)

    assert (run.status, run.error_code) == ("failed", "source_file_missing")
    assert "no file matches 'driver_stats.parquet'" in run.error


def test_an_empty_file_is_named(version, sources):
    (sources / "driver_stats.parquet").write_bytes(b"")

    assert materialize(version).error_code == "source_file_empty"


def test_a_value_of_the_wrong_type_is_named_with_its_column(version, sources):
    texts = SCHEMA.set(5, pa.field("avg_daily_trips", pa.string()))
    write_rows(sources, [(*row[:4], "many") for row in ROWS], texts)

    run = materialize(version)

    assert (run.status, run.error_code) == ("failed", "source_value_invalid")
    words = "driver_stats.parquet, row 1: column 'avg_daily_trips': a value is not an int32."
    assert run.error.startswith(words)
    assert run.example == "'many'"
    assert snapshot(version).rows == 0


def test_what_nobody_expected_is_kept_with_its_traceback(version, settings):
    settings.SOURCE_SETTLE_SECONDS = "soon"

    run = materialize(version)

    assert (run.status, run.error_code) == ("errored", "unexpected")
    assert "Traceback" in run.traceback


@pytest.mark.parametrize("fault", ["value", "empty", "missing", "no parquet", "column"])
def test_no_error_of_a_run_says_where_the_root_is(version, sources, fault):
    path = sources / "driver_stats.parquet"
    if fault == "value":
        texts = SCHEMA.set(5, pa.field("avg_daily_trips", pa.string()))
        write_rows(sources, [(*row[:4], "many") for row in ROWS], texts)
    elif fault == "column":
        write_rows(sources, ROWS, SCHEMA.set(5, pa.field("avg_daily_trip", pa.int32())))
    elif fault == "missing":
        path.unlink()
    else:
        path.write_bytes(b"" if fault == "empty" else b"k,event\n")

    run = materialize(version)

    assert "driver_stats.parquet" in run.error
    assert str(sources.parent) not in run.error + run.example


def test_a_date_that_stands_for_none_is_counted_on_the_run(cast, sources):
    old = datetime(1970, 1, 1, tzinfo=UTC)
    write_rows(sources, [(1001, old, old, 0.5, 10), *ROWS])
    with committed():
        version = make_version(cast)
        run = materialize(version)

    assert (run.status, run.source_counts["placeholder_times"]) == ("succeeded", 1)


@pytest.mark.parametrize("chunk_rows", [1, 10_000_000])
def test_a_row_that_the_source_has_twice_is_stored_once(cast, sources, settings, chunk_rows):
    settings.RUN_CHUNK_ROWS = chunk_rows
    write_rows(sources, [ROWS[0], *ROWS, ROWS[0]])
    with committed():
        version = make_version(cast)
        run = materialize(version)

    assert (run.status, run.rows_offline, snapshot(version).rows) == ("succeeded", 4, 4)
    assert (run.rows_read, run.source_counts["repeated"]) == (6, 2)
    assert (len(run.chunks) > 1) == (chunk_rows == 1)
