"""Workers killed outright in the middle of chunks, of a pause and of a recompute.

One server for all of it. What works is stopped first, so that it stands in the middle, and then
killed: the one process that works, or its worker with all that belongs to it. Each test ends with
both stores compared with what was given.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assay import FeatureStore
from tests import servers
from tests.factories import DEFINITIONS
from tests.journeys.test_golden_path import NOW, PEOPLE, define, is_sandbox, shell, until
from tests.oracle import latest_known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.journey

VIEW = "driver_hourly"
DRIVERS, ROWS, CHUNK = 500, 80_000, 10_000
INSTANT = pa.timestamp("us", tz="UTC")
#: (driver, event, trips); known at their event.
Rows = list[tuple[int, Any, int]]


class Shop(NamedTuple):
    """A server, an author, a steward, and the folder that is read."""

    server: servers.Server
    ana: FeatureStore
    sam: FeatureStore
    folder: Path


def rows_of(trips: Callable[[int], int], count: int = ROWS, *, ago: int = 0) -> Rows:
    """Return rows of the last days, some for each driver, the newest so many minutes ago."""
    return [
        (1 + n % DRIVERS, NOW - timedelta(minutes=ago, seconds=2 * (count - n)), trips(n))
        for n in range(count)
    ]


def write(folder: Path, name: str, rows: Rows) -> None:
    drivers, events, trips = zip(*rows, strict=True)
    table = pa.table(
        {
            "driver_id": pa.array(drivers, pa.int64()),
            "event_timestamp": pa.array(events, INSTANT),
            "created": pa.array(events, INSTANT),
            "conv_rate": pa.array([0.5] * len(rows), pa.float32()),
            "acc_rate": pa.array([0.25] * len(rows), pa.float32()),
            "avg_daily_trips": pa.array(trips, pa.int32()),
        }
    )
    pq.write_table(table, folder / f"{name}.new")
    (folder / f"{name}.new").replace(folder / f"{name}.parquet")


FIRST = rows_of(lambda n: n % 97, ago=60)
CORRECTED = rows_of(lambda n: n % 89 + 100, ago=60)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("sources")
    write(folder, "driver_stats", FIRST)
    timing = {
        "RUN_LEASE_SECONDS": "5",
        "RUN_CHUNK_ROWS": str(CHUNK),
        "COMPARE_EVERY_SECONDS": "0",
        "SOURCE_SETTLE_SECONDS": "0",
    }
    state = tmp_path_factory.mktemp("state")
    with servers.assay_server(state, FILE_ROOTS=str(folder), **timing) as server:
        tokens = shell(server, PEOPLE.format(root=str(folder)))
        ana, sam = (FeatureStore(url=server.url, token=t, project="rides") for t in tokens)
        yield Shop(server, ana, sam, folder)


# --- Killing --------------------------------------------------------------------------------------


def sandboxes(shop: Shop) -> list[psutil.Process]:
    """Return the jobs at work below the server."""
    family = psutil.Process(shop.server.child.process.pid).children(recursive=True)
    return [each for each in family if is_sandbox(each)]


def caught(shop: Shop, begin: Callable[[], Callable[[], bool]]) -> psutil.Process:
    """Begin something, again and again until a job of it is stopped in its middle.

    ``begin`` returns what says whether it still goes on.
    """
    for _ in range(5):
        goes_on = begin()
        while goes_on():
            for job in sandboxes(shop):
                with suppress(psutil.NoSuchProcess):
                    job.suspend()
                    return job
    raise AssertionError("it was always too quick")


def kill_one(job: psutil.Process) -> None:
    """Kill the process that has the job done."""
    _above(job, 2).kill()


def _above(process: psutil.Process, generations: int) -> psutil.Process:
    return process.parents()[generations - 1]


def kill_all(job: psutil.Process) -> None:
    """Kill the worker, its processes and whatever they started."""
    worker = _above(job, 3)
    for each in [worker, *worker.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            each.kill()


def run_of(shop: Shop, run: int) -> dict[str, Any]:
    return shop.ana.get_run(run)


def is_working(shop: Shop, run: int) -> bool:
    return run_of(shop, run)["status"] in ("queued", "running")


def ended(shop: Shop, run: int) -> dict[str, Any]:
    """Return a run when it has ended, after a worker was killed and another took over."""
    until(lambda: not is_working(shop, run), seconds=90)
    return run_of(shop, run)


# --- What was given -------------------------------------------------------------------------------


def equals(shop: Shop, *given: Rows) -> None:
    """Both stores answer of every driver as the oracle does; a later list corrects one before."""
    found: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for number, rows in enumerate(given):
        for driver, event, trips in rows[-2 * DRIVERS :]:  # the latest of each are among them
            stamps = {"event_timestamp": event, "created_timestamp": event, "__sequence": number}
            found[driver].append({"driver": driver, "trips": trips, **stamps})
    latest = {each: latest_known(rows, {"driver": each}, NOW) for each, rows in found.items()}
    right = {driver: row and row["trips"] for driver, row in latest.items()}
    name = f"{VIEW}:avg_daily_trips"
    asked = [{"driver_id": driver} for driver in right]
    online = shop.ana.get_online_features(features=[name], entity_rows=asked).to_dict()
    assert online["avg_daily_trips"] == list(right.values())
    instants = pa.array([NOW] * len(right), INSTANT)
    frame = pa.table({"driver_id": pa.array(right, pa.int64()), "event_timestamp": instants})
    offline = shop.ana.get_historical_features(frame, [name]).to_arrow()
    assert offline["avg_daily_trips"].to_pylist() == list(right.values())
    compared = shop.ana.compare(VIEW, full=True)
    certificate = shop.ana.wait_for_certificate(compared["id"], timeout_seconds=60)
    assert (certificate["status"], certificate["compared"]) == ("equal", DRIVERS)


def test_a_backfill_in_chunks_and_a_recompute_that_is_paused(shop, tmp_path):
    a_backfill_in_chunks(shop, tmp_path)
    equals(shop, FIRST)
    a_recompute_that_is_paused(shop)
    equals(shop, FIRST, CORRECTED)


def a_backfill_in_chunks(shop: Shop, tmp_path: Path) -> None:
    define(shop.ana, shop.sam, tmp_path / "features.yaml", DEFINITIONS, VIEW)
    until(lambda: shop.ana.runs(feature_view=VIEW))
    (run,) = shop.ana.runs(feature_view=VIEW)
    until(lambda: run_of(shop, run["id"])["rows_offline"] or not is_working(shop, run["id"]))

    kill_one(caught(shop, lambda: lambda: is_working(shop, run["id"])))

    done = ended(shop, run["id"])
    assert (done["status"], done["rows_offline"]) == ("succeeded", ROWS)
    assert done["attempt"] >= 2


def a_recompute_that_is_paused(shop: Shop) -> None:
    """Its worker dies after it was asked to pause, and again after it was let go on."""
    write(shop.folder, "driver_stats", CORRECTED)
    run = shop.ana.backfill(VIEW, "1.0.0")["id"]
    job = caught(shop, lambda: lambda: is_working(shop, run))
    shop.ana.pause_run(run)
    kill_all(job)
    until(lambda: run_of(shop, run)["status"] == "paused", seconds=90)

    shop.ana.resume_run(run)
    kill_one(caught(shop, lambda: lambda: is_working(shop, run)))

    done = ended(shop, run)
    assert (done["status"], done["kind"]) == ("succeeded", "recompute"), done
    assert done["source"]["corrected"] == ROWS
