"""Records of a topic on a real server: the consumer and the workers are killed again and again."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from assay import FeatureStore, Unavailable
from tests import servers
from tests.brokers import running_broker
from tests.journeys.test_golden_path import settled, shell, until
from tests.journeys.test_kills import kill_family
from tests.journeys.test_pushing import LOGGED, workers
from tests.serving.streams.stream_world import connection, definitions

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.journey, pytest.mark.database("sqlite", "postgresql")]
DRIVERS, ROUNDS, PARTITIONS = 100, 6, 3
FEATURE = "last_trip:fare"


def trips(number: int) -> list[list[dict[str, Any]]]:
    """A trip of each driver, by partition; every tenth record is none."""
    at = (datetime.now(UTC) - timedelta(milliseconds=1)).isoformat()
    rows = [
        {"driver_id": each, "at": at, "fare": float(number), "city": "Bern"}
        for each in range(DRIVERS)
    ]
    return [rows[partition::PARTITIONS] for partition in range(PARTITIONS)]


def fares(store: FeatureStore) -> list[Any]:
    found: list[Any] = store.get_online_features(
        [FEATURE], {"driver_id": list(range(DRIVERS))}
    ).to_dict()["fare"]
    return found


def consumers(server: servers.Server) -> list[psutil.Process]:
    found = []
    for each in psutil.Process(server.child.process.pid).children():
        with suppress(psutil.NoSuchProcess):
            found += [each] if "consume" in each.cmdline() else []
    return found


def stored(store: FeatureStore) -> int:
    with suppress(Unavailable):
        return int(store.offline_files("last_trip")["rows"])
    return 0


def test_each_record_is_online_soon_and_stored_once_whoever_is_killed(
    tmp_path: Path, tmp_path_factory: Any
) -> None:
    root, state = tmp_path / "sources", tmp_path_factory.mktemp("state")
    root.mkdir()
    with running_broker(tmp_path) as broker:
        broker.create("trips", partitions=PARTITIONS)
        with servers.assay_server(
            state,
            FILE_ROOTS=str(root),
            SWEEP_EVERY_SECONDS="1",
            CONNECTIONS=connection(broker),
        ) as server:
            ana, sam = (
                FeatureStore(url=server.url, token=token, project="rides")
                for token in settled(server, root)
            )
            (tmp_path / "stream.yaml").write_text(definitions("trips"))
            ana.apply(str(tmp_path / "stream.yaml"), submit=True)
            review = until(lambda: _assayed(sam))
            sam.approve("last_trip", comment="fine", packet_hash=review["packet_hash"])
            until(lambda: ana.get_feature_view("last_trip")["default_version"] == "1.0.0")

            for number in range(ROUNDS):
                for partition, rows in enumerate(trips(number)):
                    broker.send("trips", *rows, b"none", partition=partition)
                time.sleep(0.05 * number)  # so that it dies elsewhere each time
                for one in until(lambda: consumers(server)):
                    one.kill()
                if number % 3 == 2:
                    for worker in until(lambda: workers(server)):
                        kill_family(worker)
            until(lambda: fares(ana) == [ROUNDS - 1.0] * DRIVERS, seconds=120)
            until(lambda: stored(ana) >= ROUNDS * DRIVERS, seconds=240)
            until(lambda: not shell(server, LOGGED))

            assert stored(ana) == ROUNDS * DRIVERS
            assert shell(server, LETTERS) == [str(ROUNDS * PARTITIONS)]
            broker.delete("trips")  # whatever librdkafka makes of what the broker answers then
            until(
                lambda: all("no topic 'trips'" in (part["words"] or "") for part in ana.streams())
            )


LETTERS = """
from materialization.models import DeadLetter
print(DeadLetter.objects.count())
"""


def _assayed(store: FeatureStore) -> Any:
    review = store.review("last_trip")
    return review if review["evidence"]["status"] == "computed" else None
