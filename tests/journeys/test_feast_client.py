"""Feast's own client, unmodified and with an empty registry, against a real server.

What it shows is what docs/feast.md promises.
"""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from assay import FeatureStore
from tests import servers
from tests.environment import without_ours
from tests.factories import DEFINITIONS
from tests.journeys.test_golden_path import assayed, define, settled, token_of, until, write_source

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.journey, pytest.mark.database("sqlite", "postgresql")]
SERVICE = """
kind: FeatureService
name: dispatch
features: ["driver_hourly:avg_daily_trips"]
"""
PUSHED = """
kind: DataSource
name: trips
type: push
schema:
  {driver_id: int64, at: timestamp, fare: float64, stars: float32, seats: int32, city: string,
   stops: list<int64>, paid_at: timestamp}
event_timestamp: at
---
kind: FeatureView
name: last_trip
entities: [driver]
source: trips
features:
  - {name: fare, type: float64}
  - {name: stars, type: float32}
  - {name: seats, type: int32}
  - {name: town, type: string, column: city}
  - {name: stops, type: list<int64>}
  - {name: paid_at, type: timestamp}
ttl: 2d
"""
TRIP = {
    "driver_id": [1007, 1008],
    "fare": [12.5, 8.0],
    "stars": [0.5, None],
    "seats": [3, 4],
    "town": ["Bern", None],
    "stops": [[1, 2], [3]],
    "paid_at": ["2026-11-01T10:00:00Z", None],
}
DRIVERS = [{"driver_id": 1007}, {"driver_id": 4711}]
TRIPS = ["driver_hourly:avg_daily_trips"]


class Feast:
    """Feast's client in a repository of its own, set up as our documentation says."""

    def __init__(self, python: str, folder: Path, url: str, token: str) -> None:
        self._python, self._folder, self._token = python, folder, token
        text = (servers.ROOT / "docs" / "feast.md").read_text()
        (block,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
        path = f"{url}/api/v1/projects/rides"
        written = block.replace("https://assay.example.org/api/v1/projects/streaming", path)
        assert path in written
        (folder / "feature_store.yaml").write_text(written)

    def ask(self, *calls: dict[str, Any], token: str | None = None) -> list[dict[str, Any]]:
        env = without_ours() | {"ASSAY_TOKEN": token or self._token, "FEAST_USAGE": "False"}
        env.pop("PROMETHEUS_MULTIPROC_DIR", None)
        done = subprocess.run(
            [self._python, str(Path(__file__).with_name("feast_caller.py"))],
            input=json.dumps({"repo": str(self._folder), "calls": calls}),
            cwd=self._folder,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answers: list[dict[str, Any]] = json.loads(done.stdout)
        return answers


@pytest.fixture(scope="module")
def ours(tmp_path_factory: Any, feast_python: str) -> Iterator[tuple[servers.Server, str]]:
    """Return a server with a loaded view, and the token of its author."""
    root, state = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("state")
    write_source(root, "driver_stats.parquet", 20)
    with servers.assay_server(state, FILE_ROOTS=str(root)) as server:
        tokens = settled(server, root)
        ana, sam = (FeatureStore(url=server.url, token=each, project="rides") for each in tokens)
        path = tmp_path_factory.mktemp("definitions") / "features.yaml"
        define(ana, sam, path, DEFINITIONS, "driver_hourly")
        until(lambda: ana.get_feature_view("driver_hourly")["default_version"] == "1.0.0")
        path.write_text(SERVICE)
        ana.apply(str(path))
        path.write_text(PUSHED)
        ana.apply(str(path), submit=True)
        review = until(lambda: assayed(sam, "last_trip"))
        sam.approve("last_trip", comment="looks right", packet_hash=review["packet_hash"])
        until(lambda: ana.get_feature_view("last_trip")["default_version"] == "1.0.0")
        yield server, tokens[0]


@pytest.fixture
def feast(ours: Any, feast_python: str, tmp_path: Path) -> Feast:
    server, token = ours
    return Feast(feast_python, tmp_path, server.url, token)


def test_it_reads_features_versions_and_services_with_an_empty_registry(feast):
    plain, exact, major, service, full = feast.ask(
        {"features": TRIPS, "entity_rows": DRIVERS},
        {"features": ["driver_hourly@1.0.0:avg_daily_trips"], "entity_rows": DRIVERS},
        {"features": ["driver_hourly@v1:avg_daily_trips"], "entity_rows": DRIVERS},
        {"service": "dispatch", "entity_rows": DRIVERS},
        {"features": TRIPS, "entity_rows": DRIVERS, "full_feature_names": True},
    )

    read = {"driver_id": [1007, 4711], "avg_daily_trips": [6, None]}
    for answer in (plain, exact, major, service):
        assert answer.get("answer") == read, answer
    assert full["answer"]["driver_hourly__avg_daily_trips"] == [6, None]


def test_what_is_refused_arrives_as_its_own_exceptions(feast):
    refusals = feast.ask(
        {"features": ["nope:x"], "entity_rows": DRIVERS},
        {"features": ["driver_hourly@v9:avg_daily_trips"], "entity_rows": DRIVERS},
        {"features": ["driver_hourly:nope"], "entity_rows": DRIVERS},
        {"service": "nope", "entity_rows": DRIVERS},
        {"features": TRIPS, "entity_rows": [{"user": 1}]},
        {"features": TRIPS, "entity_rows": [{"driver_id": "x"}]},
    )
    (stranger,) = feast.ask({"features": TRIPS, "entity_rows": DRIVERS}, token="assay_none")

    assert [each["kinds"][0].rpartition(".")[2] for each in [*refusals, stranger]] == [
        "FeatureViewNotFoundException",
        "FeatureViewVersionNotFound",
        "SpecifiedFeaturesNotPresentError",
        "FeatureServiceNotFoundException",
        "EntityNotFoundException",
        "FeastError",
        "FeastPermissionError",
    ]
    assert "builtins.PermissionError" in stranger["kinds"]
    assert "project rides has no feature view 'nope'." in refusals[0]["message"]
    assert refusals[0]["message"].endswith("(reference_not_found)")


def test_a_call_written_for_its_server_is_answered_when_the_rows_are_there(ours):
    server, token = ours
    url = f"{server.url}/api/v1/projects/rides/materialize-incremental"
    body = {
        "end_ts": datetime.now(UTC).isoformat(),
        "feature_views": ["driver_hourly"],
        "full_feature_names": False,
    }
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        (run,) = json.load(response)["runs"]

    assert (response.status, run["status"]) == (200, "succeeded")


def test_its_writes_and_its_pushes_are_in_the_next_read_and_in_training_sets(
    ours, feast_python, tmp_path
):
    server, token = ours
    feast = Feast(feast_python, tmp_path, server.url, token_of(server, "owner"))
    features = [f"last_trip:{name}" for name in TRIP if name != "driver_id"]
    read = {
        "features": features,
        "entity_rows": [{"driver_id": each} for each in TRIP["driver_id"]],
    }
    events = [(datetime.now(UTC) - timedelta(seconds=back)).isoformat() for back in (20, 10)]
    later = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    once = {name: values[:1] for name, values in TRIP.items()} | {"fare": [99.0]}

    written, first, pushed, second, unknown = feast.ask(
        {"by": "write_to_online_store", "rows": TRIP | {"event_timestamp": events}},
        dict(read),
        {"by": "push", "rows": once | {"event_timestamp": [later]}},
        dict(read),
        {"by": "push", "rows": once | {"event_timestamp": ["2126-01-01T00:00:00Z"]}},
    )
    (stranger,) = feast.ask(
        {"by": "push", "rows": once | {"event_timestamp": [later]}}, token=token
    )

    assert (written.get("answer", 0), pushed.get("answer", 0)) == (None, None), (written, pushed)
    paid = {"paid_at": ["2026-11-01T10:00:00.000000Z", None]}
    assert first["answer"] == TRIP | paid
    assert second["answer"] == TRIP | paid | {"fare": [99.0, 8.0]}
    assert unknown["kinds"][0] == "feast.errors.FeastError"
    assert unknown["message"].endswith("(rows_refused)")
    assert stranger["kinds"][0] == "feast.errors.FeastPermissionError"

    ana = FeatureStore(url=server.url, token=token, project="rides")
    frame = pa.table({"driver_id": [1007], "event_timestamp": [datetime.now(UTC)]})
    known = until(lambda: fares(ana, frame) != [None] and fares(ana, frame))
    assert known == [99.0]


def fares(store: FeatureStore, frame: pa.Table) -> list[float | None]:
    answer = store.get_historical_features(frame, ["last_trip:fare"]).to_arrow()
    return list(answer["fare"].to_pylist())
