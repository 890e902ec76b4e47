"""Celery shells: an id in, and one call. Not for logic: ``datasets`` has it.

What an outage put back is queued in its row, and the sweep wakes a worker for it. Old workers
survive new arguments through ``**_``.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task

from lib.clock import database_now
from serving.datasets import making, verifying
from serving.datasets.edges import dataset_stores


@shared_task(bind=True, acks_late=True, name="serving.make_dataset")
def make_dataset(self: Any, *, dataset_id: int, **_: object) -> None:
    """Make one dataset; what became of it is in its row."""
    making.make_dataset(
        dataset_id=dataset_id, worker=_name(self), stores=dataset_stores(), clock=database_now
    )


@shared_task(bind=True, acks_late=True, name="serving.verify_dataset")
def verify_dataset(self: Any, *, check_id: int, **_: object) -> None:
    """Compute one dataset again; what was found is in the check's row."""
    verifying.verify_dataset(
        check_id=check_id, worker=_name(self), stores=dataset_stores(), clock=database_now
    )


def _name(task: Any) -> str:
    return str(task.request.hostname or "worker")
