"""Calls of Feast's own client, run by an interpreter that has it: JSON in, one answer a call out.

Not for what they should say: ``test_feast_client`` does. Nothing of ours is imported.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any


def read(store: Any, call: dict[str, Any]) -> Any:
    from feast import FeatureService  # type: ignore[import-not-found]  # noqa: PLC0415

    service = call.pop("service", None)
    features = FeatureService(name=service, features=[]) if service else call.pop("features")
    return store.get_online_features(features=features, **call).to_dict()


def declare(store: Any) -> None:
    """Register what its writes look up: the view ``last_trip`` over the push source ``trips``."""
    from feast import (  # noqa: PLC0415
        Entity,
        FeatureView,
        Field,
        FileSource,
        PushSource,
        ValueType,
        types,
    )

    driver = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
    file = FileSource(name="trips_file", path="none.parquet", timestamp_field="event_timestamp")
    view = FeatureView(
        name="last_trip",
        entities=[driver],
        source=PushSource(name="trips", batch_source=file),
        schema=[
            Field(name="driver_id", dtype=types.Int64),
            Field(name="fare", dtype=types.Float64),
            Field(name="stars", dtype=types.Float32),
            Field(name="seats", dtype=types.Int32),
            Field(name="town", dtype=types.String),
            Field(name="stops", dtype=types.Array(types.Int64)),
            Field(name="paid_at", dtype=types.UnixTimestamp),
        ],
    )
    store.apply([driver, view])


def write(store: Any, call: dict[str, Any]) -> None:
    """Send rows by ``write_to_online_store`` or by ``push``; times arrive as text."""
    import pandas as pd  # noqa: PLC0415 - Feast's own

    frame = pd.DataFrame(call["rows"])
    for name in ("event_timestamp", "paid_at"):
        if name in frame:
            frame[name] = pd.to_datetime(frame[name])
    if call["by"] == "push":
        store.push("trips", frame)
    else:
        store.write_to_online_store("last_trip", frame)


def main() -> None:
    """Read ``{"repo", "calls": [{"features" | "service" | "rows", …}]}``; print the answers."""
    from feast import FeatureStore  # noqa: PLC0415

    asked = json.load(sys.stdin)
    store = FeatureStore(repo_path=asked["repo"])
    if any("rows" in call for call in asked["calls"]):
        declare(store)
    answers: list[dict[str, Any]] = []
    for call in asked["calls"]:
        began = time.monotonic()
        try:
            answers.append({"answer": (write if "rows" in call else read)(store, call)})
        except Exception as exc:  # noqa: BLE001 - which one it is, is the question
            kinds = [f"{kind.__module__}.{kind.__qualname__}" for kind in type(exc).__mro__]
            answers.append({"kinds": kinds, "message": str(exc)})
        answers[-1]["seconds"] = time.monotonic() - began
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
