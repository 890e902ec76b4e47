"""Celery shells of the run side: an id in, and one call.

Not for logic: ``runner`` has it. Not for retrying either: a message that waits for its time lies
unacknowledged in a worker, and where the broker is what is away none can be sent. A run that an
outage put back is queued in its row, and the sweep wakes a worker for it. Old workers survive new
arguments through ``**_``.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task

from lib.clock import database_now
from materialization.runner.run import run


@shared_task(bind=True, acks_late=True, name="materialization.run")
def run_materialization(self: Any, *, run_id: int, **_: object) -> None:
    """Perform one run; what happened is in its row. One left queued by an outage is swept up."""
    run(run_id=run_id, worker=str(self.request.hostname or "worker"), clock=database_now)
