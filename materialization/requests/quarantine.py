"""What becomes of rows that checks refused: a steward decides, or time does.

Not for reading them (``refused_rows``), nor for holding or publishing them: ``runner`` does, in a
worker.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import Sum

from lib.errors import Conflict, Invalid, NotFound, Unavailable
from materialization.choices import KEPT_STATES, QuarantineState, RunKind
from materialization.edges.stores import offline_store
from materialization.models import Quarantine
from materialization.quality.alerts.runs import close_repaired
from materialization.queries import live_run, table_at
from materialization.repairs import ticks_went_on
from materialization.requests.reasons import MAX_REASON, is_kept
from materialization.requests.runs import RunInProgress, create_run, refuse_paused
from registry import access, audit, locks
from registry.approval import require_person
from registry.choices import Right
from registry.lifecycle import EditorMayNotDecide
from registry.models import FeatureTable, FeatureViewVersion

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import AnonymousUser, User
    from django.db.models import QuerySet

    from materialization.models import MaterializationRun
    from materialization.stores.offline_values import TableAt
    from registry.models import ApiToken, AuditEntry, Project

log = logging.getLogger(__name__)
#: What it takes to decide: what it takes to approve the view.
RIGHT = Right.APPROVE_FEATUREVIEW
_RELATED = ("run__version__feature_view__project", "table__feature_view__project", "decided_by")


class QuarantineNotFound(NotFound):
    code = "quarantine_not_found"


class QuarantineOver(Conflict):
    code = "quarantine_over"


class QuarantineReasonNeeded(Invalid):
    code = "reason_needed"


def quarantines(project: Project) -> QuerySet[Quarantine]:
    rows = Quarantine.objects.filter(table__feature_view__project=project)
    return rows.select_related(*_RELATED, "ended_by__version__feature_view")


class TicksWentOn(Conflict):
    code = "ticks_went_on"


def refuse_continued(quarantine: Quarantine) -> None:
    """:raises TicksWentOn: as ``release_rows``."""
    if ticks_went_on(quarantine):
        raise TicksWentOn(
            f"{quarantine} are corrections of ticks, and later ticks continue those they were to"
            " correct: released now, they would be read where nothing had changed since. Have them"
            " computed again (assay backfill); to release what is refused then, turn the version's"
            " schedule off before."
        )


def release_rows(
    *,
    quarantine: Quarantine,
    actor: User,
    reason: str,
    at: datetime,
    token: ApiToken | None = None,
) -> MaterializationRun:
    """Queue a run that publishes what is held as it is; return it.

    :raises ActionNotPermitted, EditorMayNotDecide, ServiceAccountMayNotDecide: it takes what
        approving the version takes.
    :raises QuarantineReasonNeeded: without a reason. :raises QuarantineOver: it is not held.
    :raises NotMaterializable: its version is not served. :raises RunInProgress: wait for that run.
    :raises TicksWentOn: they are corrections of ticks, and later ones are stored.
    """
    version, table = quarantine.run.version, quarantine.table
    require_release(quarantine, actor, token)
    reason = _reason(reason)
    with transaction.atomic():
        # Both before the run is made, whose entry holds the trail: see ``registry.locks``.
        locks.hold(FeatureViewVersion.objects.filter(pk=version.pk))
        locks.hold(FeatureTable.objects.filter(pk=table.pk))
        _require_held(quarantine)
        if (live := live_run(table)) is not None:
            raise RunInProgress(f"{live} is {live.status}; ask again when it has ended.")
        refuse_paused(table)
        refuse_continued(quarantine)
        window = quarantine.window
        run = create_run(version, table, RunKind.RELEASE, window, actor, at)
        access.require_still(actor, RIGHT, version.feature_view)
        _decide(quarantine, QuarantineState.RELEASING, actor, reason, at, ended_by=run)
    return run


def discard_rows(*, quarantine: Quarantine, actor: User, reason: str, at: datetime) -> Quarantine:
    """Throw away what is held; the next run of its time reads the source again.

    :raises ActionNotPermitted: the actor may not approve versions of the view.
    :raises QuarantineReasonNeeded, QuarantineOver: as ``release_rows``; or a run that was to
        release it may have done so.
    """
    version = quarantine.run.version
    require_decider(quarantine, actor)
    reason = _reason(reason)
    with transaction.atomic():
        access.require_still(actor, RIGHT, version.feature_view)
        _decide(quarantine, QuarantineState.DISCARDED, actor, reason, at)
    quarantine.refresh_from_db()
    return quarantine


def require_decider(quarantine: Quarantine, actor: User | AnonymousUser) -> None:
    """:raises ActionNotPermitted: the actor may not approve versions of the view."""
    access.require(actor, RIGHT, quarantine.run.version.feature_view)


def require_release(
    quarantine: Quarantine, actor: User | AnonymousUser, token: ApiToken | None = None
) -> None:
    """:raises ActionNotPermitted, EditorMayNotDecide, ServiceAccountMayNotDecide: they may not."""
    version = quarantine.run.version
    require_decider(quarantine, actor)
    if not actor.is_authenticated:
        return
    require_person(version, actor, token)
    if version.has_edited(actor.pk):
        raise EditorMayNotDecide(
            "whoever created, edited or submitted a version cannot release what its checks"
            " refused; ask another steward.",
            project=version.feature_view.project.name,
        )


def _reason(reason: str) -> str:
    said = reason.strip()
    if not is_kept(said):
        raise QuarantineReasonNeeded(
            f"say why, in 1 to {MAX_REASON} characters, as text can be stored; the trail keeps it."
        )
    return said


def _require_held(quarantine: Quarantine) -> Quarantine:
    """Return the row as it is now; under the table's lock nobody changes it meanwhile."""
    now = Quarantine.objects.select_related("ended_by").get(pk=quarantine.pk)
    if now.state != QuarantineState.HELD:
        by = f" by {now.ended_by}" if now.ended_by else ""
        raise QuarantineOver(f"{quarantine} is {now.state}{by}; only what is held is decided on.")
    if quarantine.run.is_live:
        raise RunInProgress(
            f"{quarantine.run} is {quarantine.run.status}; wait until it has ended."
        )
    return now


VERBS = {
    QuarantineState.RELEASING: "quarantine.released",
    QuarantineState.DISCARDED: "quarantine.discarded",
    QuarantineState.EXPIRED: "quarantine.expired",
}


def _decide(
    quarantine: Quarantine,
    state: QuarantineState,
    actor: User | None,
    reason: str,
    at: datetime,
    *,
    ended_by: MaterializationRun | None = None,
) -> None:
    """Change what is held into another state, with its entry in the trail."""
    locks.hold(FeatureTable.objects.filter(pk=quarantine.table_id))
    now = _require_held(quarantine)
    before = now.ended_by
    if state != QuarantineState.RELEASING and before is not None and before.publishing:
        raise QuarantineOver(
            f"{before} may have published them and died before it could say so: release them"
            " again, or materialize the view, and look then."
        )
    audit.append([_changed(quarantine, state, actor, reason, at, ended_by)])


def _changed(
    quarantine: Quarantine,
    state: QuarantineState,
    actor: User | None,
    reason: str,
    at: datetime,
    ended_by: MaterializationRun | None = None,
) -> AuditEntry:
    """Change the state of what is held; return the entry of it, which is not in the trail yet."""
    Quarantine.objects.filter(pk=quarantine.pk).update(
        state=state, decided_by=actor, decided_at=at, reason=reason, ended_by=ended_by
    )
    if state != QuarantineState.RELEASING:
        close_repaired(quarantine.table, at=at)
    version = quarantine.run.version
    return audit.make_entry(
        actor=actor,
        verb=VERBS[state],
        subject=quarantine,
        project=version.feature_view.project,
        label=str(quarantine.run),
        before=QuarantineState.HELD,
        after=state,
        data={"reason": reason, "rows": quarantine.rows, "run": quarantine.run_id},
        at=at,
    )


def expire_held(*, at: datetime) -> None:
    """Give up what nobody decided on for long, and the oldest where all takes too much room."""
    held = Quarantine.objects.filter(state=QuarantineState.HELD).select_related(*_RELATED)
    days = settings.QUARANTINE_DAYS
    for old in held.filter(held_at__lt=at - timedelta(days=days)):
        _expire(old, f"nobody decided within {days} days (QUARANTINE_DAYS)", at)
    most = settings.QUARANTINE_MAX_MB * 1_000_000
    kept = Quarantine.objects.filter(state__in=KEPT_STATES)
    size = kept.aggregate(size=Sum("size_bytes"))["size"] or 0
    for oldest in held.order_by("held_at", "pk") if size > most else ():
        if size > most and _expire(oldest, "quarantine is full (QUARANTINE_MAX_MB)", at):
            size -= oldest.size_bytes


def _expire(quarantine: Quarantine, reason: str, at: datetime) -> bool:
    try:
        with transaction.atomic():
            _decide(quarantine, QuarantineState.EXPIRED, None, reason, at)
    except Conflict as exc:
        log.info("%s", exc)
        return False
    log.warning("%s: %d rows are given up: %s", quarantine, quarantine.rows, reason)
    return True


def discard_lost(table: FeatureTable, actor: User, reason: str, at: datetime) -> None:
    """Throw away what a table holds whose stored data is given up, under its lock.

    It continues from what is not there any more.
    """
    held = Quarantine.objects.filter(table=table, state=QuarantineState.HELD)
    state = QuarantineState.DISCARDED
    audit.append(
        [_changed(each, state, actor, reason, at) for each in held.select_related(*_RELATED)]
    )


def remove_files(*, at: datetime) -> None:
    """Remove the files of what is over, after its row said so; tried again until they are gone."""
    for each in _over().select_related(*_RELATED):
        _remove(each, table_at(each.table))


def remove_files_at(place: TableAt, table: FeatureTable) -> None:
    """Remove what is over of a table from the place that it had."""
    for each in _over().filter(table=table).select_related(*_RELATED):
        _remove(each, place)


def _over() -> QuerySet[Quarantine]:
    return Quarantine.objects.exclude(state__in=KEPT_STATES).exclude(stored_as="")


def _remove(over: Quarantine, place: TableAt) -> None:
    try:
        offline_store().remove_aside(place, over.stored_as)
    except Unavailable as exc:
        log.warning("%s: %s", over, exc)
        return
    Quarantine.objects.filter(pk=over.pk, stored_as=over.stored_as).update(stored_as="")
