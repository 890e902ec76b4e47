"""Celery shells of the run side: an id in, one call, and the one decision about retrying.

Not for logic: ``runner`` has it. Old workers survive new arguments through ``**_``.
"""

from __future__ import annotations

from typing import Any

from celery import shared_task

from lib.clock import database_now
from materialization.clocks import note_clock
from materialization.runner.run import run


@shared_task(bind=True, acks_late=True, name="materialization.run")
def run_materialization(self: Any, *, run_id: int, **_: object) -> None:
    """Perform one run; what happened is in its row. One left queued by an outage is swept up."""
    worker = str(self.request.hostname or "worker")
    note_clock(worker)
    run(run_id=run_id, worker=worker, clock=database_now)
