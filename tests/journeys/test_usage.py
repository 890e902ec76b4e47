"""Who reads what, on a real server: each read is told once, whichever worker is killed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from assay import FeatureStore
from tests import servers
from tests.journeys.test_golden_path import settled, shell, until
from tests.journeys.test_kills import kill_family
from tests.journeys.test_pushing import DRIVERS, FEATURE, PRODUCER, rows_of, workers
from tests.materialization.ingest.push_world import DEFINITIONS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.journey, pytest.mark.database("sqlite", "postgresql")]

READS, KILLS = 400, 3


def told(store: FeatureStore) -> int:
    return sum(row["reads"] for row in store.usage(FEATURE, by=["door"]))


def test_reads_are_told_once_over_kills(tmp_path: Path, tmp_path_factory: Any) -> None:
    root, state = tmp_path / "sources", tmp_path_factory.mktemp("state")
    root.mkdir()
    seconds = {"SWEEP_EVERY_SECONDS": "1", "USAGE_STORED_EVERY_SECONDS": "1"}
    with servers.assay_server(state, FILE_ROOTS=str(root), **seconds) as server:
        ana, sam = (
            FeatureStore(url=server.url, token=token, project="rides")
            for token in settled(server, root)
        )
        (token,) = shell(server, PRODUCER)
        (tmp_path / "push.yaml").write_text(DEFINITIONS)
        ana.apply(str(tmp_path / "push.yaml"), submit=True)
        review = until(lambda: _assayed(sam))
        sam.approve("last_trip", comment="fine", packet_hash=review["packet_hash"])
        until(lambda: ana.get_feature_view("last_trip")["default_version"] == "1.0.0")
        stream = FeatureStore(url=server.url, token=token, project="rides")
        stream.push("trips", rows_of(1))

        choose = random.Random(5)
        killing = set(choose.sample(range(READS), KILLS))
        for number in range(READS):
            ana.get_online_features([FEATURE], {"driver_id": [number % DRIVERS]})
            if number in killing:
                for worker in until(lambda: workers(server)):
                    kill_family(worker)

        until(lambda: told(ana) >= READS, seconds=240)
        ana.get_online_features([FEATURE], {"driver_id": [0]})
        until(lambda: told(ana) > READS, seconds=120)
        assert told(ana) == READS + 1
        [row] = ana.usage("last_trip@1.0.0", by=["reader", "door"])
        assert (row["reader"], row["door"], row["statuses"]["PRESENT"]) == (
            "ana",
            "online",
            READS + 1,
        )


def _assayed(store: FeatureStore) -> Any:
    review = store.review("last_trip")
    return review if review["evidence"]["status"] == "computed" else None
