"""A table of another database, from its definition to an online answer, on a real server.

And afterwards nothing that the server keeps, wherever it keeps it, has the connection's secret.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from assay import FeatureStore
from tests import servers
from tests.factories import DEFINITIONS, SOURCE
from tests.journeys.test_golden_path import NOW, define, settled, trips, until
from tests.postgres import PASSWORD, Database

if TYPE_CHECKING:
    from pathlib import Path

    from tests import postgres

pytestmark = [pytest.mark.journey, pytest.mark.database("sqlite", "postgresql")]

TABLE = """
kind: DataSource
name: driver_stats
type: postgres
connection: warehouse
query: >-
  SELECT driver_id, at AS event_timestamp, at AS created, rate AS conv_rate, rate AS acc_rate,
  trips AS avg_daily_trips
  FROM trips JOIN drivers USING (driver)
event_timestamp: event_timestamp
created_timestamp: created
"""
TEXT = DEFINITIONS.replace(SOURCE, TABLE)


def test_from_a_table_to_an_online_answer_and_nothing_kept_has_the_secret(
    tmp_path: Path, postgres_process: postgres.Server, tmp_path_factory: Any
) -> None:
    warehouse = Database(postgres_process)
    warehouse.run(
        "CREATE TABLE drivers (driver text, driver_id bigint)",
        "CREATE TABLE trips (driver text, at timestamptz, rate real, trips int)",
        "INSERT INTO drivers VALUES ('ann', 1007), ('bob', 1008)",
        f"INSERT INTO trips VALUES ('ann', '{NOW - timedelta(hours=2)}', 0.5, 6)",
        f"INSERT INTO trips VALUES ('bob', '{NOW - timedelta(minutes=5)}', 0.25, 9)",
    )
    connections = tmp_path / "connections.toml"
    by_variable = warehouse.toml.replace(f'password = "{PASSWORD}"', 'password_env = "PG_SECRET"')
    connections.write_text(by_variable)
    connections.chmod(0o600)
    root, state = tmp_path / "sources", tmp_path_factory.mktemp("state")
    root.mkdir()

    with servers.assay_server(
        state, FILE_ROOTS=str(root), CONNECTIONS_FILE=str(connections), PG_SECRET=PASSWORD
    ) as server:
        ana, sam = (
            FeatureStore(url=server.url, token=token, project="rides")
            for token in settled(server, root)
        )
        (before,) = ana.list_connections()
        assert (before["name"], before["ok"]) == ("warehouse", None)
        assert sam.test_connection("warehouse")["ok"]

        define(ana, sam, tmp_path / "features.yaml", TEXT, "driver_hourly")
        until(lambda: ana.get_feature_view("driver_hourly")["default_version"] == "1.0.0")

        assert (trips(ana, 1007), trips(ana, 1008)) == (6, 9)
        at = pa.array([NOW, NOW - timedelta(hours=1)], pa.timestamp("us", tz="UTC"))
        frame = pa.table({"driver_id": pa.array([1008, 1007], pa.int64()), "event_timestamp": at})
        answer = ana.get_historical_features(frame, ["driver_hourly:avg_daily_trips"]).to_arrow()
        assert answer["avg_daily_trips"].to_pylist() == [9, 6]

        warehouse.run(f"INSERT INTO trips VALUES ('ann', '{NOW - timedelta(minutes=1)}', 0.5, 7)")
        sam.materialize_incremental(datetime.now(UTC))
        until(lambda: trips(ana, 1007) == 7)

    kept = [path for path in state.rglob("*") if path.is_file()]
    assert len(kept) > 10
    assert [path for path in kept if PASSWORD.encode() in path.read_bytes()] == []
