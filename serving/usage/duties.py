"""What a sweep sees to of usage: that it is stored, in few files, and removed at its time."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings

from materialization.edges.stores import usage_stream
from serving import tasks
from serving.models import LastRead, StoreLook
from serving.sweeping import look_through
from serving.usage.edges import is_noted, kept_for, stored_usage
from serving.usage.standing import SINCE

if TYPE_CHECKING:
    from datetime import datetime


def store_due(*, at: datetime) -> None:
    """Wake a worker when what was noted has waited long enough."""
    waits = usage_stream().waits_since_ms()
    if waits is None:
        return
    StoreLook.objects.get_or_create(what=SINCE, defaults={"looked_at": at})
    if waits >= settings.USAGE_STORED_EVERY_SECONDS * 1000:
        tasks.store_usage.delay()


def tidy_up(*, at: datetime) -> None:
    """Remove what is older than it is kept, and care for the table."""
    look_through("usage", lambda: _tidy(at), at=at)


def _tidy(at: datetime) -> None:
    table, oldest = stored_usage(), (at - kept_for()).date()
    table.remove_before(oldest)
    table.care(keep=timedelta(hours=settings.FILES_KEPT_HOURS))
    LastRead.objects.filter(read_at__lt=at - kept_for()).delete()
    if not is_noted():
        StoreLook.objects.filter(pk=SINCE).delete()


#: What a sweep sees to, in order.
DUTIES = (store_due, tidy_up)
