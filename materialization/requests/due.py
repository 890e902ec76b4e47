"""Which versions are to be brought up to date now: by their schedules, and what lacks of them.

Not for the online store alone (``reloads``). One question for all tables, however many there are
and however long their histories.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lib.errors import AssayError
from materialization.choices import RunStep
from materialization.models import MaterializationSchedule
from materialization.queries import (
    UNTOUCHED,
    busy_tables,
    end_of,
    gaps,
    paused_tables,
    standings,
)
from materialization.requests.runs import request_run
from materialization.requests.turns import STEPPED_BACK
from materialization.ticks import last_tick
from registry.queries import served_versions

if TYPE_CHECKING:
    from datetime import datetime

    from materialization.choices import RunKind
    from materialization.models import MaterializationRun
    from materialization.queries import Standing
    from registry.models import FeatureTable, FeatureViewVersion

log = logging.getLogger(__name__)


def add_schedules(*, at: datetime) -> None:
    """Give every served version its schedule row, as its definition says."""
    without = served_versions().filter(materialization_schedule=None).defer("packet")
    MaterializationSchedule.objects.bulk_create(
        [_declared(version, at) for version in without], ignore_conflicts=True
    )


def _declared(version: FeatureViewVersion, at: datetime) -> MaterializationSchedule:
    spec = version.spec.view.schedule
    every, cron = (spec.every or "", spec.cron or "") if spec else ("", "")
    return MaterializationSchedule(version=version, every=every, cron=cron, updated_at=at)


def start_due(*, at: datetime) -> None:
    """Queue a run of each served version whose next tick has come, or that was never backfilled."""
    busy = busy_tables() | paused_tables()
    enabled = MaterializationSchedule.objects.filter(enabled=True, version__in=served_versions())
    related = "version__feature_view__project", "version__table"
    free = enabled.exclude(version__table__in=busy).select_related(*related)
    schedules = list(free.defer("version__packet"))
    found = standings({table_of(schedule.version).pk for schedule in schedules})
    for schedule in schedules:
        standing = found.get(table_of(schedule.version).pk, UNTOUCHED)
        if (due := due_end(schedule, standing, at=at)) is not None:
            attempt(schedule.version, due, at)


def due_end(
    schedule: MaterializationSchedule, standing: Standing, *, at: datetime
) -> datetime | None:
    """Return up to when the version should be materialized now; None when nothing is due.

    After a failure nothing is, before it is time to try again: see ``runner.ending``.
    """
    version = schedule.version
    if _storing_rests(standing, at):
        return None
    covered = end_of(standing.covered)
    if covered is None:
        return at
    if table_of(version).ready_at is None or gaps(version, standing.covered):
        return min(covered, at)
    if schedule.spec is None:
        return None
    tick = last_tick(schedule.spec, at)
    return tick if tick > covered else None


def _storing_rests(standing: Standing, at: datetime) -> bool:
    """Return whether what stores failed, or was cancelled, a moment ago.

    A reload since then changes that only if all it failed in was loading.
    """
    if is_resting(standing.last, at):
        return True
    before = standing.last_storing
    return before is not None and before.step != RunStep.ONLINE and is_resting(before, at)


def is_resting(last: MaterializationRun | None, at: datetime) -> bool:
    """Return whether the run that ended last failed and it is too early to try again."""
    if last is None or last.retry_at is None or last.finished_at is None:
        return False
    # A failure from the future was written before the clock was set back.
    return last.finished_at <= at + STEPPED_BACK and at < last.retry_at


def attempt(
    version: FeatureViewVersion, end: datetime, at: datetime, kind: RunKind | None = None
) -> None:
    """Ask for a run; why there is none is logged, and holds up nobody else."""
    try:
        request_run(version=version, window_end=end, at=at, actor=None, kind=kind)
    except AssayError as exc:
        log.warning("sweep: %s: %s", version, exc)


def table_of(version: FeatureViewVersion) -> FeatureTable:
    if version.table is None:
        raise LookupError(f"{version} has no table although it is served")
    return version.table
