"""What was queued or begun and is nobody's any more: its message was lost, or its worker died.

An instant further ahead than a clock may differ was written before the clock was set back.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Q

from materialization.requests.turns import STEPPED_BACK

if TYPE_CHECKING:
    from datetime import datetime

#: A message not taken up within this is sent again; claiming twice is harmless.
RESEND_AFTER = timedelta(seconds=60)


def is_unheard(at: datetime, *, after: timedelta = RESEND_AFTER) -> Q:
    """Return what finds rows whose message nobody took up for so long."""
    return Q(enqueued_at__lt=at - after) | Q(enqueued_at__gt=at + STEPPED_BACK)


def lease_is_over(at: datetime) -> Q:
    """Return what finds leases that ran out, and those longer than any."""
    longest = timedelta(seconds=settings.RUN_LEASE_SECONDS) + STEPPED_BACK
    return Q(lease_expires_at__lt=at) | Q(lease_expires_at__gt=at + longest)
