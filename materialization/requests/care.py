"""Asking for the care of tables: which are due, or to be counted, and one message for all.

Not for performing it: ``runner.caring`` does, in a worker, one table after the other.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.db.models import Q

from materialization import tasks
from materialization.models import TableCare, TableSize
from materialization.queries import tables_to_care_for
from materialization.requests.turns import STEPPED_BACK
from materialization.sizes import sizes_to_count

if TYPE_CHECKING:
    from datetime import datetime

#: A message not taken up within this is sent again.
RESEND_AFTER = timedelta(minutes=10)
#: How long a day's sizes are kept: a year and a bit, to be compared with the year before.
SIZES_KEPT = timedelta(days=400)


def care_due(*, at: datetime) -> None:
    """Wake a worker when a table is due and none was woken a while ago."""
    table = tables_to_care_for(at).first() or next(
        (size.table for size in sizes_to_count(at)), None
    )
    if table is None:
        return
    recent = Q(enqueued_at__gt=at - RESEND_AFTER) & Q(enqueued_at__lte=at + STEPPED_BACK)
    if TableCare.objects.filter(recent | Q(lease_expires_at__gt=at)).exists():
        return
    TableCare.objects.update_or_create(table=table, defaults={"enqueued_at": at})
    tasks.care_for_tables.delay()


def forget_sizes(*, at: datetime) -> None:
    TableSize.objects.filter(day__lt=(at - SIZES_KEPT).date()).delete()


#: What a sweep sees to, in order.
DUTIES = (care_due, forget_sizes)
