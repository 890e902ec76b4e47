"""Celery shells of the run side: an id in, and one call.

Not for logic: ``runner`` has it. Not for retrying either: a message that waits for its time lies
unacknowledged in a worker, and where the broker is what is away none can be sent. A run that an
outage put back is queued in its row, and the sweep wakes a worker for it. Old workers survive new
arguments through ``**_``.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings

from lib.clock import database_now
from materialization.choices import RunQueue
from materialization.quality.alerts.notices import deliver, note_unended
from materialization.runner import caring, draining, indexing, telling
from materialization.runner.assaying import assay_submission
from materialization.runner.certifying import certify
from materialization.runner.run import take_turn

#: Seconds for one message: a channel that answers slowly, byte by byte, holds nothing up.
DELIVERY_SECONDS = 10
#: The last step of `nice`; a step further is a class of its own, of who runs when nobody else does.
MOST_NICE = 19


@shared_task(bind=True, acks_late=True, name="materialization.run")
def run_materialization(self: Any, *, run_id: int, **_: object) -> None:
    """Perform one run; what happened is in its row. One left queued by an outage is swept up.

    One that goes before it may be performed instead, and it is told of again.
    """
    if (self.request.delivery_info or {}).get("routing_key") == RunQueue.RUNS:
        _step_back()
    worker = str(self.request.hostname or "worker")
    for again in take_turn(run_id=run_id, worker=worker, clock=database_now):
        run_materialization.apply_async(kwargs={"run_id": again}, queue=RunQueue.RUNS)


@shared_task(bind=True, acks_late=True, name="materialization.certify")
def certify_table(self: Any, *, certificate_id: int, **_: object) -> None:
    """Perform one comparison; what it found is in its row."""
    worker = str(self.request.hostname or "worker")
    certify(certificate_id=certificate_id, worker=worker, clock=database_now)


@shared_task(bind=True, acks_late=True, name="materialization.assay")
def assay(self: Any, *, evidence_id: int, **_: object) -> None:
    """Compute the evidence of one submission; what was found is in its row."""
    worker = str(self.request.hostname or "worker")
    assay_submission(evidence_id=evidence_id, worker=worker, clock=database_now)


@shared_task(acks_late=True, name="materialization.care")
def care_for_tables(**_: object) -> None:
    """See to the tables whose files are due; what was done is in their rows."""
    caring.care_for_tables(clock=database_now)


@shared_task(acks_late=True, name="materialization.drain")
def drain_logs(**_: object) -> None:
    """Store what was pushed since; two that do so at once store it once."""
    draining.drain_logs()


@shared_task(acks_late=True, name="materialization.index")
def index_tables(**_: object) -> None:
    """Build what searches look through, of tables that were stored into since."""
    indexing.index_tables(clock=database_now)


@shared_task(acks_late=True, name="materialization.expire")
def expire_rows(**_: object) -> None:
    """Give rows of the online store whose end is near their expiry; remove those of nobody."""
    caring.expire_rows(at=database_now())


@shared_task(
    acks_late=True,
    name="materialization.tell_lineage",
    soft_time_limit=DELIVERY_SECONDS,
    time_limit=DELIVERY_SECONDS + 10,
)
def tell_lineage(*, words: str, **_: object) -> None:
    """Send one event to the lineage server; one that it does not take is lost, and logged."""
    with suppress(SoftTimeLimitExceeded):
        telling.send(words)


def _step_back() -> None:
    """Leave the processor to who waits for it: readers, and the web. What is started later too.

    Not for reloads, which readers wait for; a process that performs runs does nothing else.
    """
    if settings.RUN_NICENESS > MOST_NICE and hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    elif os.getpriority(os.PRIO_PROCESS, 0) < settings.RUN_NICENESS:
        os.setpriority(os.PRIO_PROCESS, 0, min(settings.RUN_NICENESS, MOST_NICE))


@shared_task(
    acks_late=True,
    name="materialization.deliver_notice",
    soft_time_limit=DELIVERY_SECONDS,
    time_limit=DELIVERY_SECONDS + 10,
)
def deliver_notice(*, notice_id: int, attempt: int, **_: object) -> None:
    """Make one attempt to send one message of an alert; what became of it is in its row.

    One that takes too long is ended and said to be; the sweep tries it again.
    """
    try:
        deliver(notice_id, attempt, allowed=settings.ALERT_HOSTS, clock=database_now)
    except SoftTimeLimitExceeded:
        note_unended(notice_id, attempt, at=database_now())
