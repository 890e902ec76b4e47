"""Feast on the same rows: run by the interpreter of FEAST_PYTHON, in an environment of its own.

``feast_peer.py FOLDER REDIS_PORT PARQUET OFFLINE`` makes a repository, materializes, says seconds.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64


def repository(folder: Path, redis_port: str, offline: str) -> FeatureStore:
    config = f"""
project: bench
registry: {folder}/registry.db
provider: local
online_store: {{type: redis, connection_string: "127.0.0.1:{redis_port},db=2"}}
offline_store: {{type: {offline}}}
entity_key_serialization_version: 3
"""
    (folder / "feature_store.yaml").write_text(config)
    return FeatureStore(repo_path=str(folder))


def wide_view(parquet: str) -> list[Entity | FeatureView]:
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    source = FileSource(
        path=parquet, timestamp_field="event_timestamp", created_timestamp_column="created"
    )
    schema = [Field(name=f"f{i}", dtype=Float64) for i in range(10)]
    view = FeatureView(
        name="wide", entities=[driver], schema=schema, source=source, ttl=timedelta(days=3650)
    )
    return [driver, view]


def main() -> None:
    folder, redis_port, parquet, offline = sys.argv[1:5]
    Path(folder).mkdir(parents=True, exist_ok=True)
    store = repository(Path(folder), redis_port, offline)
    store.apply(wide_view(parquet))
    end = datetime.now(UTC)
    begin = time.perf_counter()
    store.materialize(end - timedelta(days=40), end)
    print(json.dumps({"seconds": time.perf_counter() - begin}))


if __name__ == "__main__":
    main()
