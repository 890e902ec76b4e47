"""One attempt to mail one notification, in a worker. Not for when: ``spreading`` says that."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.core.mail import EmailMessage
from django.urls import reverse

from lib.attempts import PAUSES, UNENDED
from registry import news
from registry.models import Notification

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


log = logging.getLogger(__name__)
MOVED_ON = "whoever it was for may not see it any more"


def mail(notification_id: int, attempt: int, *, clock: Callable[[], datetime]) -> None:
    """Make one attempt to mail a notification; however often its number arrives, it is one."""
    rows = Notification.objects.filter(pk=notification_id, mail_tries=attempt, mailed_at=None)
    if not rows.filter(mail_begun__lt=attempt).update(mail_begun=attempt, mail_error=UNENDED):
        return
    one = rows.select_related("recipient", "actor", "project").get()
    if not (one.recipient.email and news.may_hear(one.project).filter(pk=one.recipient_id)):
        rows.update(mail_due_at=None, mail_error=MOVED_ON)
        return
    try:
        _message(one).send()
    except (OSError, ValueError) as exc:  # SMTP's own errors are OSErrors
        is_last = attempt >= len(PAUSES)
        # Servers quote the address, which is kept with the account only.
        error = f"{type(exc).__name__}: {exc}".replace(one.recipient.email, "the address")[:200]
        rows.update(mail_error=error, **({"mail_due_at": None} if is_last else {}))
        log.warning("mail of notification %s: %s", notification_id, error)
    else:
        rows.update(mailed_at=clock(), mail_due_at=None, mail_error="")


def _message(one: Notification) -> EmailMessage:
    where = news.public_address(reverse("admin:registry_notification_change", args=[one.pk]))
    lines = [
        f"{one}.",
        f"{one.project or 'The installation'}, {one.at:%Y-%m-%d %H:%M} UTC.",
        *([where] if where else []),
        "",
        "What you hear of, and whether by mail: Notifications in the admin.",
    ]
    subject = " ".join(f"Assay: {one}".split())
    return EmailMessage(subject, "\n".join(lines), to=[one.recipient.email])
