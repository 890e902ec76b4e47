"""Redis loses everything while backfills have every slot: readers do not wait for those."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import redis

from assay import FeatureStore
from featurestore_project import embedded
from tests import servers
from tests.factories import DEFINITIONS, SOURCE, VIEW
from tests.journeys.test_golden_path import define, settled, trips, until, write_source
from tests.project.test_serve import part

if TYPE_CHECKING:
    from pathlib import Path

# Where many workers write at once: SQLite has one writer at a time.
pytestmark = [pytest.mark.journey, pytest.mark.database("postgresql")]

EVERY_SECONDS = 2
SLOTS = 2


def large(number: int) -> str:
    """Define one more view, over a file that takes a while."""
    source = SOURCE.replace("name: driver_stats", "name: many").replace("driver_stats.", "many.")
    view = VIEW.replace("name: driver_hourly", f"name: large_{number}")
    return f"{source}\n---\n{view.replace('source: driver_stats', 'source: many')}"


def stop_computing(server: servers.Server) -> list[psutil.Process]:
    """Let what the worker computes never get on, its processes' heartbeats go on."""
    stopped: list[psutil.Process] = []
    slots = part(server, "worker@").children()
    for each in (job for slot in slots for job in slot.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # another job has just ended
            each.suspend()
            stopped.append(each)
    return stopped


def runs_of(ana: FeatureStore, number: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ana.runs(feature_view=f"large_{number}")
    return found


def test_a_small_view_answers_within_seconds_though_backfills_have_every_slot(tmp_path: Path):
    folder = tmp_path / "sources"
    folder.mkdir()
    write_source(folder, "driver_stats.parquet", 1000)
    write_source(folder, "many.parquet", 2_000_000)
    timing = {"SWEEP_EVERY_SECONDS": str(EVERY_SECONDS)}
    with servers.assay_server(tmp_path / "state", FILE_ROOTS=str(folder), **timing) as server:
        ana_token, sam_token = settled(server, folder)
        ana = FeatureStore(url=server.url, token=ana_token, project="rides")
        sam = FeatureStore(url=server.url, token=sam_token, project="rides")
        define(ana, sam, tmp_path / "small.yaml", DEFINITIONS, "driver_hourly")
        until(lambda: ana.get_feature_view("driver_hourly")["default_version"] == "1.0.0")
        for number in range(SLOTS):
            define(ana, sam, tmp_path / f"{number}.yaml", large(number), f"large_{number}")
        until(lambda: all(running(ana, number) for number in range(SLOTS)))
        stopped = stop_computing(server)
        assert all(running(ana, number) for number in range(SLOTS)), "they were too quick"

        with redis.Redis.from_url(embedded.redis_url(server.state_dir)) as client:
            client.flushall()
        began = time.monotonic()
        until(lambda: answers(ana))
        out = time.monotonic() - began

        assert all(running(ana, number) for number in range(SLOTS))
        for each in stopped:
            each.resume()
    assert out < 2 * EVERY_SECONDS + 4


def running(ana: FeatureStore, number: int) -> bool:
    return [run["status"] for run in runs_of(ana, number)] == ["running"]


def answers(ana: FeatureStore) -> bool:
    return bool(trips(ana) == 6)
