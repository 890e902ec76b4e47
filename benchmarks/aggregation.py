"""Rolling windows at ticks: ours against plain DuckDB windows over the same ticks.

Run: ``python -m benchmarks.aggregation [--events 500000] [--entities 5000] [--repeat 3]``. Ours is
what the sandbox does: a locked connection reads the file and gives the rows to store. The *floor*
takes the ticks at which something changes and computes RANGE windows for them: no late rows, no
exact sums, no ties settled, every tick stored. Not for storing: ``materialization``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lib.instants import MICROSECOND, to_us
from materialization.compute.jobs import ComputeJob
from materialization.compute.limits import EngineLimits
from materialization.compute.session import open_session
from materialization.sandbox.opening import Opening
from materialization.sources.files import resolve_source
from materialization.transforms.aggregation.run import aggregate
from registry.spec.aggregations import AggregationSpec
from registry.spec.model import (
    EntitySpec,
    FeatureSpec,
    FeatureViewSpec,
    JoinKey,
    ScheduleSpec,
)
from registry.spec.sources.base import TimeColumn
from registry.spec.sources.files import FileSource
from registry.spec.version_spec import VersionSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.spec.aggregate_functions import AggregateFunction

BEGIN, DAYS = datetime(2024, 1, 1, tzinfo=UTC), 90
WINDOWS = {"1d": timedelta(days=1), "7d": timedelta(days=7)}
TICK_US = timedelta(hours=1) // MICROSECOND
SETS: dict[str, tuple[AggregateFunction, ...]] = {
    "sums": ("sum", "count", "mean"),
    "extremes": ("min", "max"),
    "all": ("sum", "count", "mean", "min", "max", "last"),
}
SQL = {"mean": "avg"}


def main() -> None:
    asked = _arguments()
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        make_events(Path(folder), asked.events, asked.entities)
        print(f"{asked.events:,} events of {asked.entities:,} entities, {DAYS} days, hourly ticks")
        for name in asked.sets.split(","):
            ours = _timed(partial(compute, folder, SETS[name], asked), asked.repeat)
            floor = _timed(partial(plain, folder, SETS[name], asked), asked.repeat)
            features = len(SETS[name]) * len(WINDOWS)
            print(
                f"{name:9} {features:2} features: assay {ours[0]:7.1f} s ({ours[1]:,} rows), "
                f"floor {floor[0]:7.1f} s ({floor[1]:,} rows), {ours[0] / floor[0]:.2f} x"
            )


def make_events(folder: Path, events: int, entities: int) -> None:
    """Write amounts with two digits; each is loaded within a minute."""
    random = np.random.default_rng(1)
    event = to_us(BEGIN) + random.integers(0, timedelta(days=DAYS) // MICROSECOND, events)
    created = event + random.integers(0, timedelta(minutes=1) // MICROSECOND, events)
    instant = pa.timestamp("us", tz="UTC")
    table = {
        "k": random.integers(0, entities, events),
        "event": pa.array(event, instant),
        "created": pa.array(created, instant),
        "x": np.round(random.gamma(2, 50, events), 2),
    }
    pq.write_table(pa.table(table), folder / "events.parquet")


def compute(
    folder: str, functions: tuple[AggregateFunction, ...], asked: argparse.Namespace
) -> int:
    spec = _spec(functions)
    job = ComputeJob(
        spec=spec,
        source=resolve_source(spec.rows_from, root=folder),
        window_end=BEGIN + timedelta(days=DAYS + 10),
    )
    limits = EngineLimits(memory_limit_mb=asked.memory_mb, threads=asked.threads)
    paths = list(job.source.paths)
    with (
        tempfile.TemporaryDirectory(prefix="assay-bench-") as own,
        open_session(limits, directory=own, only=paths) as connection,
    ):
        opened = Opening(connection, spec, job.source)(job.source)
        done = aggregate(
            connection,
            job,
            columns=opened.columns,
            relation=opened.relation,
            slice_rows=limits.slice_rows,
        )
        return sum(_rows(connection, query) for query in done.queries)


def _rows(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    return sum(batch.num_rows for batch in connection.sql(query).to_arrow_reader(65_536))


def _spec(functions: tuple[AggregateFunction, ...]) -> VersionSpec:
    names = [f"x_{function}_{window}" for function in functions for window in WINDOWS]
    return VersionSpec(
        view=FeatureViewSpec(
            name="windows",
            entities=("entity",),
            source="events",
            features=tuple(
                FeatureSpec(name=name, type="int64" if "count" in name else "float64")
                for name in names
            ),
            aggregations=(
                AggregationSpec(column="x", functions=functions, windows=tuple(WINDOWS)),
            ),
            schedule=ScheduleSpec(every="1h"),
        ),
        source=FileSource(
            name="events",
            path="events.parquet",
            event_timestamp=TimeColumn(column="event"),
            created_timestamp=TimeColumn(column="created"),
        ),
        entities=(EntitySpec(name="entity", join_keys=(JoinKey(name="k", type="int64"),)),),
    )


def plain(folder: str, functions: tuple[AggregateFunction, ...], asked: argparse.Namespace) -> int:
    """Compute the same features at the ticks at which a row enters or leaves a window."""
    lengths = [length // MICROSECOND for length in WINDOWS.values()]
    values = ", ".join(
        f"{SQL.get(str(function), function)}(x) OVER (PARTITION BY k ORDER BY t "
        f"RANGE BETWEEN {length - 1} PRECEDING AND CURRENT ROW)"
        for function in functions
        for length in lengths
    )
    ticks = " UNION ".join(
        f"SELECT k, (t + {length + TICK_US - 1}) // {TICK_US} * {TICK_US} AS t FROM events"
        for length in [0, *lengths]
    )
    query = (
        f"WITH events AS (SELECT k, epoch_us(event) AS t, x FROM '{folder}/events.parquet'), "  # noqa: S608
        f"marked AS (SELECT k, t, x, FALSE AS is_tick FROM events UNION ALL "
        f"SELECT k, t, NULL, TRUE FROM ({ticks})) SELECT * FROM "
        f"(SELECT k, t, is_tick, {values} FROM marked) WHERE is_tick"
    )
    with duckdb.connect(config={"threads": asked.threads}) as connection:
        connection.execute(f"SET memory_limit = '{asked.memory_mb}MB'")
        return _rows(connection, query)


def _timed(work: Callable[[], int], repeat: int) -> tuple[float, int]:
    seconds, rows = [], 0
    for _ in range(repeat):
        began = time.perf_counter()
        rows = work()
        seconds.append(time.perf_counter() - began)
    return median(seconds), rows


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--entities", type=int, default=5_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-mb", type=int, default=2048)
    parser.add_argument("--sets", default=",".join(SETS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
