"""How far clocks are apart, as each process measured: kept, said in the log, shown to operators.

Who measured a moment ago lives; who has not for a while is dead, or stands still. Windows and
leases do not depend on any of it: they use the database's clock, see ``lib.clock``.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import Error as DatabaseFailed
from django.db import connection

from lib.clock import database_now, measure_skew
from materialization.models import ProcessClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from django.db.models import QuerySet

    from lib.clock import Skew

log = logging.getLogger(__name__)
#: A measurement older than this is of a process that is gone.
KEPT = timedelta(hours=24)
#: How often a process notes its clock, and after how long without it counts as silent.
NOTED_EVERY_SECONDS = 10
SILENT_AFTER = timedelta(seconds=60)
_started: set[str] = set()
#: Held while something is noted. What is forked meanwhile has SQLite's locks of this process, and
#: nobody who gives them back: in it the database is locked for good (sqlite.org/howtocorrupt.html,
#: 2.6). Of whoever forks while it notes it is no hindrance.
_noting = threading.RLock()


def _hold() -> None:
    if connection.vendor == "sqlite":  # which waits for seconds at most; others need none of it
        _noting.acquire()


def _let_go() -> None:
    if connection.vendor == "sqlite":
        _noting.release()


os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_let_go)


def note_clock(process: str, queues: Iterable[str] = ()) -> Skew:
    """Measure, keep and return how far this process's clock and that of Redis are off.

    ``queues`` are those that it takes from.
    """
    skew, at = measure_skew(), database_now()
    ProcessClock.objects.update_or_create(
        process=process[:200],
        defaults={
            "measured_at": at,
            "ahead": skew.process,
            "redis_ahead": skew.redis,
            "queues": sorted(queues),
        },
    )
    ProcessClock.objects.filter(measured_at__lt=at - KEPT).delete()
    if words := skew_in_words(skew):
        log.warning("%s: %s", process, words)
    return skew


def keep_noting(
    process: str, *, then: Callable[..., None], queues: Callable[[], Iterable[str]] = tuple
) -> None:
    """Note the clock of this process from now on, until it ends; asked twice, it is done once.

    ``queues`` gives those that it takes from. ``then(at=…)`` is called after each time that is
    later than others would have been silent for: by then whoever was started beside this process
    has been heard of.
    """
    if process not in _started:
        _started.add(process)
        parts = (process, then, queues)
        threading.Thread(target=_note, args=parts, name="clock", daemon=True).start()


def _note(process: str, then: Callable[..., None], queues: Callable[[], Iterable[str]]) -> None:
    never, began = threading.Event(), time.monotonic()
    while True:
        is_settled = time.monotonic() - began > 2 * SILENT_AFTER.total_seconds()
        note_unforked(process, then if is_settled else None, queues)
        never.wait(NOTED_EVERY_SECONDS)


def note_unforked(
    process: str, then: Callable[..., None] | None, queues: Callable[[], Iterable[str]] = tuple
) -> None:
    """Note the clock by a thread of its own: whoever forks this process waits until it is done."""
    with _noting:
        note_and(process, then, queues)
        connection.close()


def note_and(
    process: str, then: Callable[..., None] | None, queues: Callable[[], Iterable[str]] = tuple
) -> None:
    """Note the clock once, and do ``then``; what goes wrong is logged, and tried again later."""
    try:
        note_clock(process, queues())
        if then is not None:
            then(at=database_now())
    except DatabaseFailed as error:
        log.warning("%s cannot say that it lives: %s", process, type(error).__name__)
    except Exception:
        log.exception("%s cannot look after the others", process)


def last_heard() -> dict[str, datetime]:
    """Return when a process of each kind was heard of last; of some none ever was.

    Of several of a kind one is enough: those that are gone for good are not known from the dead.
    """
    found: dict[str, datetime] = {}
    for process, at in ProcessClock.objects.values_list("process", "measured_at"):
        kind = process.partition("@")[0]
        found[kind] = max(at, found.get(kind, at))
    return found


def skew_in_words(skew: Skew) -> str:
    """Say which clocks are off by more than ``CLOCK_SKEW_SECONDS``; empty when none is."""
    bound = timedelta(seconds=settings.CLOCK_SKEW_SECONDS)
    clocks = {"this process": skew.process, "Redis": skew.redis or timedelta(0)}
    said = [
        f"the clock of {name} is {abs(off).total_seconds():.1f} s"
        f" {'ahead of' if off > timedelta(0) else 'behind'} the database's"
        for name, off in clocks.items()
        if abs(off) > bound
    ]
    return f"{' and '.join(said)}; synchronise the clocks (NTP)" if said else ""


def clocks_apart() -> QuerySet[ProcessClock]:
    """Return the processes whose clock, or Redis as they see it, is off by more than the bound."""
    bound = timedelta(seconds=settings.CLOCK_SKEW_SECONDS)
    rows, near = ProcessClock.objects.all(), (-bound, bound)
    return rows.exclude(ahead__range=near) | rows.filter(redis_ahead__isnull=False).exclude(
        redis_ahead__range=near
    )
