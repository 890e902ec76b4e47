"""One run from claim to end: compute → check → offline commit → online merge → done.

One visible sequence. Not for deciding that a run is due (``sweep``) or for retrying (``tasks``).
Nothing is published before its checks passed, and nothing at all of a run that is cancelled; each
step can be repeated without a trace.
"""

from __future__ import annotations

import logging
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.db import transaction

from lib.errors import AssayError, Conflict, Unavailable
from lib.outages import DiskUnavailable, translated
from materialization.choices import COMPARING_KINDS, RunKind, RunStatus, RunStep
from materialization.chunks import read_chunks
from materialization.comparisons import corrects_ticks
from materialization.edges.stores import room_left
from materialization.models import MaterializationRun
from materialization.queries import coverage, gaps, runs_before, uncovered
from materialization.runner import loading, releasing, storing
from materialization.runner.correcting import correct_ticks
from materialization.runner.ending import (
    MAX_ATTEMPTS,
    Ending,
    end_run,
    put_aside,
    queue_again,
    wait_for,
)
from materialization.runner.heartbeat import (
    Heartbeat,
    LeaseLost,
    RunCancelled,
    RunPaused,
    SlotWanted,
    take,
)
from materialization.runner.indexing import index_table
from materialization.runner.telling import tell_start
from materialization.upstream import UpstreamBehind, UpstreamUnderWay, require_stored
from registry import epoch, locks
from registry.choices import SERVED_STATES
from registry.models import FeatureTable
from registry.operations.lifecycle.releases import mark_table_ready

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from materialization.windows import Window

log = logging.getLogger(__name__)


class VersionNotServed(RunCancelled):
    """Retiring a version ends its runs that wait; nothing is wrong with them."""

    code = "version_not_served"


class RunIncomplete(Conflict):
    """Who succeeds has stored all of its window: no other run is ever asked for what it left."""

    code = "run_incomplete"


def run(*, run_id: int, worker: str, clock: Callable[[], datetime]) -> bool:
    """Perform a queued run; one that another worker has, or that is over, is left alone.

    Returns whether it wants another turn: it gave its worker to a run that waited.
    :raises Unavailable: a part did not answer and attempts remain; the run is queued again.
    """
    claimed = claim(run_id, worker=worker, at=clock())
    return claimed is not None and _attempt(claimed, clock)


def take_turn(*, run_id: int, worker: str, clock: Callable[[], datetime]) -> list[int]:
    """Perform a queued run, or one that goes before it; return the runs that want another turn.

    Messages are taken in their order. So whoever is told of a history looks which increments wait,
    performs the first of them, whose own message then finds nothing to do, and lets the history
    queue behind what waits by now.
    :raises Unavailable: as ``run``.
    """
    before = runs_before(run_id, at=clock())
    claims = (claim(each, worker=worker, at=clock()) for each in before)
    first = next((claimed for claimed in claims if claimed is not None), None)
    if first is None:
        return [run_id] if run(run_id=run_id, worker=worker, clock=clock) else []
    wants_more = False
    with suppress(Unavailable):  # it is queued again, and tried when it has paused
        wants_more = _attempt(first, clock)
    return [first.pk, run_id] if wants_more else [run_id]


def _attempt(claimed: MaterializationRun, clock: Callable[[], datetime]) -> bool:
    """Perform a claimed run; return whether it wants another turn.

    :raises Unavailable: as ``run``.
    """
    try:
        with translated(), Heartbeat(claimed, clock=clock) as heartbeat:
            _perform(claimed, heartbeat, clock)
    except LeaseLost as exc:
        log.warning("%s: %s", claimed, exc)
    except SlotWanted:
        return queue_again(claimed, among=claimed.owned(), at=clock())
    except RunPaused:
        return _pause(claimed, clock())
    except RunCancelled as exc:
        _end(claimed, Ending(RunStatus.CANCELLED, exc.message, exc.code), clock())
    except Unavailable as exc:
        _say_where(exc)
        if claimed.tries < MAX_ATTEMPTS:
            queue_again(claimed, among=claimed.owned(), at=clock(), outage=exc)
            raise
        _end(claimed, Ending(RunStatus.FAILED, exc.message, exc.code, passes=True), clock())
    except AssayError as exc:
        ending = Ending(RunStatus.FAILED, exc.message, exc.code, example=exc.example)
        _end(claimed, ending, clock())
    except Exception as exc:  # noqa: BLE001 - the one place where the unknown is kept and not lost
        _end(claimed, _unexpected(claimed, exc), clock())
    return False


def _say_where(error: Unavailable) -> None:
    """Let what says that a disk is full say which: whoever met it often knows no folder."""
    if isinstance(error, DiskUnavailable) and (left := room_left()):
        error.reword(lambda words: f"{words} Left: {left}." if words else words)


def _unexpected(claimed: MaterializationRun, error: Exception) -> Ending:
    """Return the end by what nobody foresaw; its words may quote rows, so the log has its place."""
    place = "".join(traceback.format_tb(error.__traceback__))
    log.error("%s: unexpected %s\n%s", claimed, type(error).__name__, place)
    said = f"unexpected {type(error).__name__}; the traceback is for superusers, on the run's page."
    return Ending(
        RunStatus.ERRORED, said, "unexpected", traceback=_traceback(error), example=str(error)
    )


def _traceback(error: Exception) -> str:
    return "".join(traceback.format_exception(error))


def _end(claimed: MaterializationRun, ending: Ending, at: datetime) -> bool:
    """End the run if this attempt still owns it; return whether it does."""
    return end_run(claimed, ending, among=claimed.owned(), actor=claimed.requested_by, at=at)


def _pause(claimed: MaterializationRun, at: datetime) -> bool:
    """Put the run aside if that is still asked; return whether it wants another turn instead.

    Since it stopped for a pause, somebody may have taken that back, or cancelled the run.
    """
    paused = claimed.owned().filter(pause_requested=True, cancel_requested=False)
    if put_aside(claimed, among=paused, actor=None, at=at):
        return False
    cancelled = claimed.owned().filter(cancel_requested=True)
    ending = Ending(RunStatus.CANCELLED, "cancelled on request.", RunCancelled.code)
    if end_run(claimed, ending, among=cancelled, actor=claimed.requested_by, at=at):
        return False
    return queue_again(claimed, among=claimed.owned(), at=at)


def claim(run_id: int, *, worker: str, at: datetime) -> MaterializationRun | None:
    """Take a queued run: of several workers exactly one gets it, with its own fencing token.

    One that waits for runs of what it reads is left as it is, and looked at again later.
    """
    queued = MaterializationRun.objects.filter(pk=run_id, status=RunStatus.QUEUED)
    if _waits(queued, at):
        return None

    def begun(found: MaterializationRun) -> dict[str, Any]:
        return {
            "status": RunStatus.RUNNING, "step": RunStep.READING, "retry_at": None,
            "error": "", "error_code": "", "example": "",
            "started_at": found.started_at or at,
            "progress": storing.progress_of(read_chunks(found.chunks)),
        }  # fmt: skip

    if not take(queued, worker=worker, at=at, columns=begun):
        return None
    related = "version__feature_view__project", "table__feature_view__project", "requested_by"
    claimed = MaterializationRun.objects.select_related(*related).get(pk=run_id)
    tell_start(claimed, at)
    return claimed


def _waits(queued: QuerySet[MaterializationRun], at: datetime) -> bool:
    """Return whether a queued run has to wait for runs of what it reads, and note so.

    Where nobody stores that any more, or none can tell, it is taken and ends by it: whoever claims
    has runs behind it to take.
    """
    run = queued.select_related("version").defer("version__packet").first()
    if run is None:
        return False
    try:
        if run.version.spec.reads:
            _require_upstream(run)
    except UpstreamUnderWay as exc:
        return wait_for(run, exc, among=queued, at=at)
    except UpstreamBehind:
        return False
    except Exception as exc:  # noqa: BLE001 - it is met again, and kept, where the run is performed
        log.warning("%s: what it waits for is not known: %s", run, type(exc).__name__)
    return False


def _require_upstream(run: MaterializationRun) -> None:
    """Return if all that the run's version reads of others is stored up to the run's end.

    :raises UpstreamUnderWay: a run of that is not over.
    :raises UpstreamBehind: none is, any more.
    """
    if run.kind in (RunKind.RELOAD, RunKind.RELEASE, *COMPARING_KINDS):
        return
    if not require_stored(run.version, run.window_end):
        reads = ", ".join(map(str, run.version.spec.reads))
        raise UpstreamUnderWay(f"{run.version} waits for runs of what it reads: {reads}.")


def _perform(
    claimed: MaterializationRun, heartbeat: Heartbeat, clock: Callable[[], datetime]
) -> None:
    _require_served(claimed)
    _require_upstream(claimed)
    if claimed.kind == RunKind.RELEASE:
        releasing.store_held(claimed, heartbeat)
    elif claimed.kind != RunKind.RELOAD:
        storing.store_missing(claimed, heartbeat)
    if corrects_ticks(claimed):
        correct_ticks(claimed, heartbeat)
    heartbeat.begin_publishing()
    load = loading.Load(0, claimed.table.kept_for)
    if claimed.version.spec.view.online:
        load = loading.load_online(claimed, heartbeat, at=clock())
    heartbeat.check()
    _publish(claimed, clock(), load)
    if any(feature.value_type.kind == "vector" for feature in claimed.version.spec.features):
        index_table(claimed.table_id, clock=clock)


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


def _publish(claimed: MaterializationRun, at: datetime, load: loading.Load) -> None:
    """End the run and make its table ready in one transaction: neither is seen without the other.

    A table with a gap between its start and its end does not become ready; the sweep fills it.

    :raises LeaseLost: another attempt has the run; it will publish.
    :raises RunIncomplete: a part of its window is not stored.
    """
    with transaction.atomic():
        # The end needs the trail, and what follows it would come too late: see ``registry.locks``.
        epoch.hold(claimed.table.feature_view.project_id)
        locks.hold(claimed.owned())
        locks.hold(FeatureTable.objects.filter(pk=claimed.table.pk))
        covered = coverage(claimed.table)
        _require_whole(claimed, covered)
        if not _end(claimed, Ending(RunStatus.SUCCEEDED), at):
            raise LeaseLost("another attempt owns the run")
        is_whole = bool(covered) and not gaps(claimed.version, covered)
        if claimed.table.ready_at is not None or is_whole:
            mark_table_ready(table=claimed.table, at=at, **load._asdict())


def _require_whole(claimed: MaterializationRun, covered: Sequence[Window]) -> None:
    if claimed.kind == RunKind.RELOAD:
        return
    if lacking := uncovered(claimed.version, covered, claimed.window):
        since = lacking[0].start.isoformat() if lacking[0].start else "its first row"
        raise RunIncomplete(
            f"{claimed}: of its window {since} to {lacking[0].end.isoformat()} is not stored, so it"
            " did not succeed. Materialize again, which stores what lacks."
        )
