"""How far clocks are apart, as each process measured: kept, said in the log, shown to operators.

Windows and leases do not depend on it: they use the database's clock, see ``lib.clock``.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings

from lib.clock import database_now, measure_skew
from materialization.models import ProcessClock

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from lib.clock import Skew

log = logging.getLogger(__name__)
#: A measurement older than this is of a process that is gone.
KEPT = timedelta(hours=24)


def note_clock(process: str) -> Skew:
    """Measure, keep and return how far this process's clock and that of Redis are off."""
    skew, at = measure_skew(), database_now()
    ProcessClock.objects.update_or_create(
        process=process[:200],
        defaults={"measured_at": at, "ahead": skew.process, "redis_ahead": skew.redis},
    )
    ProcessClock.objects.filter(measured_at__lt=at - KEPT).delete()
    if words := skew_in_words(skew):
        log.warning("%s: %s", process, words)
    return skew


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
