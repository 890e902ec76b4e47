"""What somebody has to see to though it keeps nobody from reading: ``/readyz?deep=1`` says it.

Not for what a load balancer asks: ``health`` has that. Each check is words, ``ok`` where nothing is
to be seen to.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import Error as DatabaseFailed
from django.db.models import Count, Min, Q

from lib.clock import database_now
from materialization.choices import LIVE_STATUSES, RunStatus, Severity
from materialization.clocks import SILENT_AFTER, last_heard
from materialization.models import Alert, MaterializationRun
from materialization.quality.freshness import freshness_of
from registry.queries import served_versions

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.db.models import QuerySet

OK = "ok"
#: A run that waits for longer is said to: its queue stands still, or has too few workers.
LONGEST_WAIT = timedelta(minutes=5)
#: The kinds of processes there are, as their names begin, and what stands still without one.
KINDS = {
    "beat": "no sweep is asked for",
    "sweep": "nothing due is started, and nothing that died taken up",
    "worker": "nothing is computed",
    "reload": "what Redis loses is not filled again",
}


def check_processes() -> str:
    """Say which kind of process has not been heard of for a while, and what that means."""
    try:
        heard, now = last_heard(), database_now()
    except DatabaseFailed as error:
        return f"unknown: {type(error).__name__}"
    silent = [
        f"no {kind} has been heard of {_since(heard.get(kind), now)}: {what}"
        for kind, what in KINDS.items()
        if kind not in heard or heard[kind] < now - SILENT_AFTER
    ]
    return f"{OK}, but {'; '.join(silent)}" if silent else OK


def _since(last: datetime | None, now: datetime) -> str:
    return "yet" if last is None else f"for {_words(now - last)}"


def check_queues() -> str:
    """Say where runs wait for long, and whether others run meanwhile."""
    try:
        now = database_now()
        queues = list(_queues())
    except DatabaseFailed as error:
        return f"unknown: {type(error).__name__}"
    late = [
        f"{queue['waiting']} wait in the queue {queue['queue']}, the first for"
        f" {_words(now - queue['first'])}, while {queue['running'] or 'none'} of it run"
        for queue in queues
        if queue["first"] is not None and queue["first"] < now - LONGEST_WAIT
    ]
    return f"{OK}, but {'; '.join(late)}" if late else OK


def _queues() -> QuerySet[MaterializationRun, Any]:
    """Return how many runs of each queue run, how many were never begun, and since when."""
    waits = Q(status=RunStatus.QUEUED, attempt=0)
    live = MaterializationRun.objects.filter(status__in=LIVE_STATUSES).order_by("queue")
    return live.values("queue").annotate(
        waiting=Count("pk", filter=waits),
        first=Min("requested_at", filter=waits),
        running=Count("pk", filter=Q(status=RunStatus.RUNNING)),
    )


def check_freshness() -> str:
    """Say how many versions are older than they promise; which, is for those who may see them."""
    try:
        found = freshness_of(served_versions().defer("packet"), at=database_now())
    except DatabaseFailed as error:
        return f"unknown: {type(error).__name__}"
    late = sum(fresh.is_overdue for fresh in found.values())
    return f"{OK}, but {late} of {len(found)} versions are older than they promise" if late else OK


def check_alerts() -> str:
    """Say how many alerts are open, and how many of them grave."""
    try:
        found = Counter(Alert.objects.open().values_list("severity", flat=True))
    except DatabaseFailed as error:
        return f"unknown: {type(error).__name__}"
    critical = found[Severity.CRITICAL]
    words = f"{found.total()} alerts are open, {critical} critical: see the admin"
    return f"{OK}, but {words}" if found else OK


def _words(time: timedelta) -> str:
    seconds = time.total_seconds()
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


DEEP_CHECKS: dict[str, Callable[[], str]] = {
    "processes": check_processes,
    "queues": check_queues,
    "freshness": check_freshness,
    "alerts": check_alerts,
}
