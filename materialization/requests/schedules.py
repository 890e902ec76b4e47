"""Changing when a version is materialized.

Not for starting what is due: ``sweep`` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from lib.errors import Invalid
from lib.seen import require_unchanged
from materialization.models import MaterializationSchedule
from registry import access, audit, locks
from registry.choices import Right
from registry.reading.rules import schedule_problems

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.spec.model import ScheduleSpec

#: What of a schedule is changed, and noticed when somebody else changed it first.
RHYTHM = ("every", "cron", "enabled")


class BadSchedule(Invalid):
    code = "invalid_schedule"


def change_schedule(
    *,
    schedule: MaterializationSchedule,
    spec: ScheduleSpec | None,
    enabled: bool,
    actor: User,
    at: datetime,
    seen: Mapping[str, Any] | None = None,
) -> MaterializationSchedule:
    """Change when a version is materialized (not an aggregation's ticks: those are its content).

    ``seen`` are the columns the actor looked at, None for those ``schedule`` was loaded with.
    :raises ActionNotPermitted: the actor lacks ``change_schedule``.
    :raises Invalid: the duration or cron expression cannot be read.
    :raises ChangedMeanwhile: somebody changed it since it was seen.
    """
    access.require(actor, Right.CHANGE_SCHEDULE, schedule.version.feature_view)
    for _, message in schedule_problems(spec):
        raise BadSchedule(f"schedule: {message}")
    seen = {name: getattr(schedule, name) for name in RHYTHM} if seen is None else seen
    with transaction.atomic():
        stored = _held(schedule)
        access.require_still(actor, Right.CHANGE_SCHEDULE, stored.version.feature_view)
        require_unchanged(stored, seen)
        before = str(stored)
        stored.every, stored.cron = (spec.every or "", spec.cron or "") if spec else ("", "")
        stored.enabled, stored.updated_by, stored.updated_at = enabled, actor, at
        stored.save(update_fields=[*RHYTHM, "updated_by", "updated_at"])
        audit.record(
            actor=actor,
            verb="schedule.changed",
            subject=stored,
            before=before,
            after=str(stored),
            at=at,
        )
    schedule.refresh_from_db()
    return schedule


def _held(schedule: MaterializationSchedule) -> MaterializationSchedule:
    rows = MaterializationSchedule.objects.select_related("version__feature_view__project")
    (held,) = locks.hold(rows.filter(pk=schedule.pk))
    return held
