"""The one periodic duty: start what is due, wake what was lost, requeue what died, tidy up.

Pull, not push: it asks the registry which versions are to be fresh (``due``) and what the online
store lacks (``reloads``). Each duty stands alone, so that one that fails does not hold up the
others, and asks one question for all tables.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q

from lib.errors import AssayError
from materialization.choices import RunStatus
from materialization.compute.scratch import remove_left_behind
from materialization.duties import registered
from materialization.edges.stores import offline_store
from materialization.models import MaterializationRun
from materialization.queries import idle_tables, table_at
from materialization.requests import care, certificates, evidence, history, watch
from materialization.requests.baselines import record_baselines
from materialization.requests.draining import bring_due, drain_due, reload_restarted, watch_logs
from materialization.requests.due import add_schedules, start_due
from materialization.requests.expiring import expiry_due
from materialization.requests.indexing import index_due
from materialization.requests.lost import is_unheard, lease_is_over
from materialization.requests.profile_keeping import merge_old_profiles
from materialization.requests.quarantine import expire_held, remove_files
from materialization.requests.reloads import drop_abandoned, reload_missing, unmark_evicted
from materialization.requests.runs import enqueue
from materialization.requests.streams import watch_streams
from materialization.runner.ending import MAX_ATTEMPTS, Ending, end_run, queue_again
from materialization.stores.push_log import TRANSACTION
from registry import audit, duties
from registry.accounts.token_uses import record_uses
from registry.seals.making import seal_if_due
from registry.trail.excess import record_excess

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

log = logging.getLogger(__name__)


def sweep(*, at: datetime) -> None:
    """Do every duty once; what one raises is logged and the next goes on."""
    for duty in (*DUTIES, *registered()):
        try:
            duty(at=at)
        except AssayError as exc:
            log.warning("sweep: %s: %s", duty.__name__, exc)
        except Exception:  # noqa: BLE001 - one duty's trouble must not hold up the others
            log.exception("sweep: %s", duty.__name__)


def requeue_dead(*, at: datetime) -> None:
    """Queue runs whose worker stopped renewing its lease; after too many attempts give up."""
    is_dead = lease_is_over(at)
    dead = MaterializationRun.objects.filter(is_dead, status=RunStatus.RUNNING)
    for run in dead.select_related("version__feature_view__project"):
        # It may have come back to life meanwhile, or somebody else may have seen to it.
        unchanged = run.owned().filter(is_dead)
        ending = _end_of_dead(run)
        if ending is not None:
            end_run(run, ending, among=unchanged, actor=None, at=at)
            continue
        with transaction.atomic():
            if queue_again(run, among=unchanged, at=at):
                verb = "materialization_run.requeued"
                audit.record(actor=None, verb=verb, subject=run, at=at)
                enqueue(run)


def tidy_up(*, at: datetime) -> None:
    """Remove what the engine of killed processes spilled on this machine."""
    remove_left_behind()


def _end_of_dead(run: MaterializationRun) -> Ending | None:
    """Return how a run ends whose worker died; None when it is to be tried again."""
    if run.cancel_requested:
        return Ending(RunStatus.CANCELLED)
    if run.tries < MAX_ATTEMPTS:
        return None
    said = f"its worker died {run.tries} times (last: {run.worker})."
    return Ending(RunStatus.ERRORED, said, "worker_died")


def remove_staged(*, at: datetime) -> None:
    """Remove what runs have staged that ended, were paused or died: no other run will store it."""
    store = offline_store()
    for table in idle_tables():
        place = table_at(table)
        names = store.list_staged(place)
        # Asked again after the look: what it saw is of no run that began in between.
        if names and idle_tables().filter(pk=table.pk).exists():
            for name in names:
                if not name.startswith(TRANSACTION):  # a drain is no run, and removes its own
                    store.drop_staged(place, name)


def resend_lost(*, at: datetime) -> None:
    """Wake a worker again for runs whose message was lost, or that an outage put back."""
    is_back = Q(retry_at__lte=at)
    lost = MaterializationRun.objects.filter(is_unheard(at) | is_back, status=RunStatus.QUEUED)
    for run in lost:
        if lost.filter(pk=run.pk).update(enqueued_at=at, retry_at=None):
            enqueue(run)


#: In order: what died is queued again before anything new is.
DUTIES: tuple[Callable[..., None], ...] = (
    requeue_dead,
    resend_lost,
    add_schedules,
    start_due,
    unmark_evicted,
    reload_missing,
    drop_abandoned,
    record_baselines,
    merge_old_profiles,
    record_excess,
    seal_if_due,
    record_uses,
    expire_held,
    remove_files,
    tidy_up,
    remove_staged,
    watch_streams,
    *evidence.DUTIES,
    *certificates.DUTIES,
    *care.DUTIES,
    expiry_due,
    drain_due,
    bring_due,
    watch_logs,
    reload_restarted,
    index_due,
    *history.DUTIES,
    *duties.DUTIES,
    *watch.DUTIES,
)
