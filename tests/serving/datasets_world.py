"""Datasets asked for over HTTP and made by a worker, as tests of them need it."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from serving.datasets.edges import dataset_stores
from serving.datasets.making import make_dataset
from serving.datasets.verifying import verify_dataset
from serving.models import Dataset
from tests import factories
from tests.serving.online_world import committed

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User
    from django.test import Client

URL = "/api/v1/projects/rides/datasets"


class Caller:
    """Somebody who asks over HTTP."""

    def __init__(self, client: Client, user: User | None) -> None:
        token = factories.token_for(user) if user is not None else None
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def get(self, path: str = "", **query: Any) -> Any:
        return self._client.get(f"{URL}{path}", query, headers=self._headers)

    def post(self, path: str = "", body: Any = None, **more: Any) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body) if body is not None else b""
        sent = {"content_type": "application/json", **more}
        return self._client.post(f"{URL}{path}", data=data, headers=self._headers, **sent)

    def rows(self, name: str = "churn", number: int = 1) -> pa.Table:
        response = self.get(f"/{name}/{number}/download")
        assert response.status_code == 200, response.getvalue()
        return pq.read_table(io.BytesIO(response.getvalue()))


def make(at: datetime, *, worker: str = "w1") -> Dataset:
    """Have the newest dataset made, as the worker that is woken for it does."""
    newest = Dataset.objects.latest("pk")
    with committed():
        make_dataset(dataset_id=newest.pk, worker=worker, stores=dataset_stores(), clock=lambda: at)
    return Dataset.objects.get(pk=newest.pk)


def verify(caller: Caller, at: datetime, name: str = "churn", number: int = 1) -> dict[str, Any]:
    """Have a dataset computed again, and return what the check says."""
    asked = caller.post(f"/{name}/{number}/verify")
    assert asked.status_code == 202, asked.content
    check = asked.json()["id"]
    with committed():
        verify_dataset(check_id=check, worker="w1", stores=dataset_stores(), clock=lambda: at)
    found: dict[str, Any] = caller.get(f"/{name}/{number}/checks/{check}").json()
    return found
