"""Who is told of an alert, once when it opens and once when it closes, and the telling.

A message is a row before it is sent, in the transaction of what it tells. Not for when it is tried
again: ``requests.watch`` gives what is due to a worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models.functions import Coalesce

from lib.attempts import PAUSES, UNENDED
from materialization.choices import NoticeEvent, Severity
from materialization.models.channels import AlertChannel, AlertNotice
from materialization.quality.alerts.channels import send
from registry.news import page_of, public_address

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import datetime

    from materialization.models import Alert

MAX_ATTEMPTS = len(PAUSES)
ALERT = "materialization.alert"
TEST_TITLE = "Assay: a test"
#: The severities that a channel hears of, by the least it asks for.
HEARD = {Severity.WARNING: tuple(Severity), Severity.CRITICAL: (Severity.CRITICAL,)}


def tell_of_opening(alert: Alert) -> None:
    """Note a message for each channel that is to hear of an alert that opened now."""
    minima = [least for least, heard in HEARD.items() if alert.severity in heard]
    channels = AlertChannel.objects.filter(
        project=alert.project_id, enabled=True, severity__in=minima
    )
    _note(channels, alert, NoticeEvent.OPENED, alert.opened_at)


def tell_of_closing(alert: Alert, *, at: datetime) -> None:
    """Note a message for each channel that was to hear of its opening."""
    told = AlertNotice.objects.filter(alert=alert, event=NoticeEvent.OPENED)
    channels = AlertChannel.objects.filter(enabled=True, pk__in=told.values("channel"))
    _note(channels, alert, NoticeEvent.CLOSED, at)


def _note(
    channels: Collection[AlertChannel], alert: Alert | None, event: NoticeEvent, at: datetime
) -> None:
    AlertNotice.objects.bulk_create(
        [
            AlertNotice(channel=channel, alert=alert, event=event, created_at=at, next_try_at=at)
            for channel in channels
        ],
        ignore_conflicts=True,
    )


def note_test(channel: AlertChannel, *, at: datetime) -> bool:
    """Note a test message, unless one waits already; return whether it was noted."""
    tests = AlertNotice.objects.filter(channel=channel, event=NoticeEvent.TEST)
    if tests.filter(sent_at=None, given_up_at=None).exists():
        return False
    tests.delete()  # of tests the latest is kept
    _note([channel], None, NoticeEvent.TEST, at)
    return True


def deliver(
    notice_id: int, attempt: int, *, allowed: Collection[str], clock: Callable[[], datetime]
) -> None:
    """Make one attempt to send a message; however often its number arrives, it is one."""
    rows = AlertNotice.objects.filter(pk=notice_id, attempts=attempt, sent_at=None)
    if not rows.filter(begun__lt=attempt).update(begun=attempt, error=UNENDED):
        return
    notice = rows.select_related("channel", "alert__project").first()
    if notice is None:
        return
    title, body = message_of(notice)
    error = send(notice.channel.url, title, body, allowed=allowed, tone=_tone_of(notice))
    note_attempt(notice, error, at=clock())


def _tone_of(notice: AlertNotice) -> str:
    """Return how a message is to look where a channel has colours, or a field, for that."""
    if notice.alert is None:
        return "info"
    if notice.event == NoticeEvent.CLOSED:
        return "success"
    return "failure" if notice.alert.severity == Severity.CRITICAL else "warning"


def note_attempt(notice: AlertNotice, error: str, *, at: datetime) -> None:
    """Write on message and channel what became of an attempt."""
    row = AlertNotice.objects.filter(pk=notice.pk)
    channel = AlertChannel.objects.filter(pk=notice.channel_id)
    if not error:
        row.update(sent_at=at, error="")
        channel.update(last_sent_at=at, error="", failing_since=None)
        return
    is_last = notice.attempts >= MAX_ATTEMPTS or notice.event == NoticeEvent.TEST
    row.update(error=error, given_up_at=at if is_last else None)
    channel.update(error=error, failing_since=Coalesce("failing_since", at))


def note_unended(notice_id: int, attempt: int, *, at: datetime) -> None:
    """Write that an attempt was ended because it took too long."""
    notice = AlertNotice.objects.filter(pk=notice_id, attempts=attempt, sent_at=None).first()
    if notice is not None:
        note_attempt(notice, UNENDED, at=at)


def text_of_test(channel: AlertChannel) -> str:
    return f"The channel {channel} works."


def message_of(notice: AlertNotice) -> tuple[str, str]:
    """Return title and text: names of what is defined, codes and instants, and nothing else.

    It leaves the house, so it has neither the alert's words (files and columns may be named after
    people) nor who did what.
    """
    alert = notice.alert
    if notice.event == NoticeEvent.NEWS:
        return notice.title, public_address(notice.path) or "Look in the admin's review desk."
    if alert is None:
        return TEST_TITLE, text_of_test(notice.channel)
    place = alert.project.name if alert.project else "the installation"
    what = f"{alert.kind.replace('_', ' ')}: {place}, {alert.subject}"
    if notice.event == NoticeEvent.CLOSED:
        lasted = f"It was open from {_utc(alert.opened_at)} to {_utc(alert.closed_at)}."
        return f"Assay: closed, {what}", lasted
    lines = [
        f"Severity {alert.severity}, since {_utc(alert.opened_at)}.",
        *([f"Code: {alert.code}."] if alert.code else []),
        f"What exactly is wrong: alert {alert.pk}, in the admin or by `assay alerts list`.",
        *([where] if (where := public_address(page_of(ALERT, str(alert.pk)))) else []),
        "It is quiet now until it closes.",
    ]
    return f"Assay: {what}", "\n".join(lines)


def _utc(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at else "now"
