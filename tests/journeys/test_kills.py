"""Workers killed outright in the middle of chunks, of a pause and of a recompute.

One server for all of it. What works is stopped first, so that it stands in the middle, and then
killed: the one process that works, or its worker with all that belongs to it. Each test ends with
both stores compared with what was given.
"""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis

from assay import FeatureStore
from featurestore_project import embedded
from tests import servers
from tests.factories import DEFINITIONS
from tests.journeys.test_golden_path import NOW, define, is_sandbox, settled, shell, until
from tests.oracle import latest_known

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.journey

VIEW = "driver_hourly"
TEXT = DEFINITIONS.replace("type: int32,", "type: int32, checks: {max: 1000},")
DRIVERS, ROWS, CHUNK = 500, 48_000, 6_000
#: Seconds in which what was killed is done again; most of them are for a machine that is busy.
PATIENCE = 240
WORKING = ("queued", "running")
INSTANT = pa.timestamp("us", tz="UTC")
#: Some keys of the table are lost, and nobody was told.
HARM = """
from materialization.edges.stores import online_store
from registry.models import FeatureTable
from lib.connections import get_redis
keys = online_store().some_keys_of(FeatureTable.objects.get().uid, 50)
print(get_redis().delete(*keys))
"""
#: The table's files are seen to; as soon as somebody does, all processes named are killed.
CARE = """
import os, signal, time
from django.utils import timezone
from materialization.models import TableCare
from materialization.requests.care import care_due
TableCare.objects.update(cared_at=None, lease_expires_at=None, enqueued_at=None)
care_due(at=timezone.now())
while not TableCare.objects.exclude(lease_expires_at=None).exists():
    time.sleep(0.01)
for pid in {pids}:
    os.kill(pid, signal.SIGKILL)
TableCare.objects.update(cared_at=None, lease_expires_at=None, enqueued_at=None)
"""
#: What was said of the care, once it is over. A message that died with its worker, as one of the
#: sweep may have, is sent again after ten minutes; nobody waits for those here.
CARED = """
from datetime import timedelta
from django.utils import timezone
from materialization.models import TableCare
lost = timezone.now() - timedelta(seconds=30)
TableCare.objects.filter(enqueued_at__lt=lost).update(enqueued_at=None)
print(*(f"cared{care.error}" for care in TableCare.objects.exclude(cared_at=None)))
"""
#: (driver, event, trips); known at their event.
Rows = list[tuple[int, Any, int]]
#: Asks how a run or a certificate stands.
State = Callable[[], dict[str, Any]]


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
        "COMPARE_ROWS_PER_SECOND": "250",
        "SOURCE_SETTLE_SECONDS": "0",
    }
    state = tmp_path_factory.mktemp("state")
    with servers.assay_server(state, FILE_ROOTS=str(folder), **timing) as server:
        tokens = settled(server, folder)
        ana, sam = (FeatureStore(url=server.url, token=t, project="rides") for t in tokens)
        yield Shop(server, ana, sam, folder)


# --- Killing --------------------------------------------------------------------------------------


def sandboxes(shop: Shop) -> list[psutil.Process]:
    """Return the jobs at work below the server."""
    return [each for each in server_of(shop).children(recursive=True) if is_sandbox(each)]


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
    kill_family(_above(job, 3))


def kill_family(worker: psutil.Process) -> None:
    for each in [worker, *worker.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            each.kill()


def killed_within(
    shop: Shop, begin: Callable[[], State], *names: str, besides: Callable[[], None] | None = None
) -> dict[str, Any]:
    """Kill the workers of these names as soon as one works at something; return how that ended.

    ``begin`` returns what asks how it stands. One that ended by its first attempt was too quick,
    and is begun again.
    """
    for _ in range(8):
        state = begin()
        until_past(state, "queued")
        for each in workers(shop, names):
            kill_family(each)
        if besides is not None:
            besides()
        until_past(state, *WORKING)
        if (done := state())["attempt"] > 1:
            return done
    raise AssertionError("it was always too quick")


def until_past(state: State, *statuses: str) -> None:
    until(lambda: state()["status"] not in statuses, seconds=PATIENCE)


def server_of(shop: Shop) -> psutil.Process:
    return psutil.Process(shop.server.child.process.pid)


def workers(shop: Shop, names: tuple[str, ...]) -> list[psutil.Process]:
    """Return the workers of these names that the server started."""
    found = []
    for each in server_of(shop).children():
        with suppress(psutil.NoSuchProcess):  # a zombie is none either
            found += [each] if any(word.startswith(names) for word in each.cmdline()) else []
    return found


def run_of(shop: Shop, run: int) -> dict[str, Any]:
    return shop.ana.get_run(run)


def is_working(shop: Shop, run: int) -> bool:
    return run_of(shop, run)["status"] in WORKING


def ended(shop: Shop, run: int) -> dict[str, Any]:
    """Return a run when it has ended, after a worker was killed and another took over."""
    until_past(lambda: run_of(shop, run), *WORKING)
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
    certificate = shop.ana.wait_for_certificate(compared["id"], timeout_seconds=240)
    assert (certificate["status"], certificate["compared"]) == ("equal", DRIVERS)


def test_everything_that_workers_do(shop, tmp_path):
    a_backfill_in_chunks(shop, tmp_path)
    equals(shop, FIRST)
    a_recompute_that_is_paused(shop)
    equals(shop, FIRST, CORRECTED)
    refused = a_release_from_quarantine(shop)
    equals(shop, FIRST, CORRECTED, *refused)
    a_comparison_that_repairs(shop)
    equals(shop, FIRST, CORRECTED, *refused)
    the_care_of_tables(shop)
    equals(shop, FIRST, CORRECTED, *refused)
    a_rebuild_of_all(shop)
    equals(shop, FIRST, CORRECTED, *refused)


def a_backfill_in_chunks(shop: Shop, tmp_path: Path) -> None:
    define(shop.ana, shop.sam, tmp_path / "features.yaml", TEXT, VIEW)
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
    until(lambda: run_of(shop, run)["status"] == "paused", seconds=PATIENCE)

    shop.ana.resume_run(run)
    kill_one(caught(shop, lambda: lambda: is_working(shop, run)))

    done = ended(shop, run)
    assert (done["status"], done["kind"]) == ("succeeded", "recompute"), done
    assert done["source"]["corrected"] == ROWS


def a_release_from_quarantine(shop: Shop) -> list[Rows]:
    """Its worker dies while what was held is published."""
    refused: list[Rows] = []

    def release() -> State:
        refused.append(rows_of(lambda n: 2000 + n % 7, 10_000, ago=50 - 5 * len(refused)))
        write(shop.folder, "driver_stats", [*CORRECTED, *(row for rows in refused for row in rows)])
        (run,) = shop.ana.materialize_incremental(datetime.now(UTC), [VIEW])
        blocked = ended(shop, run["id"])
        assert (blocked["status"], blocked["kind"]) == ("failed", "incremental"), blocked
        released = shop.sam.release_quarantine(run["id"], reason="they are right")["id"]
        return lambda: run_of(shop, released)

    done = killed_within(shop, release, "worker@")
    assert done["status"] == "succeeded", done
    return refused


def a_comparison_that_repairs(shop: Shop) -> None:
    """Its worker dies in the middle of putting right; nothing of it is counted twice."""

    def repair() -> State:
        assert shell(shop.server, HARM) == ["50"]
        asked = shop.ana.compare(VIEW, full=True, repair=True)["id"]
        return lambda: shop.ana.get_certificate(asked)

    done = killed_within(shop, repair, "worker@")
    assert done["status"] in ("equal", "different"), done
    assert done["repaired"] <= 50, done


def the_care_of_tables(shop: Shop) -> None:
    """Its worker dies over it; the next one sees to the table when the lease is over."""
    (worker,) = workers(shop, ("worker@",))
    pids = [each.pid for each in (worker, *worker.children(recursive=True))]
    shell(shop.server, CARE.format(pids=pids))

    assert until(lambda: shell(shop.server, CARED), seconds=PATIENCE) == ["cared"]


def a_rebuild_of_all(shop: Shop) -> None:
    """The command dies, and who reloads besides it; called again it goes on."""
    commands: list[subprocess.Popen[bytes]] = []

    def rebuild() -> State:
        before = {each["id"] for each in reloads(shop)}
        with redis.Redis.from_url(embedded.redis_url(shop.server.state_dir)) as client:
            client.flushall()
        commands.append(manage(shop, "rebuild_online"))
        return lambda: next(
            (each for each in reloads(shop) if each["id"] not in before), {"status": "queued"}
        )

    def kill_and_call_again() -> None:
        with suppress(psutil.NoSuchProcess):
            kill_family(psutil.Process(commands[-1].pid))
        commands[-1].wait()
        assert manage(shop, "rebuild_online").wait(timeout=PATIENCE) == 0

    done = killed_within(shop, rebuild, "reload@", besides=kill_and_call_again)
    assert (done["status"], done["rows_online"]) == ("succeeded", DRIVERS), done


def reloads(shop: Shop) -> list[dict[str, Any]]:
    return [each for each in shop.ana.runs(feature_view=VIEW) if each["kind"] == "reload"]


def manage(shop: Shop, *command: str) -> subprocess.Popen[bytes]:
    whole = [sys.executable, str(servers.ROOT / "manage.py"), *command]
    return subprocess.Popen(whole, env=shop.server.env, stdout=subprocess.DEVNULL)
