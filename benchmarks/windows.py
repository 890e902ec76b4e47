"""Windows as of each entity row's own time: ours against one plain DuckDB window query.

Run: ``python -m benchmarks.windows [--events 1000000] [--rows 100000] [--hot 0.5] [--late 0.1]``;
ten million events are ``--events 10000000 --rows 1000000 --memory-mb 8192``. Ours answers sum,
count and mean over four windows for each entity row, late events and exact sums included, out of
stored events. The *floor* is one RANGE window of one of them, for each event: no late events, no
exact sum. ``--hot`` is the share of one key. ``--functions min max`` asks for others, of those that
take no parameter. Not for ticks: ``aggregation``.
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
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lib.instants import MICROSECOND, to_us
from materialization.compute.duckdb_engine import DuckDBEngine
from materialization.compute.jobs import ComputeJob, Keeping
from materialization.compute.limits import EngineLimits
from materialization.compute.questions import JoinQuestion
from materialization.compute.session import open_session
from materialization.sandbox.opening import Opening
from materialization.sandbox.staging import stage_events
from materialization.sources.files import resolve_source
from materialization.transforms.aggregation.run import aggregate
from registry.choices import Accuracy
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

BEGIN, DAYS = datetime(2024, 1, 1, tzinfo=UTC), 365
END = BEGIN + timedelta(days=DAYS + 1)
WINDOWS = ("3d", "14d", "30d", "90d")
FUNCTIONS = ("sum", "count", "mean")
INSTANT = pa.timestamp("us", tz="UTC")
#: Entity rows whose sums are compared with a plain filter.
CHECKED = 50


def main() -> None:
    asked = _arguments()
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        make_events(Path(folder), asked)
        spec, events = store(Path(folder), asked)
        rows = entity_rows(asked)
        names = tuple(feature.name for feature in spec.features)
        limits = EngineLimits(
            memory_limit_mb=asked.memory_mb, threads=asked.threads, timeout_s=3600
        )
        question = JoinQuestion(spec, (), names, rows, events=events)
        ask = partial(_answer, DuckDBEngine(limits), question)
        ours = _timed(lambda: ask().num_rows, asked.repeat)
        if "sum" in asked.functions:
            check(folder, rows, ask())
        floor = _timed(partial(plain, folder, asked), asked.repeat)
        print(
            f"{asked.events:,} events, {asked.rows:,} entity rows, {asked.hot:.0%} of one key, "
            f"{asked.late:.0%} late; {', '.join(asked.functions)}: assay {ours:.1f} s, one plain "
            f"window {floor:.1f} s, {ours / floor:.2f} x"
        )


def _keys(random: np.random.Generator, count: int, asked: argparse.Namespace) -> np.ndarray:
    keys = random.integers(1, max(2, asked.events // 100), count)
    keys[random.random(count) < asked.hot] = 0
    return keys


def make_events(folder: Path, asked: argparse.Namespace) -> None:
    random = np.random.default_rng(1)
    event = to_us(BEGIN) + random.integers(0, timedelta(days=DAYS) // MICROSECOND, asked.events)
    late = random.integers(0, timedelta(days=1) // MICROSECOND, asked.events)
    late[random.random(asked.events) >= asked.late] = 0
    table = {
        "k": _keys(random, asked.events, asked),
        "event": pa.array(event, INSTANT),
        "created": pa.array(event + late, INSTANT),
        "x": np.round(random.gamma(2, 50, asked.events), 2),
    }
    pq.write_table(pa.table(table), folder / "events.parquet")


def entity_rows(asked: argparse.Namespace) -> pa.Table:
    random = np.random.default_rng(2)
    at = to_us(BEGIN) + random.integers(0, timedelta(days=DAYS) // MICROSECOND, asked.rows)
    return pa.table(
        {"k": _keys(random, asked.rows, asked), "event_timestamp": pa.array(at, INSTANT)}
    )


def store(folder: Path, asked: argparse.Namespace) -> tuple[VersionSpec, tuple[str, ...]]:
    """Store the events as a first run does; return the version, with its source's schema."""
    spec, staging = _spec(asked.functions), folder / "staging"
    staging.mkdir()
    job = ComputeJob(
        spec=spec,
        source=resolve_source(spec.rows_from, root=str(folder)),
        window_end=END,
        keeping=Keeping((), arrived=END, is_first=True),
        staging=str(staging),
        sequence=1,
    )
    limits = EngineLimits(memory_limit_mb=asked.memory_mb, threads=asked.threads, timeout_s=3600)
    with (
        tempfile.TemporaryDirectory(prefix="assay-bench-") as own,
        open_session(
            limits, directory=own, only=list(job.source.paths), staging=str(staging)
        ) as connection,
    ):
        opened = Opening(connection, spec, job.source)(job.source)
        done = aggregate(
            connection,
            job,
            columns=opened.columns,
            relation=opened.relation,
            slice_rows=limits.slice_rows,
        )
        events = stage_events(connection, job, done.events)
    return msgspec.structs.replace(spec, schema=opened.schema), events.files


def _spec(functions: list[str]) -> VersionSpec:
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
                AggregationSpec(column="x", functions=tuple(functions), windows=WINDOWS),
            ),
            accuracy=Accuracy.TEMPORAL,
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


def _answer(engine: DuckDBEngine, question: JoinQuestion) -> pa.Table:
    [answer] = engine.point_in_time_joins([question])
    return answer.rows


def check(folder: str, rows: pa.Table, answer: pa.Table) -> None:
    """Compare some sums of 30 days with what a plain filter gives."""
    asked, found = rows.slice(0, CHECKED), answer["x_sum_30d"].to_pylist()[:CHECKED]
    with duckdb.connect() as connection:
        connection.register("asked", asked)
        for place, wanted in connection.execute(
            "SELECT q.place, sum(e.x) "  # noqa: S608
            "FROM (SELECT *, row_number() OVER () - 1 AS place FROM asked) AS q "
            f"LEFT JOIN '{folder}/events.parquet' AS e ON e.k = q.k "
            "AND e.event <= q.event_timestamp AND e.created <= q.event_timestamp "
            "AND epoch_us(e.event) > epoch_us(q.event_timestamp) - 30 * 86400000000 GROUP BY place"
        ).fetchall():
            mine = found[place]
            if (mine is None) != (wanted is None) or abs((mine or 0) - (wanted or 0)) > 1e-6:
                raise SystemExit(f"entity row {place}: {mine}, and a plain filter gives {wanted}")


def plain(folder: str, asked: argparse.Namespace) -> int:
    """Compute one sum over one window, at each event."""
    query = (
        "SELECT k, t, sum(x) OVER (PARTITION BY k ORDER BY t "
        f"RANGE BETWEEN {30 * 86_400_000_000 - 1} PRECEDING AND CURRENT ROW) AS x "
        f"FROM (SELECT k, epoch_us(event) AS t, x FROM '{folder}/events.parquet')"  # noqa: S608
    )
    with duckdb.connect(config={"threads": asked.threads}) as connection:
        connection.execute(f"SET memory_limit = '{asked.memory_mb}MB'")
        return sum(batch.num_rows for batch in connection.sql(query).to_arrow_reader(65_536))


def _timed(work: Callable[[], int], repeat: int) -> float:
    seconds = []
    for _ in range(repeat):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--hot", type=float, default=0.0)
    parser.add_argument("--late", type=float, default=0.1)
    parser.add_argument("--functions", nargs="+", default=list(FUNCTIONS))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-mb", type=int, default=2048)
    return parser.parse_args()


if __name__ == "__main__":
    main()
