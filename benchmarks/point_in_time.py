"""Point-in-time join: ours against plain DuckDB ``ASOF LEFT JOIN`` and, if there, polars and Feast.

Run: ``python -m benchmarks.point_in_time [--rows 1000000] [--entities 100000] [--repeat 5]``.
All sides read the same Parquet file and the same Arrow entity frame and give the same columns as
Arrow. Ours is the whole way of ``serving.historical``: keys checked, ties settled, rows in
order. ``FEAST_PYTHON`` names the interpreter of a separate environment with Feast in it, whose
offline store is ``--feast-store``. polars takes POLARS_MAX_THREADS threads.
Not for HTTP: what travels is measured nowhere here.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from materialization.compute.engine import ENGINES
from materialization.compute.limits import EngineLimits
from materialization.compute.questions import Timing
from registry.spec.model import EntitySpec, FeatureSpec, FeatureViewSpec, JoinKey
from registry.spec.sources.base import TimeColumn
from registry.spec.sources.files import FileSource
from registry.spec.version_spec import VersionSpec
from serving.historical.entity_frame import entity_frame
from serving.historical.features import JoinedFeature
from serving.historical.forms import ArrowFrame
from serving.historical.training_set import ViewPart, join_features
from serving.values import KeyColumn

try:  # a side that is there where it is installed
    import polars as pl
except ImportError:
    pl = None

if TYPE_CHECKING:
    from collections.abc import Callable

FEATURES = tuple(f"feature_{number}" for number in range(10))
DAYS = 90
#: Rows a key has on average: an entity's daily row over the three months, about.
ROWS_A_KEY = 100
LATE_SHARE = 0.1
CHECKED_ROWS = 2_000


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="assay-bench-", dir=arguments.folder) as folder:
        files = make_data(Path(folder), arguments.rows, arguments.entities, arguments.threads)
        entities = pq.read_table(files[1])
        print(setup(arguments))
        sides: dict[str, Callable[[], pa.Table]] = {
            "plain ASOF": lambda: plain_asof(files[0], entities, arguments),
            "event": lambda: ours(files[0], entities, arguments, Timing.EVENT),
            "known": lambda: ours(files[0], entities, arguments, Timing.KNOWN),
        }
        if pl is not None:
            sides["polars"] = lambda: polars_asof(files[0], entities)
        check(files[0], entities, {name: side() for name, side in sides.items()})
        times = measure(sides, arguments.repeat)
        report(times)
        if peer := os.environ.get("FEAST_PYTHON"):
            _feast(peer, files, arguments.feast_store, median(times["event"]))


def make_data(folder: Path, rows: int, entities: int, threads: int) -> tuple[Path, Path]:
    """Write feature rows in order of their event times, one in ten late, and entity rows."""
    files = folder / "features.parquet", folder / "entities.parquet"
    keys, start = max(1, rows // ROWS_A_KEY), 1_700_000_000_000_000
    span = DAYS * 86_400_000_000
    values = ", ".join(
        f"hash(i, {n}) / 18446744073709551615 AS {f}" for n, f in enumerate(FEATURES)
    )
    event = f"{start} + i * {span // rows}"
    is_late = f"hash(i, 98) % 1000 < {int(LATE_SHARE * 1000)}"
    late = f"CASE WHEN {is_late} THEN hash(i, 97) % 86400000000 ELSE 0 END"
    with duckdb.connect(config={"threads": threads}) as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute(
            f"COPY (SELECT (hash(i, 99) % {keys})::BIGINT AS driver_id,"
            f" make_timestamptz({event}) AS event_timestamp,"
            f" make_timestamptz(({event} + {late})::BIGINT) AS created_timestamp,"
            f" 1::BIGINT AS __sequence, {values} FROM range({rows}) r(i))"
            f" TO '{files[0]}' (FORMAT parquet, COMPRESSION zstd)"
        )
        engine.execute(
            f"COPY (SELECT (hash(i, 1) % {keys})::BIGINT AS driver_id,"
            f" make_timestamptz(({start} + hash(i, 2) % {span})::BIGINT) AS event_timestamp,"
            f" (i % 2)::BIGINT AS label FROM range({entities}) r(i))"
            f" TO '{files[1]}' (FORMAT parquet)"
        )
    return files


def plain_asof(features: Path, entities: pa.Table, arguments: argparse.Namespace) -> pa.Table:
    """The floor: what DuckDB gives by itself, ties and order left to chance."""
    names = ", ".join(f"f.{name}" for name in FEATURES)
    with duckdb.connect(config={"threads": arguments.threads}) as engine:
        engine.execute(f"SET TimeZone = 'UTC'; SET memory_limit = '{arguments.memory_mb}MB'")
        engine.register("entity_rows", entities)
        return engine.sql(
            f"SELECT e.*, {names} FROM entity_rows e ASOF LEFT JOIN read_parquet('{features}') f"
            " ON e.driver_id = f.driver_id AND f.event_timestamp <= e.event_timestamp"
        ).to_arrow_table()


def polars_asof(features: Path, entities: pa.Table) -> pa.Table:
    """What polars gives by itself, in memory; that the file is in order of events, it is told."""
    rows = pl.scan_parquet(features).select("driver_id", "event_timestamp", *FEATURES)
    asked = pl.from_arrow(entities).lazy().sort("event_timestamp")
    return (
        asked.join_asof(
            rows.set_sorted("event_timestamp"),
            on="event_timestamp",
            by="driver_id",
            strategy="backward",
            check_sortedness=False,  # it cannot check within keys, and warns
        )
        .collect()
        .to_arrow()
    )


def ours(
    features: Path,
    entities: pa.Table,
    arguments: argparse.Namespace,
    timing: Timing,
    *,
    views: int = 1,
) -> pa.Table:
    """The whole way of a request; of several views all have the same rows."""
    limits = EngineLimits(memory_limit_mb=arguments.memory_mb, threads=arguments.threads)
    part = ViewPart("bench", version(), (str(features),), FEATURES)
    columns = [
        JoinedFeature(name if not view else f"{name}__{view}", view, name, "float64")
        for view in range(views)
        for name in FEATURES
    ]
    keys = [KeyColumn(key.name, key.value_type, part.label) for key in part.spec.join_keys]
    frame = entity_frame(ArrowFrame(entities), keys)
    engine = ENGINES["duckdb"](limits)
    return join_features(frame, [part] * views, columns, engine=engine, timing=timing).table


def version() -> VersionSpec:
    specs = tuple(FeatureSpec(name=name, type="float64") for name in FEATURES)
    time_column = TimeColumn(column="event_timestamp")
    return VersionSpec(
        view=FeatureViewSpec(name="bench", entities=("driver",), source="s", features=specs),
        source=FileSource(name="s", path="s.parquet", event_timestamp=time_column),
        entities=(EntitySpec(name="driver", join_keys=(JoinKey(name="driver_id", type="int64"),)),),
    )


def check(features: Path, entities: pa.Table, answers: dict[str, pa.Table]) -> None:
    """Stop unless event timing equals the plain join, and known timing a slow join on a sample."""
    order = [(name, "ascending") for name in ("driver_id", "event_timestamp", "label")]
    plain = answers["plain ASOF"].select(answers["event"].column_names)
    event = answers["event"]
    assert event.select(entities.column_names).equals(
        entities.cast(event.select(entities.column_names).schema)
    )
    assert event.sort_by(order).equals(plain.sort_by(order)), "event timing differs from plain ASOF"
    if "polars" in answers:
        theirs = answers["polars"].select(event.column_names).cast(event.schema)
        assert event.sort_by(order).equals(theirs.sort_by(order)), "polars differs from plain ASOF"
    known = answers["known"].slice(0, CHECKED_ROWS)
    stored = _known_by_brute_force(features, entities.slice(0, CHECKED_ROWS))
    assert known[FEATURES[0]].combine_chunks().equals(stored), "known timing is wrong"
    differing = pc.sum(
        pc.invert(pc.equal(event[FEATURES[0]], answers["known"][FEATURES[0]]))
    ).as_py()
    print(f"answers agree; the timings differ on {differing} of {entities.num_rows} rows")


def _known_by_brute_force(features: Path, entities: pa.Table) -> pa.Array:
    numbered = entities.append_column("place", pa.array(range(entities.num_rows)))
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.register("entity_rows", numbered)
        found = engine.sql(
            f"SELECT arg_max(f.{FEATURES[0]}, (f.event_timestamp, f.created_timestamp)) AS value"
            f" FROM entity_rows e LEFT JOIN read_parquet('{features}') f"
            " ON e.driver_id = f.driver_id AND f.event_timestamp <= e.event_timestamp"
            " AND f.created_timestamp <= e.event_timestamp GROUP BY e.place ORDER BY e.place"
        ).to_arrow_table()
    return found["value"].combine_chunks()


def measure(sides: dict[str, Callable[[], pa.Table]], repeat: int) -> dict[str, list[float]]:
    """Return seconds a side, taken in turns so that what else the machine does hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeat):
        for name, side in sides.items():
            started = time.perf_counter()
            side()
            times[name].append(time.perf_counter() - started)
    return times


def report(times: dict[str, list[float]]) -> None:
    """Print medians and bests, and each as a ratio to the plain join's."""
    floor = times["plain ASOF"]
    print(f"{'':<12}{'median s':>10}{'best s':>10}{'ratio':>8}{'best':>8}")
    for name, taken in times.items():
        ratio, best = median(taken) / median(floor), min(taken) / min(floor)
        print(f"{name:<12}{median(taken):>10.3f}{min(taken):>10.3f}{ratio:>8.2f}{best:>8.2f}")


def _feast(python: str, files: tuple[Path, Path], store: str, event_seconds: float) -> None:
    script = Path(__file__).with_name("feast_point_in_time.py")
    command = [python, str(script), *map(str, files), store]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"Feast ({store}) did not answer: {_why(done)}", file=sys.stderr)
        return
    release, seconds, rows = done.stdout.strip().splitlines()[-1].split()
    ratio = float(seconds) / event_seconds
    name = f"Feast {release} {store}"
    print(f"{name:<22}{float(seconds):>10.3f}  {ratio:.1f} times event; {rows} rows")


def _why(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a process ended of: a signal, as the kernel's for want of memory, or an error."""
    if done.returncode < 0:
        return f"it was ended by {signal.Signals(-done.returncode).name}"
    said = done.stderr.strip().splitlines()
    return f"status {done.returncode}{': ' + said[-1] if said else ''}"


def setup(arguments: argparse.Namespace) -> str:
    return (
        f"{arguments.rows:,} feature rows x {len(FEATURES)} float64 ({LATE_SHARE:.0%} late,"
        f" {ROWS_A_KEY} a key), {arguments.entities:,} entity rows; DuckDB {duckdb.__version__},"
        f" {arguments.threads} threads, {arguments.memory_mb} MB,"
        f" Python {platform.python_version()}, {os.cpu_count()} cores;"
        f" {arguments.repeat} rounds, sides in turn"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="feature rows")
    parser.add_argument("--entities", type=int, default=100_000, help="entity rows")
    parser.add_argument("--repeat", type=int, default=5, help="rounds; the median counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-mb", type=int, default=4096)
    parser.add_argument("--feast-store", default="duckdb", help="duckdb or dask")
    parser.add_argument("--folder", help="where the data is made; default: the temp directory")
    return parser.parse_args()


if __name__ == "__main__":
    main()
