"""One run from claim to end: compute → check → offline commit → online merge → done.

One visible sequence. Not for deciding that a run is due (``sweep``) or for retrying (``tasks``).
Nothing is published before its checks passed; each step can be repeated without a trace.
"""

from __future__ import annotations

import logging
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction

from lib.errors import AssayError, Unavailable
from materialization.choices import RunKind, RunStatus, RunStep
from materialization.models import MaterializationRun
from materialization.runner import loading, storing
from materialization.runner.heartbeat import Heartbeat, LeaseLost, RunCancelled
from registry import audit, epoch
from registry.choices import SERVED_STATES
from registry.operations.lifecycle.releases import mark_table_ready

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

log = logging.getLogger(__name__)
MAX_ATTEMPTS = 3


class VersionNotServed(RunCancelled):
    """Retiring a version ends its runs that wait; nothing is wrong with them."""

    code = "version_not_served"


def run(*, run_id: int, worker: str, clock: Callable[[], datetime]) -> None:
    """Perform a queued run; one that another worker has, or that is over, is left alone.

    :raises Unavailable: a part did not answer and attempts remain; the run is queued again.
    """
    claimed = claim(run_id, worker=worker, at=clock())
    if claimed is None:
        return
    try:
        with Heartbeat(claimed, clock=clock) as heartbeat:
            _perform(claimed, heartbeat, clock)
    except LeaseLost as exc:
        log.warning("%s: %s", claimed, exc)
    except RunCancelled as exc:
        _finish(claimed, RunStatus.CANCELLED, clock(), error=exc.message, error_code=exc.code)
    except Unavailable as exc:
        if claimed.attempt < MAX_ATTEMPTS:
            claimed.advance(
                status=RunStatus.QUEUED,
                step=RunStep.QUEUED,
                enqueued_at=clock(),
                error=exc.message,
                error_code=exc.code,
            )
            raise
        _finish(claimed, RunStatus.FAILED, clock(), error=exc.message, error_code=exc.code)
    except AssayError as exc:
        _finish(claimed, RunStatus.FAILED, clock(), error=exc.message, error_code=exc.code)
    except Exception as exc:  # noqa: BLE001 - the one place where the unknown is kept and not lost
        log.exception("%s", claimed)
        _finish(
            claimed,
            RunStatus.ERRORED,
            clock(),
            error=f"{type(exc).__name__}: {exc}",
            error_code="unexpected",
            traceback=traceback.format_exc(),
        )


def claim(run_id: int, *, worker: str, at: datetime) -> MaterializationRun | None:
    """Take a queued run: of several workers exactly one gets it, with its own fencing token."""
    queued = MaterializationRun.objects.filter(pk=run_id, status=RunStatus.QUEUED)
    found = queued.first()
    if found is None:
        return None
    lease = at + timedelta(seconds=settings.RUN_LEASE_SECONDS)
    claimed = queued.filter(attempt=found.attempt).update(
        status=RunStatus.RUNNING,
        step=RunStep.READING,
        attempt=found.attempt + 1,
        worker=worker[:200],
        started_at=found.started_at or at,
        lease_expires_at=lease,
        error="",
        error_code="",
        progress=0.0,
    )
    if not claimed:
        return None
    related = "version__feature_view__project", "table__feature_view__project", "requested_by"
    return MaterializationRun.objects.select_related(*related).get(pk=run_id)


def _perform(
    claimed: MaterializationRun, heartbeat: Heartbeat, clock: Callable[[], datetime]
) -> None:
    _require_served(claimed)
    if claimed.kind != RunKind.RELOAD:
        storing.store_missing(claimed, heartbeat)
    heartbeat.check()
    kept_for = claimed.table.kept_for
    if claimed.version.spec.view.online:
        kept_for = loading.load_online(claimed, heartbeat, at=clock())
    heartbeat.check()
    _publish(claimed, clock(), kept_for=kept_for)


def _require_served(claimed: MaterializationRun) -> None:
    """Return if somebody may read what the run would compute, by the state at its claim.

    :raises VersionNotServed: its version was retired while the run waited.
    """
    version = claimed.version
    if version.state not in SERVED_STATES:
        raise VersionNotServed(
            f"{version} is {version.state} by now; only approved versions are materialized."
            " Nothing was computed."
        )


def _publish(claimed: MaterializationRun, at: datetime, *, kept_for: timedelta | None) -> None:
    """End the run and make its table ready in one transaction: neither is seen without the other.

    :raises LeaseLost: another attempt has the run; it will publish.
    """
    with transaction.atomic():
        # As everywhere: the project first, the run, then the trail. A table that becomes ready
        # needs its project, and asking for it last would deadlock with a promotion.
        epoch.hold(claimed.table.feature_view.project_id)
        if not _finish(claimed, RunStatus.SUCCEEDED, at, step=RunStep.DONE, progress=1.0):
            raise LeaseLost("another attempt owns the run")
        mark_table_ready(table=claimed.table, at=at, kept_for=kept_for)


def _finish(
    claimed: MaterializationRun, status: RunStatus, at: datetime, **columns: object
) -> bool:
    """End the run if this attempt still owns it; return whether it does."""
    with transaction.atomic():
        owned = claimed.advance(status=status, finished_at=at, lease_expires_at=None, **columns)
        if owned:
            audit.record(
                actor=claimed.requested_by,
                verb=f"materialization_run.{status}",
                subject=claimed,
                data={
                    "rows_offline": claimed.rows_offline,
                    "rows_online": claimed.rows_online,
                    "error": claimed.error,
                },
                at=at,
            )
    return owned
