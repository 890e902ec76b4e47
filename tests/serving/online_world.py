"""Versions with rows in the online store, and the few lines that ask for them over HTTP.

Not for runs: rows are written as a run would write them.
"""

from __future__ import annotations

import io
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from django.test import TestCase

from materialization.edges.stores import online_store
from materialization.stores.layout import HEADER_COLUMNS, layout_of
from registry.operations.lifecycle.releases import mark_table_ready
from tests import factories

if TYPE_CHECKING:
    from datetime import datetime

    from django.test import Client

    from registry.models import FeatureTable, FeatureViewVersion

#: Finishes a block's changes: a test's own transaction never commits, so epochs would stay pending.
committed = partial(TestCase.captureOnCommitCallbacks, execute=True)
INSTANT = pa.timestamp("us", tz="UTC")
PATH = "/api/v1/projects/rides/get-online-features"


def table_of(version: FeatureViewVersion) -> FeatureTable:
    assert version.table is not None
    return version.table


def write(
    version: FeatureViewVersion, rows: list[dict[str, Any]], *, at: datetime, sequence: int = 1
) -> None:
    """Write rows of join keys, ``event`` and features; what a row leaves out is null."""
    spec = version.spec
    kinds = {key.name: key.value_type.arrow for key in spec.join_keys}
    kinds |= {feature.name: feature.value_type.arrow for feature in spec.features}
    arrays = [pa.array([row.get(name) for row in rows], kind) for name, kind in kinds.items()]
    events = pa.array([row["event"] for row in rows], INSTANT)
    sequences = pa.array([sequence] * len(rows), pa.int64())
    batch = pa.RecordBatch.from_arrays(
        [*arrays, events, events, sequences], [*kinds, *HEADER_COLUMNS]
    )
    layout = layout_of(spec, uid=table_of(version).uid)
    online_store().write(layout, [batch], ttl=spec.ttl, at=at)


def load(
    version: FeatureViewVersion,
    rows: list[dict[str, Any]],
    *,
    at: datetime,
    sequence: int = 1,
    generation: int = 1,
) -> FeatureViewVersion:
    """Write rows, mark the table loaded and ready; the first ready version becomes default."""
    write(version, rows, at=at, sequence=sequence)
    store, uid = online_store(), table_of(version).uid
    ticket = store.begin_load(uid)
    assert store.finish_load(uid, ticket, generation=generation, as_of=at, sequence=1, ttl=None)
    with committed():
        mark_table_ready(table=table_of(version), at=at, kept_for=None, generation=generation)
    table_of(version).refresh_from_db()
    return version


def loaded_view(
    cast: factories.Cast, text: str, rows: list[dict[str, Any]], *, at: datetime
) -> FeatureViewVersion:
    with committed():
        version = factories.make_version(cast, text=text)
    return load(version, rows, at=at)


def ask(
    client: Client, token: str | None, body: dict[str, Any] | bytes, *, project: str = "rides"
) -> Any:
    """POST a body; dicts travel as JSON."""
    return client.post(
        f"/api/v1/projects/{project}/get-online-features",
        data=body if isinstance(body, bytes) else json.dumps(body),
        content_type="application/json",
        headers={"Authorization": f"Bearer {token}"} if token else {},
    )


def columns(response: Any) -> dict[str, tuple[list[Any], list[str]]]:
    """Return name → (values, statuses) of an answer."""
    assert response.status_code == 200, response.content
    answer = response.json()
    pairs = zip(answer["metadata"]["feature_names"], answer["results"], strict=True)
    return {name: (result["values"], result["statuses"]) for name, result in pairs}


def call(
    application: Any,
    *,
    body: dict[str, Any],
    method: str = "POST",
    path: str = PATH,
    token: str,
    host: str = "localhost",
) -> tuple[str, dict[str, str], bytes]:
    """Return (status line, headers, body) of one WSGI call."""
    text = json.dumps(body).encode()
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(text)),
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "HTTP_HOST": host,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(text),
        "wsgi.errors": io.StringIO(),
    }
    said: list[tuple[str, list[tuple[str, str]]]] = []
    answer = b"".join(application(environ, lambda status, headers: said.append((status, headers))))
    return said[0][0], dict(said[0][1]), answer
