"""Performing what was asked for: from a claim to an end, by whichever worker has it.

Not for what is done: each kind of work says that of one row (``datasets.making``).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from django.db import transaction

from lib.errors import AssayError, Unavailable
from lib.outages import translated
from materialization.requests.lost import is_unheard, lease_is_over
from materialization.runner.heartbeat import Lease, LeaseLost, put_down, take
from serving.choices import LIVE_WORK, WorkStatus
from serving.models.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from django.db.models import QuerySet

    W = TypeVar("W", bound=Work)

log = logging.getLogger(__name__)
#: How often something is tried whose worker died, or that something stood in the way of.
MOST_ATTEMPTS = 3


class Ended(NamedTuple):
    """How a piece of work ended: what its row says then, and what of it is for the trail."""

    status: WorkStatus
    columns: dict[str, Any]


def perform(
    waiting: QuerySet[W],
    *,
    worker: str,
    clock: Callable[[], datetime],
    do: Callable[[W], dict[str, Any]],
    tell: Callable[[W, datetime], None],
) -> None:
    """Claim the one row that waits, ``do`` it, and write down what it gave or why it failed.

    Of several workers one has it; what another has, or is over, is left alone. What stores being
    away stood in the way of waits for its next attempt. ``tell`` is called in the transaction of
    its end.
    """
    at = clock()
    row = waiting.filter(status=WorkStatus.QUEUED)
    if not take(row, worker=worker, at=at, columns=lambda found: _begun(found, at)):
        return
    claimed = waiting.get()
    lease = Lease(claimed, clock=clock)
    try:
        with translated(), lease:
            columns = do(claimed)
    except LeaseLost as exc:
        log.warning("%s: %s", claimed, exc)
    except AssayError as exc:
        if isinstance(exc, Unavailable) and claimed.attempt < MOST_ATTEMPTS:
            log.warning("%s waits for another attempt: %s", claimed, exc)
            _put_back(claimed.owned(), clock())
        else:
            end(claimed, failed(exc.message, exc.code), clock(), tell=tell)
    except Exception as exc:
        log.exception("%s", claimed)
        said = f"unexpected {type(exc).__name__}; the worker's log has the traceback."
        end(claimed, failed(said, "unexpected"), clock(), tell=tell)
    else:
        end(claimed, Ended(WorkStatus.DONE, columns), clock(), tell=tell)


def require_owned(row: Work) -> None:
    """Return if this attempt has the work; until the transaction ends no other is given it.

    :raises LeaseLost: another attempt has it, or it is over.
    """
    if not row.owned().update(attempt=row.attempt):
        raise LeaseLost("another attempt has it")


def failed(said: str, code: str) -> Ended:
    return Ended(WorkStatus.FAILED, {"error": said, "error_code": code})


def end(
    claimed: W,
    ended: Ended,
    at: datetime,
    *,
    tell: Callable[[W, datetime], None],
    among: QuerySet[W] | None = None,
) -> None:
    """Write how it ended, and tell of it, if this attempt still has it."""
    columns = {**ended.columns, "status": ended.status}
    with transaction.atomic():
        if put_down(claimed, columns, at, among=among):
            tell(claimed, at)


def see_to(
    rows: QuerySet[Any],
    *,
    wake: Callable[[Any], None],
    tell: Callable[[Any, datetime], None],
    at: datetime,
) -> None:
    """Queue again what a worker died over, and wake one for what waits."""
    live = rows.filter(status__in=LIVE_WORK)
    is_dead = lease_is_over(at)
    for dead in live.filter(is_dead, status=WorkStatus.RUNNING):
        unchanged = dead.owned().filter(is_dead)
        if dead.attempt >= MOST_ATTEMPTS:
            said = f"its worker died {dead.attempt} times (last: {dead.worker})."
            end(dead, failed(said, "worker_died"), at, tell=tell, among=unchanged)
        elif unchanged.update(status=WorkStatus.QUEUED, enqueued_at=at, lease_expires_at=None):
            wake(dead)
    lost = live.filter(is_unheard(at), status=WorkStatus.QUEUED)
    for waiting in lost:
        if lost.filter(pk=waiting.pk).update(enqueued_at=at):
            wake(waiting)


def _begun(found: Work, at: datetime) -> dict[str, Any]:
    return {"status": WorkStatus.RUNNING, "started_at": found.started_at or at}


def _put_back(mine: QuerySet[Any], at: datetime) -> None:
    """Leave it to the sweep, which sends a message that nobody took up once more."""
    mine.update(status=WorkStatus.QUEUED, enqueued_at=at, lease_expires_at=None)
