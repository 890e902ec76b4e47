"""Offline rows as a run would commit them, and the few lines that ask for training sets over HTTP.

Not for runs: ``materialization``'s tests have those.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from materialization.edges.stores import offline_store
from materialization.queries import table_at
from materialization.stores.columns import computed_schema
from registry.operations.lifecycle.releases import mark_table_ready
from serving.historical.answers import write_answer
from serving.limits import ReadLimits
from tests import factories
from tests.materialization import store_cases
from tests.serving.online_world import committed

if TYPE_CHECKING:
    from datetime import datetime

    from django.test import Client

    from registry.models import FeatureViewVersion
    from serving.historical.training_set import TrainingSet

#: Far above what a test of one frame sends.
LIMITS = ReadLimits("HISTORICAL", 10, 100, 100, 10_000, 1 << 26)
URL = "/api/v1/projects/rides/get-historical-features"


def commit(version: FeatureViewVersion, rows: list[dict[str, Any]], *, sequence: int = 1) -> None:
    """Append rows of join keys, ``event``, ``created`` (default: the event) and features."""
    assert version.table is not None
    schema = computed_schema(version.spec)
    stamped = [
        {
            **row,
            "event_timestamp": row["event"],
            "created_timestamp": row.get("created", row["event"]),
        }
        for row in rows
    ]
    table = pa.Table.from_pylist([{n: row.get(n) for n in schema.names} for row in stamped], schema)
    store_cases.commit(
        offline_store(),
        table_at(version.table),
        table.to_batches(),
        sequence=sequence,
        transaction=f"commit-{sequence}",
        spec=version.spec,
    )


def stored_view(
    cast: factories.Cast,
    rows: list[dict[str, Any]],
    *,
    at: datetime,
    text: str = factories.DEFINITIONS,
) -> FeatureViewVersion:
    """Return an approved, ready version with ``rows`` in the offline store."""
    with committed():
        version = factories.make_version(cast, text=text)
    assert version.table is not None
    commit(version, rows)
    with committed():
        mark_table_ready(table=version.table, at=at, kept_for=None)
    return version


def ask(
    client: Client,
    token: str | None,
    body: dict[str, Any] | bytes,
    *,
    content_type: str = "application/json",
    accept: str = "application/json",
    query: str = "",
) -> Any:
    """POST a body; dicts travel as JSON."""
    return client.post(
        URL + query,
        data=body if isinstance(body, bytes) else json.dumps(body),
        content_type=content_type,
        headers={"Accept": accept, **({"Authorization": f"Bearer {token}"} if token else {})},
    )


def written(answer: TrainingSet, media_type: str) -> bytes:
    """Return a training set as it leaves in one form."""
    sink = io.BytesIO()
    write_answer(answer, media_type, sink)
    return sink.getvalue()


def answer(response: Any) -> dict[str, list[Any]]:
    """Return name → values of a JSON answer."""
    assert response.status_code == 200, response.content
    body = response.json()
    pairs = zip(body["metadata"]["feature_names"], body["results"], strict=True)
    return {name: result["values"] for name, result in pairs}
