"""How a run ends: one function, however it comes to that, and what follows from an end.

Not for performing a run (``run``). A worker that finishes, the sweep that finds a dead one and a
person who cancels a waiting run all come here; what else has to happen at an end is a line in
``FOLLOWS``.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from django.db import transaction

from materialization.choices import UNSUCCESSFUL_STATUSES, RunStatus, RunStep
from registry import audit

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.contrib.auth.models import User
    from django.db.models import QuerySet

    from materialization.models import MaterializationRun

log = logging.getLogger(__name__)
#: How often a run is tried: after outages of a part we depend on, and after workers that died.
MAX_ATTEMPTS = 3


class Ending(NamedTuple):
    """What became of a run; ``error`` is for people, ``code`` and ``traceback`` say more of it.

    ``example`` is what of the data the error is about; neither log nor trail have it.
    """

    status: RunStatus
    error: str = ""
    code: str = ""
    traceback: str = ""
    example: str = ""


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
        if not among.filter(pk=run.pk).update(**columns):
            return False
        for name, value in columns.items():
            setattr(run, name, value)
        for follow in FOLLOWS:
            follow(run, actor, at)
    return True


def queue_again(
    run: MaterializationRun,
    *,
    among: QuerySet[MaterializationRun],
    at: datetime,
    error: str = "",
    code: str = "",
) -> bool:
    """Let a run be tried again if it is still one of ``among``; return whether it was.

    No end: nothing follows from it. Whoever calls sees to ``MAX_ATTEMPTS``.
    """
    waiting = {"status": RunStatus.QUEUED, "step": RunStep.QUEUED, "enqueued_at": at}
    return bool(among.filter(pk=run.pk).update(**waiting, error=error, error_code=code))


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
    log.log(level, "%s %s: %s%s", run, run.status, rows, f"; {run.error}" if run.error else "")


#: What happens at every end, in the transaction of the end. It gets the run as it is now, who ended
#: it (None: the system) and when; what it raises undoes the end.
FOLLOWS: tuple[Callable[[MaterializationRun, User | None, datetime], None], ...] = (
    _leave_trail,
    _say_in_log,
)
