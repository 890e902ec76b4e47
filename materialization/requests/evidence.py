"""Waking workers for the evidence of submissions.

Submitting is the registry's, which knows of no worker: it leaves a row, and the sweep asks which
rows wait. Not for computing (``runner.assaying``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Q

from materialization import tasks
from materialization.requests.lost import is_unheard, lease_is_over
from materialization.runner.assaying import end, nothing
from materialization.runner.ending import MAX_ATTEMPTS
from registry.choices import EvidenceStatus
from registry.models import Evidence

if TYPE_CHECKING:
    from datetime import datetime

#: Rows that one sweep sees to.
_AT_ONCE = 100


def wake_for_evidence(*, at: datetime) -> None:
    """Tell a worker of evidence that nobody was told of, or of whose message nothing came."""
    waiting = Q(enqueued_at=None) | is_unheard(at)
    queued = Evidence.objects.filter(waiting, status=EvidenceStatus.WAITING)
    for pk in list(queued.order_by("pk").values_list("pk", flat=True)[:_AT_ONCE]):
        if queued.filter(pk=pk).update(enqueued_at=at):
            tasks.assay.delay(evidence_id=pk)


def requeue_evidence(*, at: datetime) -> None:
    """Queue again what a worker died over; after too many attempts it says so and is done."""
    is_dead = lease_is_over(at)
    dead = Evidence.objects.filter(is_dead, status=EvidenceStatus.COMPUTING)
    for evidence in dead.select_related("version__feature_view__project")[:_AT_ONCE]:
        if evidence.attempt >= MAX_ATTEMPTS:
            end(evidence, nothing(f"its worker died {evidence.attempt} times."), at=at)
        else:
            evidence.owned().filter(is_dead).update(
                status=EvidenceStatus.WAITING, enqueued_at=None, lease_expires_at=None
            )


#: What a sweep sees to, in order.
DUTIES = (requeue_evidence, wake_for_evidence)
