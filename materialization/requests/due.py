"""Which versions are to be brought up to date now: by their schedules, and what lacks of them.

Not for the online store alone (``reloads``). One question for all tables, however many there are
and however long their histories.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from lib.errors import AssayError
from materialization.choices import RunKind, RunQueue, RunStatus, RunStep
from materialization.models import MaterializationRun, MaterializationSchedule
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
from materialization.upstream import Upstreams
from registry.queries import served_versions
from registry.spec.view_reads import MAY_READ

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from materialization.queries import Standing
    from registry.models import FeatureTable, FeatureViewVersion

log = logging.getLogger(__name__)
#: Runs that wait in one queue at most for what the sweep asks: more than workers take until the
#: next sweep.
MOST_WAITING = 1000


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
    """Queue a run of each served version whose next tick has come, or that was never backfilled.

    Those that wait longest first, and no more than wait anyhow: see ``ask_for``.
    """
    busy = busy_tables() | paused_tables()
    enabled = MaterializationSchedule.objects.filter(enabled=True, version__in=served_versions())
    free = enabled.exclude(version__table__in=busy).select_related("version__table")
    schedules = list(free.defer("version__packet"))
    found = standings({table_of(schedule.version).pk for schedule in schedules})
    due = []
    for schedule in schedules:
        standing = found.get(table_of(schedule.version).pk, UNTOUCHED)
        if (end := due_end(schedule, standing, at=at)) is not None:
            due.append((schedule.version, standing, end))
    reading = [version.spec for version, _, _ in due if MAY_READ in version.spec_json]
    upstreams = Upstreams(reading)
    asked = []
    for version, standing, end in due:
        until: datetime | None = end
        if MAY_READ in version.spec_json:
            until = _within_reach(version, standing, end, upstreams)
        if until is not None:
            since = end_of(standing.covered) or version.approved_at or at
            asked.append(Asked(since, table_of(version).pk, version.pk, until))
    ask_for(asked, at)


class Asked(NamedTuple):
    """A version of which a run is due: since when, and up to when it is to store or load."""

    since: datetime
    table: int
    version: int
    end: datetime


def ask_for(due: Sequence[Asked], at: datetime, kind: RunKind | None = None) -> None:
    """Ask for runs of those that wait longest, while fewer than ``MOST_WAITING`` wait in the queue.

    Thousands may be due at once, at the full hour or when Redis lost all. To queue them takes a
    sweep long, while nothing that died is taken up; and what waits is sent again each minute. The
    next sweeps ask for the others, as workers get on.
    """
    queue = RunQueue.RELOADS if kind is RunKind.RELOAD else RunQueue.RUNS
    waiting = MaterializationRun.objects.filter(status=RunStatus.QUEUED, queue=queue)
    room = MOST_WAITING - waiting.count() if due else 0
    asked: set[int] = set()
    for one in sorted(due):
        if len(asked) >= room:
            log.info("sweep: %d runs wait, more of %d are due", MOST_WAITING, len(due))
            break
        if one.table in asked:  # by another version: what it does is done for all of them
            continue
        version = served_versions().filter(pk=one.version).first()
        # One that is refused takes nobody's place: it would be the first again next time.
        if version is not None and _attempt(version, one.end, at, kind):
            asked.add(one.table)


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


def _within_reach(
    version: FeatureViewVersion, standing: Standing, end: datetime, upstreams: Upstreams
) -> datetime | None:
    """Return up to when a version can be materialized by what it reads; None: it has to wait."""
    until, covered = upstreams.readable_until(version.spec, end), end_of(standing.covered)
    if until is None or (covered is not None and until <= covered < end):
        return None
    return until


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


def _attempt(
    version: FeatureViewVersion, end: datetime, at: datetime, kind: RunKind | None
) -> bool:
    """Ask for a run and return whether there is one; why not is logged, and holds up nobody."""
    try:
        request_run(version=version, window_end=end, at=at, actor=None, kind=kind)
    except AssayError as exc:
        log.warning("sweep: %s: %s", version, exc)
        return False
    return True


def table_of(version: FeatureViewVersion) -> FeatureTable:
    if version.table is None:
        raise LookupError(f"{version} has no table although it is served")
    return version.table
