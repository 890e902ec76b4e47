"""Datasets asked for over HTTP and made by a worker, as tests of them need it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from serving.datasets.edges import dataset_stores
from serving.datasets.making import make_dataset
from serving.datasets.verifying import verify_dataset
from serving.models import Dataset
from tests.serving.callers import Asking
from tests.serving.online_world import committed

if TYPE_CHECKING:
    from datetime import datetime

URL = "/api/v1/projects/rides/datasets"


class Caller(Asking):
    url = URL

    def rows(self, name: str = "churn", number: int = 1) -> pa.Table:
        return self.downloaded(f"/{name}/{number}")


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
