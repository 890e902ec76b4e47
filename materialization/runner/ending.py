"""How a run ends: one function, however it comes to that, and what follows from an end.

Not for performing a run (``run``). A worker that finishes, the sweep that finds a dead one and a
person who cancels a waiting run all come here; what else has to happen at an end is a line in
``FOLLOWS``.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import transaction
from django.db.models import Q

from materialization.choices import (
    UNFINISHED_STATUSES,
    UNSUCCESSFUL_STATUSES,
    RunKind,
    RunStatus,
    RunStep,
)
from materialization.metrics import count_run
from materialization.models import MaterializationRun
from materialization.quality.alerts.drift import alert_of_drift
from materialization.quality.alerts.runs import alert_of_run
from materialization.runner.quarantine import follow_end
from materialization.runner.telling import tell_end
from registry import audit

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.contrib.auth.models import User
    from django.db.models import QuerySet

    from lib.errors import Unavailable

log = logging.getLogger(__name__)
#: How often a run is tried: after outages of a part we depend on, and after workers that died.
MAX_ATTEMPTS = 3
#: After what time a run that waits for another looks whether that is over.
LOOKS_AGAIN = timedelta(seconds=15)


class Pause(NamedTuple):
    """How long the system waits before it tries again: twice as long after each failure more."""

    first: timedelta
    longest: timedelta

    def after(self, failures: int) -> timedelta:
        doublings = 1 << min(failures - 1, 20)
        return min(self.first * doublings, self.longest)


AFTER_FAILURE = Pause(timedelta(minutes=1), timedelta(hours=1))
#: What passes by itself is often over in a moment: a server that starts again, a file at rest.
AFTER_OUTAGE = Pause(timedelta(seconds=5), timedelta(minutes=5))


class Ending(NamedTuple):
    """What became of a run; ``error`` is for people, ``code`` and ``traceback`` say more of it.

    ``example`` is what of the data the error is about; neither log nor trail have it. ``passes``:
    a part that we depend on did not do what was asked of it, and may in a moment.
    """

    status: RunStatus
    error: str = ""
    code: str = ""
    traceback: str = ""
    example: str = ""
    passes: bool = False


def end_run(
    run: MaterializationRun,
    ending: Ending,
    *,
    among: QuerySet[MaterializationRun],
    actor: User | None,
    at: datetime,
) -> bool:
    """End the run if it is still one of ``among``; return whether it was.

    ``among`` says in which state, and by whose attempt, it may end: of several who try one does.
    The end and all that follows from it are one transaction. Without ``actor`` the system did it.
    """
    columns: dict[str, object] = {
        "status": ending.status,
        "finished_at": at,
        "lease_expires_at": None,
        "error": ending.error,
        "error_code": ending.code,
        "traceback": ending.traceback,
        "example": ending.example,
    }
    if ending.status == RunStatus.SUCCEEDED:
        columns |= {"step": RunStep.DONE, "progress": 1.0}
    with transaction.atomic():
        columns |= _next_try(run, ending, at)
        if not among.filter(pk=run.pk).update(**columns):
            return False
        for name, value in columns.items():
            setattr(run, name, value)
        for follow in FOLLOWS:
            follow(run, actor, at)
    return True


def _next_try(run: MaterializationRun, ending: Ending, at: datetime) -> dict[str, Any]:
    """Say when the table's next run may start by itself.

    Cancelled ones count as failures: who stopped a run does not want it back within seconds.
    Loading again is another matter than storing: neither counts what became of the other, but
    whoever stores loads too.
    """
    if ending.status == RunStatus.SUCCEEDED:
        return {"failures": 0, "retry_at": None}
    ended = MaterializationRun.objects.filter(table=run.table_id).exclude(pk=run.pk)
    is_reload = Q(kind=RunKind.RELOAD)
    ended = ended.filter(
        is_reload | Q(status=RunStatus.SUCCEEDED) if run.kind == RunKind.RELOAD else ~is_reload
    )
    before = ended.exclude(status__in=UNFINISHED_STATUSES).order_by("-id").values_list("failures")
    failures = 1 + (before.first() or (0,))[0]
    pause = AFTER_OUTAGE if ending.passes else AFTER_FAILURE
    return {"failures": failures, "retry_at": at + pause.after(failures)}


def put_aside(
    run: MaterializationRun,
    *,
    among: QuerySet[MaterializationRun],
    actor: User | None,
    at: datetime,
) -> bool:
    """Let a run lie if it is still one of ``among``; return whether it was.

    It has no worker and no lease, and nothing but a person lets it go on.
    """
    columns: dict[str, Any] = {
        "status": RunStatus.PAUSED,
        "lease_expires_at": None,
        "pause_requested": False,
        "paused_at": at,
        "retry_at": None,
    }
    with transaction.atomic():
        if not among.filter(pk=run.pk).update(**columns):
            return False
        for name, value in columns.items():
            setattr(run, name, value)
        audit.record(actor=actor, verb="materialization_run.paused", subject=run, at=at)
    return True


def queue_again(
    run: MaterializationRun,
    *,
    among: QuerySet[MaterializationRun],
    at: datetime,
    outage: Unavailable | None = None,
) -> bool:
    """Let a run be tried again if it is still one of ``among``; return whether it was.

    After an ``outage`` the sweep wakes a worker for it when it has paused; else the caller does.
    No end: nothing follows from it. Whoever calls sees to ``MAX_ATTEMPTS``.
    """
    waiting: dict[str, Any] = {
        "status": RunStatus.QUEUED,
        "step": RunStep.QUEUED,
        "enqueued_at": at,
        "lease_expires_at": None,
        "error": "",
        "error_code": "",
    }
    if outage is not None:
        waiting["retry_at"] = at + AFTER_OUTAGE.after(max(run.tries, 1))
        waiting |= {"error": outage.message, "error_code": outage.code}
    return bool(among.filter(pk=run.pk).update(**waiting))


def wait_for(
    run: MaterializationRun,
    awaited: Unavailable,
    *,
    among: QuerySet[MaterializationRun],
    at: datetime,
) -> bool:
    """Let a queued run be looked at again when something else may be done; it was no attempt.

    Returns whether it is still one of ``among``.
    """
    said = {"error": awaited.message, "error_code": awaited.code}
    return bool(among.filter(pk=run.pk).update(retry_at=at + LOOKS_AGAIN, enqueued_at=at, **said))


def _leave_trail(run: MaterializationRun, actor: User | None, at: datetime) -> None:
    audit.record(
        actor=actor,
        verb=f"materialization_run.{run.status}",
        subject=run,
        data={
            "rows_offline": run.rows_offline,
            "rows_online": run.rows_online,
            "error": run.error,
        },
        at=at,
    )


def _say_in_log(run: MaterializationRun, actor: User | None, at: datetime) -> None:
    """Leave a line for whoever reads the worker's log; what went wrong stands out."""
    level = logging.WARNING if run.status in UNSUCCESSFUL_STATUSES else logging.INFO
    rows = f"{run.rows_offline} rows offline, {run.rows_online} online"
    words = "%s %s: %s%s"
    said = (run, run.status, rows, f"; {run.error}" if run.error else "")
    log.log(level, words, *said, extra={"fields": _fields(run, at)})


def _fields(run: MaterializationRun, at: datetime) -> dict[str, Any]:
    """Return a run's facts for whoever counts and searches lines."""
    worked = run.worked(at=at)
    return {
        "event": "run_ended",
        "run": run.pk,
        "feature_view": str(run.version),
        "kind": run.kind,
        "status": run.status,
        "error_code": run.error_code,
        "attempt": run.attempt,
        "window_end": run.window_end.isoformat(),
        "rows_read": run.rows_read,
        "rows_offline": run.rows_offline,
        "rows_online": run.rows_online,
        "seconds": None if worked is None else round(worked.total_seconds(), 3),
        "paused_seconds": round(run.lay_paused(at=at).total_seconds(), 3),
    }


#: What happens at every end, in the transaction of the end. It gets the run as it is now, who ended
#: it (None: the system) and when; what it raises undoes the end.
FOLLOWS: tuple[Callable[[MaterializationRun, User | None, datetime], None], ...] = (
    follow_end,
    alert_of_run,  # before the trail, which is locked last
    alert_of_drift,
    _leave_trail,
    _say_in_log,
    count_run,
    tell_end,
)
