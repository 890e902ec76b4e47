"""Rows that a program pushes, on a real server: online at once, offline soon, each once.

The workers that write them to the offline store are killed outright, again and again; then the web
process that takes them, in the middle of pushes that are repeated until they are answered; then
processes that push and drain beside them, each at another step (``push_deaths``).
"""

from __future__ import annotations

import json
import random
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psutil
import pyarrow as pa
import pytest

from assay import FeatureStore, ServerUnreachable, Unavailable
from tests import servers
from tests.journeys import push_deaths
from tests.journeys.test_golden_path import NOW, settled, shell, until
from tests.journeys.test_kills import kill_family
from tests.materialization.ingest.push_world import DEFINITIONS
from tests.oracle import latest_known

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.journey, pytest.mark.database("sqlite", "postgresql")]

PRODUCER = """
from django.contrib.auth.models import User
from django.utils import timezone
from registry.choices import Role
from registry.models import Project
from registry.operations.people import members, tokens
now = timezone.now()
owner, stream = User.objects.get(username="owner"), User.objects.create_user("stream")
project = Project.objects.get(name="rides")
members.grant_role(project=project, user=stream, role=Role.PRODUCER, actor=owner, at=now)
print(tokens.issue_token(user=stream, actor=stream, name="t", days=1, at=now)[1])
"""
DRIVERS, ROUNDS = 200, 12
#: Pushes during which the web process is killed, in so many requests each.
DEATHS, REQUESTS = 6, 40
FEATURE = "last_trip:fare"


def rows_of(number: int) -> dict[str, list[Any]]:
    at = datetime.now(UTC) - timedelta(milliseconds=1)
    return {
        "driver_id": list(range(DRIVERS)),
        "at": [at] * DRIVERS,
        "fare": [float(number)] * DRIVERS,
        "city": ["Bern"] * DRIVERS,
    }


def fares(store: FeatureStore) -> list[Any]:
    asked = {"driver_id": list(range(DRIVERS))}
    found: list[Any] = store.get_online_features([FEATURE], asked).to_dict()["fare"]
    return found


def answered(store: FeatureStore) -> list[Any]:
    """Return what is online, once somebody answers."""
    with suppress(Unavailable, ServerUnreachable):
        return fares(store)
    return []


def workers(server: servers.Server) -> list[psutil.Process]:
    found = []
    for each in psutil.Process(server.child.process.pid).children():
        with suppress(psutil.NoSuchProcess):  # a zombie is none either
            found += [each] if "worker" in each.cmdline() else []
    return found


def web(server: servers.Server) -> list[psutil.Process]:
    """Return what answers reads and pushes."""
    found = []
    for each in psutil.Process(server.child.process.pid).children():
        with suppress(psutil.NoSuchProcess):  # a zombie is none either
            found += [each] if "--desk" in each.cmdline() else []
    return found


def pushed_past_a_death(server: servers.Server, store: FeatureStore, number: int) -> None:
    """Push rows while the web process is killed, with the same keys until all are answered."""
    rows, chance = rows_of(number), random.Random(number)
    (serving,) = until(lambda: web(server))
    killer = threading.Timer(chance.uniform(0, 0.4), kill_family, [serving])
    killer.start()

    def is_pushed() -> bool:
        with suppress(Unavailable, ServerUnreachable):
            key, size = f"push-{number}", DRIVERS // REQUESTS
            store.push("trips", rows, idempotency_key=key, batch_rows=size)
            return True
        return False

    until(is_pushed)
    killer.join()


def died_at_each_step(server: servers.Server, token: str) -> list[dict[str, Any]]:
    """Return the rows that were pushed by processes that died, as the oracle takes them."""
    code = f"from tests.journeys import push_deaths; push_deaths.main({token!r}, seed=1)"
    known: list[dict[str, Any]] = json.loads(" ".join(shell(server, code)))
    for place, row in enumerate(known):
        row["event_timestamp"] = datetime.fromisoformat(row["at"])
        row["created_timestamp"] = datetime.fromisoformat(row["known"])
        row["__sequence"] = place
    return known


def equals(store: FeatureStore, known: list[dict[str, Any]]) -> None:
    """Both stores answer as the oracle does: now, and at each instant at which a row came."""
    instants = sorted({row["created_timestamp"] for row in known} | {datetime.now(UTC)})
    asked = [(driver, at) for at in instants for driver in push_deaths.DRIVERS]
    latest = [latest_known(known, {"driver_id": driver}, at) for driver, at in asked]
    right = [row and row["fare"] for row in latest]
    drivers, times = zip(*asked, strict=True)
    stamps = pa.array(times, pa.timestamp("us", tz="UTC"))
    frame = pa.table({"driver_id": pa.array(drivers, pa.int64()), "event_timestamp": stamps})
    assert store.get_historical_features(frame, [FEATURE]).to_arrow()["fare"].to_pylist() == right
    online = store.get_online_features([FEATURE], {"driver_id": list(push_deaths.DRIVERS)})
    assert online.to_dict()["fare"] == right[-len(push_deaths.DRIVERS) :]


def stored(store: FeatureStore) -> int:
    with suppress(Unavailable):  # there is no table before its first rows
        return int(store.offline_files("last_trip")["rows"])
    return 0


def test_what_is_pushed_is_online_at_once_and_offline_once(
    tmp_path: Path, tmp_path_factory: Any
) -> None:
    root, state = tmp_path / "sources", tmp_path_factory.mktemp("state")
    root.mkdir()
    with servers.assay_server(state, FILE_ROOTS=str(root), SWEEP_EVERY_SECONDS="1") as server:
        ana, sam = (
            FeatureStore(url=server.url, token=token, project="rides")
            for token in settled(server, root)
        )
        (token,) = shell(server, PRODUCER)
        stream = FeatureStore(url=server.url, token=token, project="rides")
        (tmp_path / "push.yaml").write_text(DEFINITIONS)
        ana.apply(str(tmp_path / "push.yaml"), submit=True)
        review = until(lambda: _assayed(sam))
        sam.approve("last_trip", comment="fine", packet_hash=review["packet_hash"])
        until(lambda: ana.get_feature_view("last_trip")["default_version"] == "1.0.0")

        for number in range(ROUNDS):
            stream.push("trips", rows_of(number))
            assert fares(ana) == [float(number)] * DRIVERS
            if number % 3 == 2:
                working = until(lambda: workers(server))
                for worker in working:
                    kill_family(worker)
        for number in range(ROUNDS, ROUNDS + DEATHS):
            pushed_past_a_death(server, stream, number)
            assert until(lambda: answered(ana)) == [float(number)] * DRIVERS
        known = died_at_each_step(server, token)
        rows = (ROUNDS + DEATHS) * DRIVERS + len(known)
        until(lambda: stored(ana) >= rows, seconds=240)

        until(lambda: not shell(server, LOGGED))
        assert stored(ana) == rows
        equals(ana, known)
        instants = pa.array([datetime.now(UTC)] * DRIVERS, pa.timestamp("us", tz="UTC"))
        frame = pa.table({"driver_id": pa.array(range(DRIVERS)), "event_timestamp": instants})
        trained = ana.get_historical_features(frame, [FEATURE]).to_arrow()
        assert trained["fare"].to_pylist() == fares(ana) == [ROUNDS + DEATHS - 1.0] * DRIVERS
        before = pa.table({"driver_id": pa.array([1]), "event_timestamp": pa.array([NOW])})
        assert ana.get_historical_features(before, [FEATURE]).to_arrow()["fare"].to_pylist() == [
            None
        ]


LOGGED = """
from materialization.edges.stores import push_log
print(*push_log().logged())
"""


def _assayed(store: FeatureStore) -> Any:
    review = store.review("last_trip")
    return review if review["evidence"]["status"] == "computed" else None
