"""The one periodic duty: start what is due, wake what was lost, requeue what died, tidy up.

Pull, not push: it asks the registry which versions are to be fresh. Each duty stands alone, so
that one that fails does not hold up the others.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from lib.errors import AssayError
from materialization.choices import RunKind, RunStatus, RunStep
from materialization.edges import online_store
from materialization.models import MaterializationRun, MaterializationSchedule
from materialization.queries import (
    busy_tables,
    coverage,
    covered_until,
    end_of,
    failures_in_a_row,
    gaps,
)
from materialization.requests.runs import enqueue, request_run
from materialization.requests.turns import STEPPED_BACK
from materialization.runner.ending import MAX_ATTEMPTS, Ending, end_run, queue_again
from materialization.runner.loading import holds_all, longest_ttl
from materialization.ticks import last_tick
from registry import audit
from registry.excess import record_excess
from registry.models import FeatureTable
from registry.queries import abandoned_tables, served_versions

if TYPE_CHECKING:
    from datetime import datetime

    from registry.models import FeatureViewVersion

log = logging.getLogger(__name__)
#: A message not taken up within this is sent again; claiming twice is harmless.
RESEND_AFTER = timedelta(seconds=60)
#: One that was put back has no message on its way. What it lacked is often there in a moment (a
#: file at rest, a server that starts again); a second time it may take longer.
FIRST_RETRY_AFTER = timedelta(seconds=10)
FIRST_BACKOFF = timedelta(minutes=1)
LONGEST_BACKOFF = timedelta(hours=1)


def sweep(*, at: datetime) -> None:
    """Do every duty once; what one raises is logged and the next goes on."""
    for duty in (
        requeue_dead,
        resend_lost,
        add_schedules,
        start_due,
        unmark_evicted,
        reload_missing,
        drop_abandoned,
        record_excess,
    ):
        try:
            duty(at=at)
        except AssayError as exc:
            log.warning("sweep: %s: %s", duty.__name__, exc)
        except Exception:  # noqa: BLE001 - one duty's trouble must not hold up the others
            log.exception("sweep: %s", duty.__name__)


def requeue_dead(*, at: datetime) -> None:
    """Queue runs whose worker stopped renewing its lease; after too many attempts give up."""
    is_dead = _lease_is_over(at)
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


def _lease_is_over(at: datetime) -> Q:
    """Leases that ran out, and those longer than any: they were written before a step back."""
    longest = timedelta(seconds=settings.RUN_LEASE_SECONDS) + STEPPED_BACK
    return Q(lease_expires_at__lt=at) | Q(lease_expires_at__gt=at + longest)


def _end_of_dead(run: MaterializationRun) -> Ending | None:
    """Return how a run ends whose worker died; None when it is to be tried again."""
    if run.cancel_requested:
        return Ending(RunStatus.CANCELLED)
    if run.attempt < MAX_ATTEMPTS:
        return None
    said = f"its worker died {run.attempt} times (last: {run.worker})."
    return Ending(RunStatus.ERRORED, said, "worker_died")


def resend_lost(*, at: datetime) -> None:
    """Wake a worker again for runs whose message was lost, or that an outage put back."""
    is_old = Q(enqueued_at__lt=at - RESEND_AFTER) | Q(enqueued_at__gt=at + STEPPED_BACK)
    # It has its attempt's lease until a message was sent.
    put_back = ~Q(error_code="") & Q(attempt=1, lease_expires_at__isnull=False)
    is_back = put_back & Q(enqueued_at__lt=at - FIRST_RETRY_AFTER)
    lost = MaterializationRun.objects.filter(is_old | is_back, status=RunStatus.QUEUED)
    for run in lost:
        if lost.filter(pk=run.pk).update(enqueued_at=at, lease_expires_at=None):
            enqueue(run)


def add_schedules(*, at: datetime) -> None:
    """Give every served version its schedule row, as its definition says."""
    for version in served_versions().filter(materialization_schedule=None):
        spec = version.spec.view.schedule
        MaterializationSchedule.objects.get_or_create(
            version=version,
            defaults={"every": spec.every or "", "cron": spec.cron or "", "updated_at": at}
            if spec
            else {"updated_at": at},
        )


def start_due(*, at: datetime) -> None:
    """Queue a run of each served version whose next tick has come, or that was never backfilled."""
    busy = busy_tables()
    schedules = MaterializationSchedule.objects.filter(enabled=True, version__in=served_versions())
    related = "version__feature_view__project", "version__table"
    for schedule in schedules.exclude(version__table__in=busy).select_related(*related):
        if (due := due_end(schedule, at=at)) is not None:
            _attempt(schedule.version, due, at)


def due_end(schedule: MaterializationSchedule, *, at: datetime) -> datetime | None:
    """Return up to when the version should be materialized now; None when nothing is due.

    After failures the next attempt waits 1, 2, 4, … minutes, an hour at most.
    """
    table = _table(schedule.version)
    if _is_resting(failures_in_a_row(table), at):
        return None
    windows = coverage(table)
    covered = end_of(windows)
    if covered is None:
        return at
    if table.ready_at is None or gaps(schedule.version, windows):
        return min(covered, at)
    if schedule.spec is None:
        return None
    tick = last_tick(schedule.spec, at)
    return tick if tick > covered else None


def _is_resting(failures: list[MaterializationRun], at: datetime) -> bool:
    if not failures or failures[0].finished_at is None:
        return False
    wait: timedelta = min(FIRST_BACKOFF * 2 ** (len(failures) - 1), LONGEST_BACKOFF)
    # A failure from the future was written before the clock was set back.
    return failures[0].finished_at <= at + STEPPED_BACK and at < failures[0].finished_at + wait


def unmark_evicted(*, at: datetime) -> None:
    """Take no table for loaded of which Redis may have dropped rows for want of memory."""
    ready = FeatureTable.objects.filter(ready_at__isnull=False)
    if lost := online_store().unmark_evicted(ready.values_list("uid", flat=True)):
        log.warning("Redis evicted keys since these tables were loaded: %s", ", ".join(lost))


def reload_missing(*, at: datetime) -> None:
    """Fill the online store again where values are missing.

    They are after a flush, for a longer TTL, or when a run ended between storing and loading.
    """
    store = online_store()
    seen = busy_tables()
    for version in served_versions().filter(table__ready_at__isnull=False):
        table = _table(version)
        if table.pk in seen or not version.spec.view.online:
            continue
        seen.add(table.pk)
        is_held = holds_all(table, store.marker(table.uid), longest_ttl(table))
        if is_held or _loading_rests(table, at):
            continue
        if (covered := covered_until(table)) is not None:
            _attempt(version, min(covered, at), at, kind=RunKind.RELOAD)


def _loading_rests(table: FeatureTable, at: datetime) -> bool:
    """Say whether loading failed a moment ago; a failed check must not hold up a reload."""
    failures = failures_in_a_row(table)
    is_loading = failures and (
        failures[0].kind == RunKind.RELOAD or failures[0].step == RunStep.ONLINE
    )
    return bool(is_loading) and _is_resting(failures, at)


def drop_abandoned(*, at: datetime) -> None:
    """Free the online values of tables whose versions are all retired."""
    for table in abandoned_tables():
        online_store().drop(table.uid)
        with transaction.atomic():
            if FeatureTable.objects.filter(pk=table.pk, ready_at=table.ready_at).update(
                ready_at=None, kept_for=timedelta(0)
            ):
                audit.record(actor=None, verb="feature_table.dropped_online", subject=table, at=at)


def _attempt(
    version: FeatureViewVersion, end: datetime, at: datetime, kind: RunKind | None = None
) -> None:
    try:
        request_run(version=version, window_end=end, at=at, actor=None, kind=kind)
    except AssayError as exc:
        log.warning("sweep: %s: %s", version, exc)


def _table(version: FeatureViewVersion) -> FeatureTable:
    if version.table is None:
        raise LookupError(f"{version} has no table although it is served")
    return version.table
