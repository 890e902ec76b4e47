"""Celery shells of the registry: an id in, and one call.

Not for logic: ``mailing`` has it. Old workers survive new arguments through ``**_``.
"""

from __future__ import annotations

from celery import shared_task

from lib.clock import database_now
from registry.mailing import mail

#: Seconds for one mail: a server that answers slowly holds nothing up.
MAIL_SECONDS = 30


@shared_task(
    acks_late=True,
    name="registry.mail_notification",
    soft_time_limit=MAIL_SECONDS,
    time_limit=MAIL_SECONDS + 10,
)
def mail_notification(*, notification_id: int, attempt: int, **_: object) -> None:
    """Make one attempt to mail one notification; what became of it is in its row."""
    mail(notification_id, attempt, clock=database_now)
