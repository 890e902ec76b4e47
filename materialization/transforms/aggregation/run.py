# ruff: noqa: S608 - only names of our own stages are written into the SQL
"""Run the stages of an aggregated view on a locked connection, one temporary table after another.

Not for their SQL (``stages``, ``states``). The tables spill to the private temp directory.
"""

from __future__ import annotations

from datetime import UTC
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from lib.instants import MICROSECOND, from_us, to_us
from lib.sql_text import key_list
from materialization.compute.jobs import ComputeJob
from materialization.compute.reports import Counters
from materialization.errors import TooManyTicks, placed
from materialization.placeholder_dates import count_apart, counts_sql, said
from materialization.ticks import last_tick
from materialization.transforms.aggregation import sparse_ticks, stages
from materialization.transforms.aggregation.aggregates import Aggregates, read_aggregates
from materialization.transforms.aggregation.computing import (
    aggregates_of,
    by_slice,
    create,
    create_ticks,
    facts_of,
    register,
)
from materialization.transforms.aggregation.copies import count_copies
from materialization.transforms.aggregation.deriving import create_computed, derived_types
from materialization.transforms.aggregation.encoding import (
    EMPTIED,
    at_ticks_sql,
    emptied_sql,
    marks_empty,
    tick_before,
)
from materialization.transforms.aggregation.events import new_events_sql, reach_sql
from materialization.transforms.aggregation.tick_grid import TickGrid, make_grid
from materialization.transforms.aggregation.trimming import refuse_trimmed
from materialization.transforms.base import base_casts, no_key_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    import duckdb

    from lib.errors import AssayError
    from registry.spec.model import ScheduleSpec
    from registry.spec.version_spec import VersionSpec


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
    since = _since(job, first)
    before = tick_before(job.spec, job.window_start)
    if since is not None and before is not None:
        since = min(since, to_us(before))
    wanted = stages.wanted_sql(aggregates, last=last, first=since)
    counters, earliest = _read(connection, job, aggregates, columns, relation, wanted)
    begun = to_us(job.window_start) if job.window_start is not None else 0
    state = job.state_files if job.window_start is not None else ()
    create(connection, "state", stages.state_sql(job.spec, state, begun))
    try:
        grid = _grid(job, schedule, earliest)
    except TooManyTicks as exc:
        raise _explained(exc, job, counters.placeholder_times) from exc
    events = ""
    if job.keeping is not None:
        events = new_events_sql(job, job.keeping, aggregates, reach_sql(aggregates, since))
    if grid is None:
        return Aggregated(iter(()), 0, counters, events)
    slices = slices_of(counters.rows_read, aggregates, slice_rows)
    return Aggregated(_sliced(connection, job, aggregates, grid, slices), slices, counters, events)


def slices_of(rows: int, aggregates: Aggregates, slice_rows: int) -> int:
    return 1 + rows * len(aggregates.windows) // slice_rows


def _read(
    connection: duckdb.DuckDBPyConnection,
    job: ComputeJob,
    aggregates: Aggregates,
    columns: Mapping[str, str],
    relation: str,
    wanted: str,
) -> tuple[Counters, int | None]:
    """Create ``raw``, the ``wanted`` rows; return what ``_count`` does, with copies."""
    raw = stages.raw_sql(base_casts(job.spec, columns), aggregates, relation, wanted)
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
        within=wanted,
    )
    return replace(counters, copies=copies), earliest


def _sliced(
    connection: duckdb.DuckDBPyConnection,
    job: ComputeJob,
    aggregates: Aggregates,
    grid: TickGrid,
    slices: int,
) -> Iterator[str]:
    """Compute one slice of the keys after the other and give the query of its rows."""
    for aggregated in computed(connection, job, aggregates, grid, slices):
        if job.spec.has_encodings:
            is_empty = stages.is_empty_sql(aggregated)
            create(connection, "computed", at_ticks_sql(job.spec, grid, is_empty))
        with_beats = _store(connection, job, aggregated, grid)
        yield sparse_ticks.stored_sql(job.spec, grid, with_beats=with_beats)


def computed(
    connection: duckdb.DuckDBPyConnection,
    job: ComputeJob,
    aggregates: Aggregates,
    grid: TickGrid,
    slices: int,
) -> Iterator[Aggregates]:
    """Have every value at every candidate in ``computed``, of one slice of the keys at a time.

    ``raw`` and ``state`` are there. Each time the aggregates are given as the rows decide them.
    """
    aggregates = aggregates.with_found(facts_of(connection, aggregates))
    types = derived_types(connection, job.spec.view)
    create(connection, "all_keys", stages.keys_sql(job.spec))
    keys = key_list(job.spec.join_keys)
    rows = by_slice(connection, f"(SELECT * FROM raw JOIN all_keys USING ({keys}))", slices)
    for number, of_slice in enumerate(rows):
        sql = f"SELECT * FROM all_keys WHERE kid % {slices} = {number}"
        create(connection, "keys", sql)
        create(connection, "rows", stages.rows_sql(aggregates, of_slice))
        _create_emptied(connection, job, aggregates)
        create_ticks(connection, grid, job.spec.ttl)
        values = _stage(connection, job, aggregates, grid)
        create_computed(connection, job.spec.view, values, types)
        yield aggregates


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


def _since(job: ComputeJob, first: int | None) -> int | None:
    """Return the instant (µs) whose windows are looked at, from the first tick (µs) of the run.

    No window of a tick has what comes later than the longest of them, but whoever asks by event
    time alone sees it, so events are looked for as far back as other rows are.
    """
    back = job.spec.rows_from.look_back
    if first is None or job.keeping is None or back is None:
        return first
    return first - back // MICROSECOND


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
    create(connection, "spans", stages.spans_sql(aggregates, grid))
    create(connection, "stays", stages.stays_sql(aggregates))
    still = stages.states_as_moves_sql(spec)
    running = partial(stages.running_sql, beyond=grid.count, still=still)
    return aggregates_of(connection, aggregates.nested(), lambda some: grid.dated(running(some)))


def _create_emptied(
    connection: duckdb.DuckDBPyConnection, job: ComputeJob, aggregates: Aggregates
) -> None:
    """Create what says of keys with a stored row whether they were empty at the tick before."""
    if not marks_empty(job.spec):
        return
    before, grid = tick_before(job.spec, job.window_start), None
    if before is not None:
        grid = make_grid(schedule_of(job.spec), begin=before, end=before)
    if grid is None:
        create(connection, EMPTIED, "SELECT 0 AS kid, TRUE AS is_empty WHERE FALSE")
        return
    create_ticks(connection, grid, job.spec.ttl)
    values = _stage(connection, job, aggregates, grid)
    create(connection, EMPTIED, emptied_sql(values, stages.is_empty_sql(aggregates)))


def _store(
    connection: duckdb.DuckDBPyConnection, job: ComputeJob, aggregates: Aggregates, grid: TickGrid
) -> bool:
    """Create ``kept`` and, with a TTL, ``beats``; say whether there are beats."""
    is_empty = None if marks_empty(job.spec) else "FALSE"
    if not job.spec.has_encodings:
        is_empty = stages.is_empty_sql(aggregates)
    create(connection, "kept", sparse_ticks.kept_sql(job.spec, grid, is_empty=is_empty))
    beats = sparse_ticks.beats_sql(job.spec, grid)
    if beats is not None:
        create(connection, "beats", beats)
    return beats is not None
