"""Online reads while a version is backfilled: milliseconds at the store, before and meanwhile.

A reader of ten entities a time, in a process of its own, reads one view all the while another is
materialized: at full speed, by a process that steps back (RUN_NICENESS), and with a merge that
leaves Redis room (ONLINE_WRITE_PERCENT). Not for the web's part of a read: ``online`` has that.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import materialization, parts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.synchronize import Event

READ_AT_ONCE, PAUSE_SECONDS, QUIET_SECONDS = 10, 0.002, 8.0
#: What is measured: how far the run steps back, and how much of Redis it may take.
WAYS = {"full speed": (0, 100), "nice": (10, 100), "nice, half of Redis": (10, 50)}


def read_on(folder: Path, redis_url: str, begun: Event, over: Event, found: Any) -> None:
    """Read at random until told; send the instants and the seconds that each read took."""
    parts.use_server(folder, redis_url)
    from materialization.edges.stores import online_store
    from materialization.stores.layout import layout_of
    from registry.models import FeatureViewVersion

    version = FeatureViewVersion.objects.select_related("table", "feature_view").earliest("pk")
    layout, store = layout_of(version.spec, uid=version.table.uid), online_store()
    chance, took = np.random.default_rng(1), []
    begun.set()
    while not over.is_set():
        tags = layout.entity.tags([chance.integers(0, 10_000, READ_AT_ONCE).tolist()])
        begin = time.time()
        store.read(version.feature_view.project_id, [version.feature_view.name], [(layout, tags)])
        took.append((begin, time.time() - begin))
        time.sleep(PAUSE_SECONDS)
    found.put(took)


def backfill(folder: Path, redis_url: str, version: int, nice: int, percent: int) -> None:
    """Materialize a version, from its first row on, in a process as a worker is one."""
    os.environ["ONLINE_WRITE_PERCENT"] = str(percent)
    os.nice(nice)
    parts.use_server(folder, redis_url)
    from registry.models import FeatureViewVersion

    related = FeatureViewVersion.objects.select_related("table", "feature_view__project")
    materialization.whole_run(related.get(pk=version))


def shown(took: Sequence[tuple[float, float]], since: float, until: float) -> str:
    of = np.array([each for at, each in took if since <= at < until]) * 1000
    p50, p99, worst = np.percentile(of, [50, 99, 100])
    return f"p50 {p50:6.2f}  p99 {p99:6.2f}  worst {worst:7.2f} ms of {len(of):,} reads"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--drivers", type=int, default=500_000)
    given = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = parts.source_folder(folder)
        parts.wide_rows(10_000, drivers=10_000).to_parquet(source / "wide.parquet")
        large = (source / "large.parquet", given.rows, given.drivers)
        with spawn.Pool(1) as pool:
            pool.apply(materialization.write_source, large)
        with parts.redis_server(folder) as redis_url:
            version = materialization.approved_version(folder, redis_url)
            materialization.whole_run(version)
            for way, (nice, percent) in WAYS.items():
                other = second_version(way)
                begun, over, found = spawn.Event(), spawn.Event(), spawn.Queue()
                reader = spawn.Process(target=read_on, args=(folder, redis_url, begun, over, found))
                reader.start()
                begun.wait()
                time.sleep(QUIET_SECONDS)
                began = time.time()
                worker = spawn.Process(
                    target=backfill, args=(folder, redis_url, other, nice, percent)
                )
                worker.start()
                worker.join()
                ended = time.time()
                over.set()
                took = found.get()
                reader.join()
                print(f"{way}, a backfill of {ended - began:.1f} s")
                print(f"  before     {shown(took, 0, began)}")
                print(f"  meanwhile  {shown(took, began, ended)}")


def second_version(way: str) -> int:
    """Approve another view over the large file; return its version's number."""
    from django.contrib.auth.models import User

    from registry.models import Project
    from tests import factories
    from tests.factories import Cast

    people = {name: User.objects.get(username=name) for name in ("owner", "author", "steward")}
    rest = {
        name: User.objects.get(username=name)
        for name in ("second_steward", "operator", "consumer", "auditor", "outsider")
    }
    cast = Cast(
        project=Project.objects.get(),
        superuser=User.objects.get(is_superuser=True),
        **people,
        **rest,
    )
    view = f"wide_{datetime.now(UTC):%H%M%S}_{len(way)}"
    text = parts.definitions("large.parquet").replace("name: wide\n", f"name: {view}\n")
    text = text.replace("wide_rows", f"{view}_rows")
    return int(factories.make_version(cast, text=text).pk)


if __name__ == "__main__":
    main()
