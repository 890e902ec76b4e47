"""Whose turn it is to sweep: of several sweeps at once, or a heap of old messages, one goes on.

Not for what a sweep does. Messages carry no expiry: the clock of who sent one is another's.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Q

from materialization.models import SweepTurn

if TYPE_CHECKING:
    from datetime import datetime

#: A turn that did not end within this is over: its process died.
LONGEST_TURN = timedelta(seconds=60)
#: An instant further ahead than this was written before the clock was set back.
STEPPED_BACK = timedelta(seconds=5)


def take_turn(*, every: timedelta, at: datetime) -> bool:
    """Return whether to sweep now: nobody does, and the last began about ``every`` ago."""
    _, made = SweepTurn.objects.get_or_create(pk=1, defaults={"started_at": at})
    if made:
        return True
    is_time = Q(finished_at__isnull=False, started_at__lte=at - every / 2)
    died = Q(started_at__lte=at - LONGEST_TURN)
    free = is_time | died | Q(started_at__gt=at + STEPPED_BACK)
    mine = SweepTurn.objects.filter(free, pk=1)
    return bool(mine.update(started_at=at, finished_at=None))


def end_turn(*, began: datetime, at: datetime) -> None:
    SweepTurn.objects.filter(pk=1, started_at=began).update(finished_at=at)


def last_turn() -> datetime | None:
    """Return when the newest sweep began; None before the first."""
    return SweepTurn.objects.filter(pk=1).values_list("started_at", flat=True).first()
