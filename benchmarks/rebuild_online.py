"""A total loss of Redis: how fast ``manage.py rebuild_online`` has every table back.

Against the floor: DuckDB's latest row a key and pipelined SETs, of the same rows, in as many
processes.
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import parts
from benchmarks.materialization import floor, whole_run, write_source

if TYPE_CHECKING:
    from registry.models import FeatureViewVersion


def approved_versions(folder: Path, redis_url: str, count: int) -> list[FeatureViewVersion]:
    """Make so many views of the same rows."""
    parts.use_server(folder, redis_url)
    from tests import factories

    people = factories.make_cast(root=str(parts.source_folder(folder)))
    text = parts.definitions("wide.parquet")
    texts = [text.replace("name: wide\n", f"name: wide_{number}\n") for number in range(count)]
    return [factories.make_version(people, text=each) for each in texts]


def rebuild(processes: int) -> float:
    """Empty Redis, then run the command; return the seconds, its start included.

    :raises RuntimeError: a table was not loaded.
    """
    from lib.connections import get_redis

    get_redis().flushall(asynchronous=True)
    while get_redis().info("memory")["lazyfree_pending_objects"]:
        time.sleep(0.1)  # freeing takes a core of its own
    begin = time.perf_counter()
    command = [sys.executable, "manage.py", "rebuild_online", "--processes", str(processes)]
    done = subprocess.run(command, cwd=parts.ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    taken = time.perf_counter() - begin
    print(done.stdout)
    return taken


def floors(file: Path, redis_url: str, *, tables: int, processes: int) -> float:
    """Return the seconds of the floor for so many tables of the file's rows."""
    begin = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.starmap(floor, [(file, redis_url)] * tables, chunksize=1)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--drivers", type=int, help="distinct keys; default: one a row")
    parser.add_argument("--tables", type=int, default=2)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    entities = (arguments.drivers or arguments.rows) * arguments.tables
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = parts.source_folder(folder) / "wide.parquet"
        given = (file, arguments.rows, arguments.drivers or arguments.rows)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            pool.apply(write_source, given)
        with parts.redis_server(folder) as redis_url:
            for version in approved_versions(folder, redis_url, arguments.tables):
                whole_run(version)
            seconds = {
                "assay": rebuild(arguments.processes),
                "floor": floors(
                    file, redis_url, tables=arguments.tables, processes=arguments.processes
                ),
            }
    print(f"{arguments.tables} tables, {entities:,} entities x 10 features back into Redis")
    for name, taken in seconds.items():
        ratio = taken / seconds["floor"]
        print(f"  {name:8} {taken:8.1f} s {entities / taken:10,.0f} rows/s   {ratio:5.2f} x")


if __name__ == "__main__":
    main()
