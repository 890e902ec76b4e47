"""Feast's answer to the question of ``point_in_time``, run by Feast's own interpreter.

Prints its version, the seconds of one ``get_historical_features`` and the rows it gave.
Imports nothing of ours.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import feast
import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

FEATURES = [f"feature_{number}" for number in range(10)]


def main(features: str, entities: str, offline: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder), features, offline)
        frame = pd.read_parquet(entities)
        started = time.perf_counter()
        answer = store.get_historical_features(frame, [f"bench:{name}" for name in FEATURES])
        table = answer.to_arrow()
        seconds = time.perf_counter() - started
    # Its file store leaves out entity rows before an entity's first feature row: say how many came.
    print(feast.__version__, f"{seconds:.3f}", table.num_rows)


def make_store(folder: Path, features: str, offline: str) -> FeatureStore:
    """Register one view over the file in a local repository with an offline store of Feast's."""
    config = RepoConfig(
        project="bench",
        provider="local",
        registry=str(folder / "registry.db"),
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        offline_store={"type": offline},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    source = FileSource(
        path=features,
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )
    view = FeatureView(
        name="bench",
        entities=[driver],
        ttl=timedelta(0),
        schema=[Field(name=name, dtype=Float64) for name in FEATURES],
        source=source,
        online=False,
    )
    store.apply([driver, view])
    return store


if __name__ == "__main__":
    main(*sys.argv[1:])
