from __future__ import annotations

from datetime import UTC, datetime, timedelta

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from croniter import croniter
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.instants import from_us, to_us
from materialization.errors import NoTick, TooManyTicks, from_report, to_report
from materialization.placeholder_dates import count_apart, counts_sql
from materialization.stores.columns import INSTANT
from materialization.ticks import (
    MOST_TICKS,
    cron_ticks_us,
    first_tick,
    last_tick,
    ticks_between,
)
from materialization.transforms.aggregation.tick_grid import make_grid
from registry.spec.aggregations import AggregationSpec
from registry.spec.durations import parse_duration
from registry.spec.model import ScheduleSpec
from tests.materialization.engine_cases import at, compute_here, make_spec

HOURLY = ScheduleSpec(every="1h")
QUARTERS = ScheduleSpec(cron="*/15 6-7 * * *")
US = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("schedule", "instant", "last", "first"),
    [
        (HOURLY, "2024-01-01T10:00", "2024-01-01T10:00", "2024-01-01T10:00"),
        (HOURLY, "2024-01-01T10:00:00.000001", "2024-01-01T10:00", "2024-01-01T11:00"),
        (HOURLY, "1969-12-31T23:59:59.999999", "1969-12-31T23:00", "1970-01-01T00:00"),
        (ScheduleSpec(every="7d"), "1970-01-02T00:00", "1970-01-01T00:00", "1970-01-08T00:00"),
        (QUARTERS, "2024-01-01T06:15", "2024-01-01T06:15", "2024-01-01T06:15"),
        (QUARTERS, "2024-01-01T06:14:59.999999", "2024-01-01T06:00", "2024-01-01T06:15"),
        (QUARTERS, "2024-01-01T08:00", "2024-01-01T07:45", "2024-01-02T06:00"),
        (QUARTERS, "1965-06-01T05:00", "1965-05-31T07:45", "1965-06-01T06:00"),
    ],
)
def test_the_ticks_around_an_instant(schedule, instant, last, first):
    assert last_tick(schedule, at(instant)) == at(last)
    assert first_tick(schedule, at(instant)) == at(first)


def test_a_start_is_outside_and_an_end_inside():
    ticks = ticks_between(HOURLY, at("2024-01-01T10:00"), at("2024-01-01T12:00"))

    assert ticks == [at("2024-01-01T11:00"), at("2024-01-01T12:00")]


@pytest.mark.parametrize(
    "cron", ["15 * * * *", "*/5 1-3 * * 1", "0 0 1,15 * 1", "30 12 l * *", "0 */6 29 2 *"]
)
def test_cron_ticks_are_those_croniter_steps_through(cron):
    start, end = at("2023-12-30T10:20"), at("2024-03-02T00:00")
    steps, stepped = croniter(cron, start), []
    while (tick := steps.get_next(datetime)) <= end:
        stepped.append(tick)

    assert ticks_between(ScheduleSpec(cron=cron), start, end) == stepped


def test_a_cron_that_never_comes_says_so():
    with pytest.raises(NoTick, match="0 0 30 2") as caught:
        first_tick(ScheduleSpec(cron="0 0 30 2 *"), at("2024-01-01T00:00"))

    # In the sandbox as well: another process is told the same, and that trying again is no use.
    assert isinstance(from_report(to_report(caught.value)), NoTick)


@pytest.mark.parametrize(("most", "is_refused"), [(287, True), (288, False)])
def test_more_cron_ticks_than_can_be_listed_are_refused(most, is_refused):
    begin, end = at("2024-01-01T00:00") - US, at("2024-01-01T23:59")
    cron = ScheduleSpec(cron="*/5 * * * *")

    if is_refused:
        with pytest.raises(TooManyTicks, match="more than 287 ticks") as caught:
            cron_ticks_us(cron, begin, end, most=most)
        assert caught.value.example == "2024-01-01T00:00:00+00:00"
    else:
        assert len(cron_ticks_us(cron, begin, end, most=most)) == 288


@pytest.mark.parametrize("every", ["1s", "5s"])
def test_even_ticks_have_the_same_limit(every):
    schedule, begin = ScheduleSpec(every=every), at("2024-01-01T00:00")
    period = parse_duration(every)
    last = begin + (MOST_TICKS - 1) * period

    assert make_grid(schedule, begin=begin, end=last).count == MOST_TICKS
    with pytest.raises(TooManyTicks, match=f"every {every} has more than 5,000,000 ticks"):
        make_grid(schedule, begin=begin, end=last + period)


MINUTES = [ScheduleSpec(cron="*/5 * * * *"), ScheduleSpec(every="5m")]
SUMS = {
    "features": [("x_sum_3h", "int64")],
    "aggregations": (AggregationSpec(column="x", functions=("sum",), windows=("3h",)),),
}


def write_times(folder, *times):
    """Write rows of one key each, at seconds since 1970."""
    event = pa.array([1_000_000 * second for second in times], INSTANT)
    numbers = list(range(1, len(times) + 1))
    pq.write_table(pa.table({"k": numbers, "event": event, "x": numbers}), folder / "rows.parquet")


@pytest.mark.parametrize("schedule", MINUTES)
def test_one_row_of_1970_does_not_make_the_ticks_of_half_a_century(tmp_path, schedule):
    """As by a time that was 0 in the source: the run says which, instead of taking the memory."""
    write_times(tmp_path, 0, 1_700_000_000)
    spec = make_spec(**SUMS, schedule=schedule)
    end = at("2026-01-01T00:00")

    with pytest.raises(TooManyTicks, match=r"^1 row has a date in 'event'.*set `start:`") as caught:
        compute_here(spec, tmp_path, end=end)
    assert caught.value.example == "1970-01-01T00:00:00+00:00"
    assert "1970-01-01" not in caught.value.message

    view = msgspec.structs.replace(spec.view, start=at("2023-01-01T00:00"))
    table, _ = compute_here(msgspec.structs.replace(spec, view=view), tmp_path, end=end)
    assert table["x_sum_3h"].to_pylist() == [2, None]


def test_rows_of_1900_are_counted_and_make_no_more_ticks_than_others(tmp_path):
    write_times(tmp_path, -2_208_988_800, -2_208_988_800, 1_700_000_000, 1_700_000_000)
    spec = make_spec(**SUMS, schedule=HOURLY, ttl="1h")

    table, counters = compute_here(spec, tmp_path, end=at("2026-01-01T00:00"))

    assert counters.placeholder_times == 2
    counts = table["k"].value_counts().to_pylist()
    assert {each["values"]: each["counts"] for each in counts} == dict.fromkeys([1, 2, 3, 4], 4)


@pytest.mark.parametrize(
    ("times", "named"),
    [
        ([0], 1),  # alone
        ([0, 20_000], 2),  # midnight of another zone
        ([0, 0, 86_400 * 366], 2),
        ([0, 86_400 * 364], 0),  # a history that begins there
        ([-86_400, 0, 1_700_000_000], 0),
        ([-2_208_988_800, 0, 86_400], 1),  # 1900 stands apart from a history of 1970
    ],
)
def test_a_date_stands_for_none_where_nothing_is_near_it(times, named):
    with duckdb.connect() as connection:
        rows = ", ".join(f"({1_000_000 * second})" for second in times)
        sql = f"SELECT {counts_sql('us')} FROM (VALUES {rows}) AS given(us)"
        ((counts,),) = connection.execute(sql).fetchall()

    assert count_apart(counts) == named


def test_cron_reaches_back_to_the_first_year():
    grid = make_grid(
        ScheduleSpec(cron="0 0 1 1 *"),
        begin=datetime(1, 1, 1, tzinfo=UTC),
        end=datetime(9, 6, 1, tzinfo=UTC),
    )

    assert [from_us(int(tick)).year for tick in grid.listed] == [2, 3, 4, 5, 6, 7, 8, 9, 10]


instants = st.datetimes(datetime(1960, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@settings(max_examples=60)
@given(instants, st.sampled_from([HOURLY, QUARTERS, ScheduleSpec(every="7d")]))
def test_first_and_last_enclose_an_instant_with_no_tick_between(instant, schedule):
    last, first = last_tick(schedule, instant), first_tick(schedule, instant)

    assert last <= instant <= first
    assert ticks_between(schedule, last, first - US) == []
    assert first_tick(schedule, last) == last
    assert from_us(to_us(instant)) == instant
