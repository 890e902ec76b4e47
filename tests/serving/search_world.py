"""Views with vectors that were loaded by real runs, and the few lines that search them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from materialization.models import VectorIndex
from serving.edges import online_limits
from serving.search.read import search
from serving.search.request import parse_request
from tests import factories
from tests.materialization.run_world import AT, HOUR, INSTANT, committed, materialize

if TYPE_CHECKING:
    from pathlib import Path

    from registry.models import FeatureViewVersion
    from serving.search.answering import SearchAnswer

LENGTH = 4
TEXT = """
kind: Entity
name: document
join_keys: [{name: document_id, type: int64}]
---
kind: DataSource
name: documents
type: file
path: documents.parquet
event_timestamp: event_timestamp
---
kind: FeatureView
name: documents
entities: [document]
source: documents
features:
  - {name: embedding, type: vector<4>}
  - {name: state, type: string}
  - {name: pages, type: int32}
  - {name: price, type: float32}
  - {name: is_open, type: bool}
  - {name: written, type: timestamp}
  - {name: day, type: date}
  - {name: mark, type: bytes}
  - {name: words, type: list<string>}
ttl: 10d
"""
SCHEMA = pa.schema(
    [
        ("document_id", pa.int64()),
        ("event_timestamp", INSTANT),
        ("embedding", pa.list_(pa.float32())),
        ("state", pa.string()),
        ("pages", pa.int32()),
        ("price", pa.float32()),
        ("is_open", pa.bool_()),
        ("written", INSTANT),
        ("day", pa.date32()),
        ("mark", pa.binary()),
        ("words", pa.list_(pa.string())),
    ]
)
FEATURE = "documents:embedding"


def row(document_id: int, embedding: list[float] | None, **values: Any) -> dict[str, Any]:
    """Return a row of an hour ago; what is left out is null."""
    found = {"document_id": document_id, "event_timestamp": AT - HOUR, "embedding": embedding}
    return dict.fromkeys(SCHEMA.names) | found | values


def write(folder: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / "documents.parquet")


def loaded(
    cast: factories.Cast, sources: Path, rows: list[dict[str, Any]], *, text: str = TEXT
) -> FeatureViewVersion:
    """Return a version of a view that a run has loaded these rows of."""
    write(sources, rows)
    with committed():
        version = factories.make_version(cast, text=text)
    load(version)
    return version


def load(version: FeatureViewVersion, **asked: Any) -> None:
    with committed():
        run = materialize(version, **asked)
    assert run.status == "succeeded", run.error
    index = VectorIndex.objects.get(table=version.table)
    assert index.error == "", index.error


def ask(token: str, *, at: Any = AT, **asked: Any) -> SearchAnswer:
    """Search ``documents:embedding`` unless another feature is asked for."""
    body = json.dumps({"feature": FEATURE, **asked}).encode()
    return search(
        project="rides",
        token=token,
        request=parse_request(body),
        at=at,
        limits=online_limits(),
    )


def ids(answer: SearchAnswer) -> list[int]:
    return [entity["document_id"] for entity in answer.entities]


def post(client: Any, token: str | None, body: dict[str, Any] | bytes) -> Any:
    return client.post(
        "/api/v1/projects/rides/search",
        data=body if isinstance(body, bytes) else json.dumps(body),
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}"} if token else {},
    )
