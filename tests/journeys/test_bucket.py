"""An offline store in a bucket on a real server, from a table in that bucket to a proven dataset.

And afterwards nothing that the server keeps has the bucket's secret.
"""

from __future__ import annotations

import urllib.request
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

from assay import FeatureStore
from tests import servers
from tests.buckets import KEY, SECRET, Bucket
from tests.factories import DEFINITIONS, SOURCE
from tests.journeys.test_golden_path import NOW, define, settled, trips, until, write_source

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.journey, pytest.mark.database("sqlite", "postgresql")]

TABLE = """
kind: DataSource
name: driver_stats
type: delta
connection: lake
path: trips
event_timestamp: event_timestamp
created_timestamp: created
"""
TEXT = DEFINITIONS.replace(SOURCE, TABLE)


def test_from_a_table_in_a_bucket_to_a_dataset_in_it_and_nothing_kept_here_has_the_secret(
    tmp_path: Path, storage: str, tmp_path_factory: Any
) -> None:
    bucket = Bucket(storage)
    folder, table = tmp_path / "sources", tmp_path / "trips"
    folder.mkdir()
    write_source(folder, "first.parquet", 20)
    write_deltalake(table, pq.read_table(folder / "first.parquet"))
    bucket.put_folder(table, "lake/trips")
    connections, secret = tmp_path / "connections.toml", tmp_path / "secret"
    for path, text in ((connections, bucket.toml), (secret, SECRET)):
        path.write_text(text)
        path.chmod(0o600)
    state = tmp_path_factory.mktemp("state")

    with servers.assay_server(
        state,
        FILE_ROOTS=str(folder),
        CONNECTIONS_FILE=str(connections),
        OFFLINE_STORE="s3://far/store",
        OFFLINE_STORE_ENDPOINT=bucket.url,
        OFFLINE_STORE_ACCESS_KEY_ID=KEY,
        OFFLINE_STORE_SECRET_ACCESS_KEY_FILE=str(secret),
    ) as server:
        ana, sam = (
            FeatureStore(url=server.url, token=token, project="rides")
            for token in settled(server, folder)
        )
        define(ana, sam, tmp_path / "features.yaml", TEXT, "driver_hourly")
        until(lambda: ana.get_feature_view("driver_hourly")["default_version"] == "1.0.0")

        assert trips(ana, 1007) == 6
        at = pa.array([NOW, NOW, NOW - timedelta(days=1)], pa.timestamp("us", tz="UTC"))
        keys = pa.array([1007, 4711, 1007], pa.int64())
        frame = pa.table({"driver_id": keys, "event_timestamp": at})
        answer = ana.get_historical_features(frame, ["driver_hourly:avg_daily_trips"]).to_arrow()
        assert answer["avg_daily_trips"].to_pylist() == [6, None, None]
        kept = ana.create_dataset("trips", frame, ["driver_hourly:avg_daily_trips"])
        assert kept.to_arrow().equals(answer)

        later = pq.read_table(folder / "first.parquet")
        seconds = datetime.now(UTC) - timedelta(seconds=1)
        now = pa.array([seconds] * later.num_rows, pa.timestamp("us", tz="UTC"))
        for column in ("event_timestamp", "created"):
            later = later.set_column(later.column_names.index(column), column, now)
        write_deltalake(table, later, mode="append")
        bucket.put_folder(table, "lake/trips")
        sam.materialize_incremental(datetime.now(UTC))
        until(lambda: len(ana.offline_paths("driver_hourly")) == 2)

        assert kept.verify()["verdict"] == "equal"
        paths = ana.offline_paths("driver_hourly")
        with urllib.request.urlopen(paths[0]) as opened:  # noqa: S310 - our own server's
            assert pq.read_table(pa.BufferReader(opened.read())).num_rows == 20

    kinds = {key.split("/")[1] for key in bucket.keys("store")}
    assert kinds == {"_datasets", "rides"}
    found = [path for path in state.rglob("*") if path.is_file()]
    assert len(found) > 10
    assert [path for path in found if SECRET.encode() in path.read_bytes()] == []
