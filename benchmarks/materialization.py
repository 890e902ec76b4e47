"""Materialization: rows a second from a Parquet file of ten features into Redis.

A whole run of ours (read, check, offline commit, online merge) and its online write alone, against
the floor (DuckDB's latest row a key plus pipelined SETs) and, with FEAST_PYTHON, Feast.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import subprocess
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import duckdb
import msgspec
import psutil
import redis

from benchmarks import parts

if TYPE_CHECKING:
    from materialization.models import MaterializationRun
    from registry.models import FeatureViewVersion

NUMBERS = ", ".join(parts.FEATURES)
LATEST = """
    SELECT driver_id, epoch_us(event_timestamp), epoch_us(created), 1, {numbers}
    FROM read_parquet('{file}')
    QUALIFY row_number() OVER (
        PARTITION BY driver_id ORDER BY event_timestamp DESC, created DESC
    ) = 1
"""
BATCH = 10_000
#: What is measured beside a whole run.
SIDES = ("write", "floor", "feast-file", "feast-duckdb")


def approved_version(folder: Path, redis_url: str) -> FeatureViewVersion:
    parts.use_server(folder, redis_url)
    from tests import factories

    people = factories.make_cast(root=str(parts.source_folder(folder)))
    return factories.make_version(people, text=parts.definitions("wide.parquet"))


def whole_run(version: FeatureViewVersion) -> MaterializationRun:
    """Perform what is due as a worker would.

    :raises RuntimeError: the run did not succeed.
    """
    from materialization.requests.runs import request_run
    from materialization.runner import run as runner

    now = datetime.now(UTC)
    run = request_run(version=version, window_end=now, at=now, actor=None)
    runner.run(run_id=run.pk, worker="benchmark", clock=lambda: datetime.now(UTC))
    run.refresh_from_db()
    if run.status != "succeeded":
        raise RuntimeError(f"the run {run.status}: {run.error}\n{run.traceback}")
    return run


class Peak:
    """The most memory that this process and its sandbox have together while the block runs."""

    def __enter__(self) -> Peak:
        self.mb, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        here = psutil.Process()
        while not self._over.wait(0.1):
            family = [here, *here.children(recursive=True)]
            ours = [each for each in family if "redis" not in each.name()]
            self.mb = max(self.mb, sum(each.memory_info().rss for each in ours) >> 20)


def measured_runs(version: FeatureViewVersion, redis_url: str) -> dict[str, float | None]:
    """Return the seconds of a first and of a second run; print what the first took beside them."""
    client = redis.Redis.from_url(redis_url)
    before, begin = client.info("memory")["used_memory"], time.perf_counter()
    with Peak() as peak:
        run = whole_run(version)
    first = time.perf_counter() - begin
    held = client.info("memory")["used_memory"] - before
    seconds = run.profile["seconds"]
    print(f"memory of worker and sandbox at most {peak.mb:,} MB")
    print(f"{held / run.rows_online:.0f} bytes a row in Redis ({run.rows_online:,} rows)")
    print(f"staging {seconds['staging']} s, profile {seconds['profiling']} s", end=" ")
    print(f"({100 * seconds['profiling'] / first:.0f} % of the run)")
    begin = time.perf_counter()
    whole_run(version)
    return {"assay, whole run": first, "assay, second run": time.perf_counter() - begin}


def online_write(version: FeatureViewVersion, file: Path) -> float:
    """Write the file's rows into an emptied Redis, nothing else; return the seconds."""
    from lib.connections import get_redis
    from materialization.edges.stores import online_store
    from materialization.stores.columns import CREATED, EVENT, SEQUENCE
    from materialization.stores.layout import layout_of

    get_redis().flushdb(asynchronous=True)
    while get_redis().info("memory")["lazyfree_pending_objects"]:
        time.sleep(0.1)  # freeing takes a core of its own
    uid = version.table.uid
    layout = layout_of(version.spec, uid=uid)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        header = f"event_timestamp AS {EVENT}, created AS {CREATED}, 1 AS {SEQUENCE}"
        query = f"SELECT driver_id, {header}, {NUMBERS} FROM read_parquet('{file}')"
        rows = connection.sql(query).to_arrow_table()
    begin = time.perf_counter()
    store = online_store()
    store.write(layout, rows.to_batches(), ttl=version.spec.ttl, at=datetime.now(UTC))
    return time.perf_counter() - begin


def floor(file: Path, redis_url: str) -> float:
    """Latest row a key by DuckDB, one SET a row in pipelines; return the seconds."""
    client, encode = redis.Redis.from_url(redis_url, db=3, protocol=2), msgspec.msgpack.encode
    begin = time.perf_counter()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(LATEST.format(file=file, numbers=NUMBERS))
        while rows := found.fetchmany(BATCH):
            with client.pipeline(transaction=False) as pipeline:
                for key, *values in rows:
                    pipeline.set(b"floor:%d" % key, encode(values))
                pipeline.execute()
    return time.perf_counter() - begin


def feast(file: Path, folder: Path, redis_url: str, store: str) -> float | None:
    """Return the seconds of Feast's ``materialize``, None when there is no Feast or it failed.

    ``store`` is its offline store.
    """
    python = parts.feast_python()
    if python is None:
        print("Feast: skipped. Set FEAST_PYTHON to the python of a venv with `feast[redis]`.")
        return None
    peer = str(parts.ROOT / "benchmarks" / "feast_peer.py")
    port = str(urlsplit(redis_url).port)
    command = [python, peer, str(folder / f"feast-{store}"), port, str(file), store]
    redis.Redis.from_url(redis_url).flushall(asynchronous=True)  # it needs the memory itself
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.splitlines() or ["no word; for want of memory?"])[-1]
        print(f"Feast: failed with exit code {done.returncode}: {reason}")
        return None
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def write_source(file: Path, rows: int, drivers: int) -> None:
    parts.wide_rows(rows, drivers=drivers).to_parquet(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--drivers", type=int, help="distinct keys; default: one a row")
    parser.add_argument("--sides", nargs="*", choices=SIDES, default=SIDES, help="beside the run")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = parts.source_folder(folder) / "wide.parquet"
        # In a process of its own: what making it takes is not what a run takes.
        given = (file, arguments.rows, arguments.drivers or arguments.rows)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            pool.apply(write_source, given)
        with parts.redis_server(folder) as redis_url:
            version = approved_version(folder, redis_url)
            seconds = measured_runs(version, redis_url)
            if "write" in arguments.sides:
                seconds["assay, online write"] = online_write(version, file)
            if "floor" in arguments.sides:
                seconds["floor"] = floor(file, redis_url)
            for store in ("file", "duckdb"):
                if f"feast-{store}" in arguments.sides:
                    seconds[f"feast, {store}"] = feast(file, folder, redis_url, store)
    report(arguments.rows, seconds)


def report(rows: int, seconds: dict[str, float | None]) -> None:
    ours = seconds["assay, whole run"]
    print(f"\n{rows:,} rows x 10 features into Redis")
    for name, taken in seconds.items():
        if taken is not None and ours is not None:
            rate, ratio = rows / taken, taken / ours
            print(
                f"  {name:20} {taken:8.1f} s {rate:10,.0f} rows/s   a whole run is {ratio:6.2f} x"
            )


if __name__ == "__main__":
    main()
