"""Cancelling runs: at once where one waits, at its next heartbeat where it works.

Not for pausing them: ``pausing`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from lib.errors import Conflict
from materialization.choices import RunStatus
from materialization.models import MaterializationRun
from materialization.runner.ending import Ending, end_run
from registry import access, audit, locks
from registry.choices import Right

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User


class RunFinished(Conflict):
    code = "run_finished"


class RunPublishing(Conflict):
    code = "run_publishing"


def cancel_run(*, run: MaterializationRun, actor: User, at: datetime) -> MaterializationRun:
    """End a queued run now and a running one at its next heartbeat; nothing of it is published.

    :raises RunFinished: it is over already.
    :raises RunPublishing: what it computed is being stored or loaded, or is in part already.
    """
    access.require(actor, Right.MATERIALIZE_FEATUREVIEW, run.version.feature_view)
    with transaction.atomic():
        live = MaterializationRun.objects.filter(pk=run.pk)
        locks.hold(live)
        access.require_still(actor, Right.MATERIALIZE_FEATUREVIEW, run.version.feature_view)
        waiting = live.filter(status__in=(RunStatus.QUEUED, RunStatus.PAUSED), publishing=False)
        if not end_run(run, Ending(RunStatus.CANCELLED), among=waiting, actor=actor, at=at):
            running = live.filter(status=RunStatus.RUNNING, publishing=False)
            if not running.update(cancel_requested=True):
                run.refresh_from_db()
                raise too_late(run)
            verb = "materialization_run.cancel_requested"
            audit.record(actor=actor, verb=verb, subject=run, at=at)
    run.refresh_from_db()
    return run


def too_late(run: MaterializationRun) -> Conflict:
    """Return why a run is neither stopped nor paused any more."""
    if not run.is_live:
        return RunFinished(f"{run} has {run.status} already.")
    return RunPublishing(
        f"{run} is publishing what it computed, and readers see a part of it already. It ends by"
        " itself; then materialize again, or promote another version."
    )
