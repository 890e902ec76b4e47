"""Celery shells: an id in, and one call. Not for logic: ``datasets`` and ``jobs`` have it.

What an outage put back is queued in its row, and the sweep wakes a worker for it. Old workers
survive new arguments through ``**_``.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task

from lib.clock import database_now
from materialization.edges.stores import usage_stream
from serving.datasets import making, verifying
from serving.datasets.edges import dataset_stores
from serving.jobs import making as answering
from serving.jobs.edges import job_bounds, job_limits, job_stores
from serving.usage import draining
from serving.usage.edges import stored_usage


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


@shared_task(bind=True, acks_late=True, name="serving.make_historical_job")
def make_historical_job(self: Any, *, job_id: int, **_: object) -> None:
    """Put one training set together; what became of it is in its row."""
    answering.make_answer(
        job_id=job_id,
        worker=_name(self),
        stores=job_stores(),
        limits=job_limits(),
        bounds=job_bounds(),
        clock=database_now,
    )


@shared_task(acks_late=True, name="serving.store_usage")
def store_usage(**_: object) -> None:
    """Store who read what since; two that do so at once store it once."""
    draining.drain(usage_stream(), stored_usage())


def _name(task: Any) -> str:
    return str(task.request.hostname or "worker")
