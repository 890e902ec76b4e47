"""Asking for runs.

Not for performing a run: ``runner`` does, in a worker. The database row is the queue; a lost
message costs one sweep, not a feature.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction

from lib.commits import once_committed
from lib.errors import Conflict
from lib.instants import MICROSECOND
from materialization import tasks
from materialization.choices import COMPARING_KINDS, RunKind, RunQueue, RunStatus
from materialization.models import MaterializationRun
from materialization.queries import coverage, end_of, gaps, live_run, uncovered
from materialization.upstream import readable_until, require_stored
from materialization.windows import BadWindow, Window, make_window
from registry import access, audit, locks
from registry.choices import SERVED_STATES, Right
from registry.models import FeatureViewVersion

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import FeatureTable


#: What stores rows, whatever else it does.
_STORING = (RunKind.BACKFILL, RunKind.INCREMENTAL, *COMPARING_KINDS)


class NotMaterializable(Conflict):
    code = "not_materializable"


class RunInProgress(Conflict):
    code = "run_in_progress"


def request_run(
    *,
    version: FeatureViewVersion,
    window_end: datetime,
    at: datetime,
    actor: User | None,
    window_start: datetime | None = None,
    kind: RunKind | None = None,
    compared_until: datetime | None = None,
) -> MaterializationRun:
    """Queue a run of ``version`` up to ``window_end``; without ``actor`` the system asks.

    Without ``window_start`` it fills the earliest gap of the table's coverage, or continues where
    that ends; where nothing lacks it is loaded again. A ``window_start`` from which on all is
    stored means to look again: at everything since then, up to ``at``. A live run that does as much
    is returned instead of a second one.
    :raises ActionNotPermitted: the actor may not materialize this view.
    :raises NotMaterializable: the version is not approved, or is no longer.
    :raises UpstreamBehind: what it reads of another view is not stored up to there.
    :raises BadWindow: it ends in the future, or before it begins.
    :raises RunInProgress: another run of the same table is under way; names it.
    """
    if actor is not None:
        access.require(actor, Right.MATERIALIZE_FEATUREVIEW, version.feature_view)
    if version.table is None:
        why = "is a draft; only approved versions are materialized."
        if not version.spec.transform.is_stored:
            why = "is computed at the request; nothing of it is stored."
        raise NotMaterializable(f"{version} {why}")
    _require_served(version, version.state)
    _check_window(window_start, window_end, at)
    covered = coverage(version.table)
    if kind is None:
        kind = _kind(version, covered, window_start, window_end)
    start = None if kind is RunKind.RELOAD else window_start
    if start is None and kind is RunKind.INCREMENTAL:
        start = _continued(version, covered)
    if kind in COMPARING_KINDS:
        window_end = _beyond(covered, _within_reach(version, at))
    elif kind is not RunKind.RELOAD:
        require_stored(version, window_end)
    if (live := live_run(version.table)) is not None:
        if live.compared_until != compared_until and kind is not RunKind.RELOAD:
            raise _in_progress(live)
        return _joined(live, kind, start, window_end)
    if kind is not RunKind.RELOAD:
        refuse_paused(version.table)
    window = Window(start, window_end)
    return create_run(version, version.table, kind, window, actor, at, compared_until)


def _within_reach(version: FeatureViewVersion, at: datetime) -> datetime:
    """Return up to when all that the version reads of others is stored, ``at`` at the latest.

    :raises UpstreamBehind: some of it is not stored at all.
    """
    until = readable_until(version, at)
    if until is None:
        require_stored(version, at)
    return at if until is None else until


def _beyond(covered: Sequence[Window], at: datetime) -> datetime:
    """Return ``at``, or the first instant that is not covered: what is stored needs a window."""
    end = end_of(covered)
    return at if end is None else max(at, end + MICROSECOND)


def request_runs(
    *,
    versions: Sequence[FeatureViewVersion],
    window_end: datetime,
    at: datetime,
    actor: User,
    window_start: datetime | None = None,
) -> list[MaterializationRun]:
    """Queue a run of each version, or of none where one is refused; see ``request_run``."""
    with transaction.atomic():
        # All of them first: another who asks for some of these waits here, holding nothing.
        locks.hold(FeatureViewVersion.objects.filter(pk__in=[each.pk for each in versions]))
        return [
            request_run(
                version=version,
                window_start=window_start,
                window_end=window_end,
                at=at,
                actor=actor,
            )
            # What is read was approved before whatever reads it, and its run has to be there.
            for version in sorted(versions, key=lambda each: (each.approved_at or at, each.pk))
        ]


def _kind(
    version: FeatureViewVersion, covered: Sequence[Window], start: datetime | None, end: datetime
) -> RunKind:
    if not covered:
        return RunKind.BACKFILL
    if start is None and gaps(version, covered):
        return RunKind.INCREMENTAL
    if uncovered(version, covered, Window(start or end_of(covered), end)):
        return RunKind.INCREMENTAL
    return RunKind.RELOAD if start is None else RunKind.AGAIN


def _continued(version: FeatureViewVersion, covered: Sequence[Window]) -> datetime | None:
    """Return where the earliest gap begins, without one where the coverage ends."""
    lacking = gaps(version, covered)
    return lacking[0].start if lacking else end_of(covered)


def _require_served(version: FeatureViewVersion, state: str) -> None:
    if state not in SERVED_STATES:
        raise NotMaterializable(f"{version} is {state}; only approved versions are materialized.")


def _check_window(start: datetime | None, end: datetime, at: datetime) -> None:
    if end > at:
        raise BadWindow(
            f"end {end.isoformat()} is in the future; rows not yet known cannot be materialized."
        )
    make_window(start, end)


def _joined(
    live: MaterializationRun, kind: RunKind, start: datetime | None, end: datetime
) -> MaterializationRun:
    """Return the live run if it does what is asked; whatever its kind, it ends with loading."""
    from_there = live.window_start is None or (start is not None and live.window_start <= start)
    looks = (kind,) if kind in COMPARING_KINDS else _STORING
    stores_it = live.kind in looks and from_there and live.window_end >= end
    if kind is RunKind.RELOAD or stores_it:
        return live
    raise _in_progress(live)


def _in_progress(live: MaterializationRun) -> RunInProgress:
    return RunInProgress(
        f"{live} is {live.status} up to {live.window_end.isoformat()};"
        " ask again when it has finished.",
        run=live.pk,
    )


def refuse_paused(table: FeatureTable) -> None:
    """:raises RunInProgress: a run of the table is paused: its rows would be stored twice."""
    if (paused := table.runs.filter(status=RunStatus.PAUSED).first()) is not None:
        raise RunInProgress(
            f"{paused} is paused; let it go on, or cancel it, before another begins.",
            run=paused.pk,
        )


def create_run(
    version: FeatureViewVersion,
    table: FeatureTable,
    kind: RunKind,
    window: Window,
    actor: User | None,
    at: datetime,
    compared_until: datetime | None = None,
) -> MaterializationRun:
    """Queue a run that the caller has decided on.

    :raises NotMaterializable: the version is not served any more.
    :raises ActionNotPermitted: the actor may not materialize its view.
    :raises RunInProgress: another run of the table was first.
    """
    try:
        with transaction.atomic():
            _hold_served(version)
            if actor is not None:
                access.require_still(actor, Right.MATERIALIZE_FEATUREVIEW, version.feature_view)
            run = MaterializationRun.objects.create(
                version=version,
                table=table,
                kind=kind,
                queue=RunQueue.RELOADS if kind is RunKind.RELOAD else RunQueue.RUNS,
                window_start=window.start,
                window_end=window.end,
                compared_until=compared_until,
                requested_by=actor,
                requested_at=at,
                enqueued_at=at,
            )
            audit.record(
                actor=actor,
                verb="materialization_run.requested",
                subject=run,
                after=_asked(kind, window, compared_until),
                at=at,
            )
            enqueue(run)
    except IntegrityError as exc:
        raise RunInProgress(
            f"another run of {version} was started a moment ago; ask again when it has finished."
        ) from exc
    return run


def _asked(kind: RunKind, window: Window, compared_until: datetime | None) -> dict[str, object]:
    asked: dict[str, object] = {"kind": kind}
    asked |= {"window_start": window.start, "window_end": window.end}
    return asked if compared_until is None else {**asked, "compared_until": compared_until}


def _hold_served(version: FeatureViewVersion) -> None:
    """Keep the version from being retired until its run is stored; it may be already."""
    (held,) = locks.hold(FeatureViewVersion.objects.filter(pk=version.pk))
    _require_served(version, held.state)


def enqueue(run: MaterializationRun) -> None:
    """Wake a worker of the run's queue once the transaction is in.

    The sweep repeats it if the message is lost.
    """
    send = tasks.run_materialization.apply_async
    what = f"waking a worker for run {run.pk}"
    once_committed(what, send, kwargs={"run_id": run.pk}, queue=run.queue)
