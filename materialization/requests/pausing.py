"""Letting a run lie, and letting it go on where it stopped.

Not for stopping between its steps: its heartbeat does. A paused run has no worker and no lease;
its table's online rows are still cared for, and nothing else of the table is stored meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.db.models import F

from lib.errors import Conflict
from materialization.choices import RunStatus
from materialization.models import MaterializationRun
from materialization.requests.cancelling import too_late
from materialization.requests.runs import RunInProgress, enqueue
from materialization.runner.ending import put_aside
from registry import access, audit, locks
from registry.choices import Right

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User


class RunNotPaused(Conflict):
    code = "run_not_paused"


def pause_run(*, run: MaterializationRun, actor: User, at: datetime) -> MaterializationRun:
    """Pause a queued run now and a running one at its next heartbeat; what it stored stays.

    What it computes just then is computed again. Pausing a paused run changes nothing.

    :raises RunFinished: it is over already.
    :raises RunPublishing: what it computed is being stored or loaded; it ends by itself.
    """
    access.require(actor, Right.MATERIALIZE_FEATUREVIEW, run.version.feature_view)
    with transaction.atomic():
        found = MaterializationRun.objects.filter(pk=run.pk)
        locks.hold(found)
        access.require_still(actor, Right.MATERIALIZE_FEATUREVIEW, run.version.feature_view)
        waiting = found.filter(status=RunStatus.QUEUED, publishing=False)
        if not put_aside(run, among=waiting, actor=actor, at=at):
            running = found.filter(status=RunStatus.RUNNING, publishing=False)
            if running.update(pause_requested=True):
                verb = "materialization_run.pause_requested"
                audit.record(actor=actor, verb=verb, subject=run, at=at)
            elif not found.filter(status=RunStatus.PAUSED).exists():
                run.refresh_from_db()
                raise too_late(run)
    run.refresh_from_db()
    return run


def resume_run(*, run: MaterializationRun, actor: User, at: datetime) -> MaterializationRun:
    """Queue a paused run again; its attempts are counted anew.

    One that was asked to pause and has not yet goes on as if nobody had.

    :raises RunNotPaused: it is not paused.
    :raises RunInProgress: the table is being loaded just now; ask again when that has ended.
    """
    access.require(actor, Right.MATERIALIZE_FEATUREVIEW, run.version.feature_view)
    waits: dict[str, object] = {"status": RunStatus.QUEUED, "enqueued_at": at, "resumed_at": at}
    waits["stored_attempt"] = F("attempt")
    try:
        with transaction.atomic():
            found = MaterializationRun.objects.filter(pk=run.pk)
            locks.hold(found)
            access.require_still(actor, Right.MATERIALIZE_FEATUREVIEW, run.version.feature_view)
            run.refresh_from_db(fields=("started_at", "paused_at", "paused_for"))
            waits |= {"paused_at": None, "paused_for": run.lay_paused(at=at)}
            if found.filter(status=RunStatus.PAUSED).update(**waits):
                enqueue(run)
            elif not found.filter(pause_requested=True).update(pause_requested=False):
                run.refresh_from_db()
                raise RunNotPaused(f"{run} is {run.status}; only a paused run can go on.")
            audit.record(actor=actor, verb="materialization_run.resumed", subject=run, at=at)
    except IntegrityError as exc:
        raise RunInProgress(
            f"{run.table} is being loaded just now; let {run} go on when that has ended."
        ) from exc
    run.refresh_from_db()
    return run
