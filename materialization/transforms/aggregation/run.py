# ruff: noqa: S608 - only names of our own stages are written into the SQL
"""Run the stages of an aggregated view on a locked connection, one temporary table after another.

Not for their SQL (``stages``, ``states``). The tables spill to the private temp directory.
"""

from __future__ import annotations

from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from msgspec.structs import replace

from lib.instants import MICROSECOND, from_us, to_us
from materialization.compute.jobs import ComputeJob, Counters
from materialization.errors import TooManyTicks, placed
from materialization.placeholder_dates import count_apart, counts_sql, said
from materialization.ticks import last_tick
from materialization.transforms.aggregation import sparse_ticks, stages
from materialization.transforms.aggregation.aggregates import Aggregates, read_aggregates
from materialization.transforms.aggregation.copies import count_copies
from materialization.transforms.aggregation.deriving import create_computed, derived_types
from materialization.transforms.aggregation.events import new_events_sql, reach_sql
from materialization.transforms.aggregation.exact_sums import (
    Found,
    bins_sql,
    extent_sql,
    numbered_bins,
    one_bin,
)
from materialization.transforms.aggregation.rounding import EXACTLY, exactly
from materialization.transforms.aggregation.tick_grid import TickGrid, make_grid
from materialization.transforms.aggregation.trimming import refuse_trimmed
from materialization.transforms.base import base_casts, no_key_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    import duckdb
    from numpy.typing import NDArray

    from lib.errors import AssayError
    from registry.spec.model import ScheduleSpec, VersionSpec


class Aggregated(NamedTuple):
    """``queries`` give the rows to store, one slice of the keys each, to be read one by one.

    ``events`` gives what is to be stored beside them; empty: that is not asked for.
    """

    queries: Iterator[str]
    slices: int
    counters: Counters
    events: str = ""


def aggregate(
    connection: duckdb.DuckDBPyConnection,
    job: ComputeJob,
    *,
    columns: Mapping[str, str],
    relation: str,
    slice_rows: int,
) -> Aggregated:
    """Read the rows of the job's window; computing follows as the queries are taken.

    :raises UnknownColumn: an aggregated column the source does not have.
    :raises SourceValueInvalid: a type the function or the feature cannot take.
    :raises TooManyTicks: between the first row, or the view's start, and the run's end.
    """
    register(connection)
    schedule = schedule_of(job.spec)
    aggregates = read_aggregates(job.spec, columns)
    # No tick sees what comes after the last, but whoever asks as of a later instant does.
    end = job.window_end if job.keeping else last_tick(schedule, job.window_end)
    last = to_us(end)
    begin = _begin(job)
    first = to_us(begin) if begin is not None else None
    if begin is not None and job.window_start is not None:  # then no row can make it later
        make_grid(schedule, begin=begin, end=job.window_end)
    raw = stages.raw_sql(
        base_casts(job.spec, columns), aggregates, relation=relation, last=last, first=first
    )
    create(connection, "raw", raw)
    counters, earliest = _count(connection, job)
    refuse_trimmed(connection, job, counters.first_event, columns, relation)
    copies = count_copies(
        connection,
        job.spec,
        aggregates,
        columns,
        relation=relation,
        rows=counters.rows_read,
        raw="raw",
        within=stages.wanted_sql(aggregates, last=last, first=first),
    )
    counters = replace(counters, copies=copies)
    before = to_us(job.window_start) if job.window_start is not None else 0
    state = job.state_files if job.window_start is not None else ()
    create(connection, "state", stages.state_sql(job.spec, state, before))
    try:
        grid = _grid(job, schedule, earliest)
    except TooManyTicks as exc:
        raise _explained(exc, job, counters.placeholder_times) from exc
    events = ""
    if job.keeping is not None:
        events = new_events_sql(job, job.keeping, aggregates, reach_sql(aggregates, first))
    if grid is None:
        return Aggregated(iter(()), 0, counters, events)
    slices = 1 + counters.rows_read * len(aggregates.windows) // slice_rows
    return Aggregated(_sliced(connection, job, aggregates, grid, slices), slices, counters, events)


def _sliced(
    connection: duckdb.DuckDBPyConnection,
    job: ComputeJob,
    aggregates: Aggregates,
    grid: TickGrid,
    slices: int,
) -> Iterator[str]:
    """Compute one slice of the keys after the other and give the query of its rows."""
    _create_ticks(connection, job, grid)
    aggregates = aggregates.with_found(facts_of(connection, aggregates))
    types = derived_types(connection, job.spec.view)
    create(connection, "all_keys", stages.keys_sql(job.spec))
    for number in range(slices):
        sql = f"SELECT * FROM all_keys WHERE kid % {slices} = {number}"
        create(connection, "keys", sql)
        values = _stage(connection, job, aggregates, grid)
        create_computed(connection, job.spec.view, values, types)
        with_beats = _store(connection, job, aggregates, grid)
        yield sparse_ticks.stored_sql(job.spec, grid, with_beats=with_beats)


def schedule_of(spec: VersionSpec) -> ScheduleSpec:
    schedule = spec.view.schedule
    if schedule is None:  # the registry refuses it: the schedule makes the ticks
        raise ValueError(f"{spec.view.name} aggregates without a schedule")
    return schedule


def _begin(job: ComputeJob) -> datetime | None:
    """Return the instant no tick of the run lies before; None when only the rows can tell."""
    start, view_start = job.window_start, job.spec.view.start
    given = (
        [view_start if view_start.tzinfo else view_start.replace(tzinfo=UTC)] if view_start else []
    )
    given += [start + MICROSECOND] if start is not None else []
    return max(given, default=None)


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the connection know ``EXACTLY``; it has to be closed before the process ends."""
    connection.create_function(
        EXACTLY, exactly, ["HUGEINT[]", "INTEGER[]", "INTEGER", "HUGEINT"], "DOUBLE"
    )


def create(connection: duckdb.DuckDBPyConnection, name: str, sql: str) -> None:
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}")


def number_of(connection: duckdb.DuckDBPyConnection, sql: str) -> int | None:
    number: int | None = connection.execute(sql).fetchall()[0][0]
    return number


def _count(connection: duckdb.DuckDBPyConnection, job: ComputeJob) -> tuple[Counters, int | None]:
    """Return the counters and the instant (µs) at which the first usable row became visible."""
    no_key = no_key_sql(job.spec)
    rows, no_time, without_key, earliest, first, counts = connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE e IS NULL), "
        f"count(*) FILTER (WHERE e IS NOT NULL AND ({no_key})), "
        f"min(v) FILTER (WHERE e IS NOT NULL AND NOT ({no_key})), "
        f"min(e) FILTER (WHERE NOT ({no_key})), "
        f"{counts_sql('e', f'NOT ({no_key})')} FROM raw"
    ).fetchall()[0]
    counters = Counters(
        rows_read=rows,
        dropped_null_key=without_key,
        dropped_null_time=no_time,
        placeholder_times=count_apart(counts),
        first_event=None if first is None else from_us(first),
    )
    return counters, earliest


def _grid(job: ComputeJob, schedule: ScheduleSpec, earliest: int | None) -> TickGrid | None:
    begin = _begin(job)
    if begin is None and earliest is None:
        return None
    if begin is None or (job.window_start is None and earliest is not None):
        # No tick before the first row can have anything to say.
        begin = max(filter(None, [begin, from_us(earliest or 0)]))
    return make_grid(schedule, begin=begin, end=job.window_end)


def _explained(error: TooManyTicks, job: ComputeJob, placeholders: int) -> AssayError:
    """Return the refusal with the rows that may be why."""
    column = job.spec.rows_from.event_timestamp.column
    return placed(error, said(placeholders, column) if placeholders else "")


def _stage(
    connection: duckdb.DuckDBPyConnection, job: ComputeJob, aggregates: Aggregates, grid: TickGrid
) -> str:
    """Create the tables from ``spans`` on; return the query of the aggregates at each candidate."""
    spec = job.spec
    create(connection, "rows", stages.rows_sql(spec, aggregates))
    create(connection, "spans", stages.spans_sql(aggregates, grid))
    create(connection, "stays", stages.stays_sql(aggregates))
    still = stages.states_as_moves_sql(spec)
    running = stages.running_sql(aggregates, beyond=grid.count, still=still)
    create(connection, "running", running)
    return aggregates_of(connection, aggregates)


def aggregates_of(connection: duckdb.DuckDBPyConnection, aggregates: Aggregates) -> str:
    """Return the query of the aggregates at each candidate, once those are ``running``."""
    parts = []
    for calls in aggregates.by_kind():
        last = None
        for last, sql in calls[0][1].tables(calls, partial(number_of, connection)):
            create(connection, last, sql)
        parts += [last] if last else []
    return stages.values_sql(aggregates, parts)


def _create_ticks(connection: duckdb.DuckDBPyConnection, job: ComputeJob, grid: TickGrid) -> None:
    if grid.period is not None:
        return
    _create_from(connection, "ticks", t=grid.listed, i=np.arange(len(grid.listed)))
    if job.spec.ttl is not None:
        _create_from(connection, "hops", i=np.arange(grid.count), j=grid.hops(job.spec.ttl))


def _create_from(
    connection: duckdb.DuckDBPyConnection, name: str, **columns: NDArray[np.int64]
) -> None:
    connection.register("given", pa.table(columns))
    create(connection, name, "SELECT * FROM given")
    connection.unregister("given")


def facts_of(connection: duckdb.DuckDBPyConnection, aggregates: Aggregates) -> dict[int, Found]:
    """Look once at the doubles to be added: their exponents decide how they are split."""
    facts = {}
    for number in aggregates.split_arguments:
        count, least, greatest, non_finite = _asked(connection, extent_sql(f"a{number}"))
        bins = one_bin(count, least, greatest)
        if bins is None:
            (numbers,) = _asked(connection, bins_sql(f"a{number}"))
            bins = numbered_bins(numbers)
        facts[number] = Found(bins, non_finite)
    return facts


def _asked(connection: duckdb.DuckDBPyConnection, aggregates: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] = connection.execute(f"SELECT {aggregates} FROM raw").fetchall()[0]
    return row


def _store(
    connection: duckdb.DuckDBPyConnection, job: ComputeJob, aggregates: Aggregates, grid: TickGrid
) -> bool:
    """Create ``kept`` and, with a TTL, ``beats``; say whether there are beats."""
    is_empty = stages.is_empty_sql(aggregates)
    create(connection, "kept", sparse_ticks.kept_sql(job.spec, grid, is_empty=is_empty))
    beats = sparse_ticks.beats_sql(job.spec, grid)
    if beats is not None:
        create(connection, "beats", beats)
    return beats is not None
