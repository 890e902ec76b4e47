"""What stands still: kinds of processes that nobody hears of, queues without a worker or a turn.

Not for telling of it: ``requests.watch`` opens alerts, the deep readiness check has words.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Min, Q
from django.db.models.functions import Coalesce

from materialization.choices import LIVE_STATUSES, RunStatus
from materialization.clocks import SILENT_AFTER, last_heard
from materialization.models import MaterializationRun, ProcessClock

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from django.db.models import QuerySet

#: A run that waits for longer is said to: its queue stands still, or has too few workers.
LONGEST_WAIT = timedelta(minutes=5)
#: The queues there are, the kind of process that takes from each, and what waits without one.
QUEUES = {
    "runs": ("worker", "nothing is computed"),
    "certificates": ("worker", "no store is compared, no table cared for, no vector indexed"),
    "evidence": ("worker", "nothing is looked at for reviewers"),
    "datasets": ("worker", "no dataset and no historical job is made"),
    "sweep": ("sweep", "nothing due is started, and nothing that died taken up"),
    "reloads": ("reload", "what Redis loses is not filled again"),
    "alerts": ("reload", "no pushed row or note of a read is stored, no message or mail sent"),
}
#: The kinds of processes there are, as their names begin, and what stands still without one.
KINDS = {"beat": "no sweep is asked for"} | {
    kind: ", ".join(waits for taker, waits in QUEUES.values() if taker == kind)
    for kind, _ in QUEUES.values()
}


def silent_kinds(*, at: datetime) -> dict[str, str]:
    """Return of each kind of which none was heard of for a while what that means, in words."""
    heard = last_heard()
    return {
        kind: f"no {kind} has been heard of {_since(heard.get(kind), at)}: {what}"
        for kind, what in KINDS.items()
        if kind not in heard or heard[kind] < at - SILENT_AFTER
    }


def takers(*, at: datetime) -> dict[str, int]:
    """Return of each queue how many processes that live take from it."""
    return _takers(_living(at))


def untaken_queues(*, at: datetime) -> dict[str, str]:
    """Return of each queue that no process takes from what that means, in words.

    Not where none of the kind is heard of that is to: ``silent_kinds`` says that.
    """
    living = _living(at)
    kinds = {process.partition("@")[0] for process, _ in living}
    return {
        queue: f"no process takes from the queue {queue}: {QUEUES[queue][1]}"
        for queue, count in _takers(living).items()
        if not count and QUEUES[queue][0] in kinds
    }


def _living(at: datetime) -> list[tuple[str, list[str]]]:
    heard = ProcessClock.objects.filter(measured_at__gte=at - SILENT_AFTER)
    return list(heard.values_list("process", "queues"))


def _takers(living: Iterable[tuple[str, list[str]]]) -> dict[str, int]:
    counts = Counter(queue for _, queues in living for queue in queues)
    return {queue: counts[queue] for queue in QUEUES}


def waiting_queues(*, at: datetime) -> dict[str, tuple[int, str]]:
    """Return of each queue in which runs wait for long how many of it run, and that in words."""
    return {
        queue["queue"]: (
            queue["running"],
            f"{queue['waiting']} wait in the queue {queue['queue']}, the first for"
            f" {_words(at - queue['first'])}, while {queue['running'] or 'none'} of it run",
        )
        for queue in _queues()
        if queue["first"] is not None and queue["first"] < at - LONGEST_WAIT
    }


def _queues() -> QuerySet[MaterializationRun, Any]:
    """Return how many runs of each queue run, how many were never begun, and since when."""
    waits = Q(status=RunStatus.QUEUED, attempt=0)
    live = MaterializationRun.objects.filter(status__in=LIVE_STATUSES).order_by("queue")
    return live.values("queue").annotate(
        waiting=Count("pk", filter=waits),
        first=Min(Coalesce("resumed_at", "requested_at"), filter=waits),
        running=Count("pk", filter=Q(status=RunStatus.RUNNING)),
    )


def _since(last: datetime | None, now: datetime) -> str:
    return "yet" if last is None else f"for {_words(now - last)}"


def _words(time: timedelta) -> str:
    seconds = time.total_seconds()
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
