"""What a sweep does so that people hear: it reads on in the trail, reminds, and has mails sent.

Off the requests that made the news, each once. Not for who hears what (``hearers``), nor for what
a page shows of it.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Q

from lib.attempts import PAUSES, UNENDED
from lib.commits import once_committed
from registry import news, reviewers
from registry.choices import NewsKind, Right, State
from registry.hearers import holders, reviewers_of
from registry.models import AuditEntry, FeatureViewVersion, NewsCursor, Notification, Project
from registry.news import Event
from registry.tasks import mail_notification

if TYPE_CHECKING:
    from datetime import datetime


log = logging.getLogger(__name__)
#: Entries that one sweep reads, reminders it sees to, mails it gives to workers.
MOST_READ, MOST_REMINDED, MOST_MAILED = 500, 200, 100
#: What is older when it is read is told to nobody; what is older than the second is forgotten.
FRESH, KEPT = timedelta(days=7), timedelta(days=90)
A_DAY = timedelta(days=1)


def spread_news(*, at: datetime) -> None:
    """Tell people of what the trail has since the last time; each entry is read once."""
    cursor, _ = NewsCursor.objects.get_or_create(pk=1)
    # Not so many numbers further on: what was rolled back leaves numbers that no entry has.
    further = AuditEntry.objects.filter(pk__gt=cursor.entry_id).order_by("pk")
    numbers = list(further.values_list("pk", flat=True)[:MOST_READ])
    if not numbers:
        return
    until = numbers[-1]
    entries = AuditEntry.objects.filter(
        pk__gt=cursor.entry_id, pk__lte=until, verb__in=news.verbs(), at__gt=at - FRESH
    )
    with transaction.atomic():
        # Whoever moves the row has these entries; a second sweep finds it moved.
        mine = NewsCursor.objects.filter(pk=1, entry_id=cursor.entry_id).update(entry_id=until)
        for entry in entries.order_by("pk") if mine else ():
            _tell_of(entry)


def _tell_of(entry: AuditEntry) -> None:
    """Tell of one entry; what is wrong with it is logged, and holds up no other."""
    try:
        with transaction.atomic():
            _spread(entry)
    except Exception:
        log.exception("telling of entry %s (%s)", entry.pk, entry.verb)


def _spread(entry: AuditEntry) -> None:
    found = news.find(entry.verb)
    project = Project.objects.filter(name=entry.project_name).first()
    if found is None or project is None:
        return
    subject = found.model._default_manager.filter(pk=entry.subject_id).first()
    if subject is None:
        return
    if found.is_call and getattr(subject, "state", None) != State.IN_REVIEW:
        return  # decided on, or taken back, before anybody was told
    event = Event(
        # All of one act is one event: whoever is asked at submit need not hear of both.
        key=f"act:{entry.act_id}:{found.kind}:{entry.subject_id}",
        kind=found.kind,
        project=project,
        subject=subject,
        label=entry.subject_label,
        # What happened by itself has nobody for the words to begin with.
        words=found.words if entry.actor_id else found.said or found.words,
        at=entry.at,
        actor_id=entry.actor_id,
        said=found.said,
    )
    news.tell(event, found.hearers(entry, subject))
    news.announce(event)


def remind_reviewers(*, at: datetime) -> None:
    """Remind, once a day, of what waits longer than its project gives; later tell its owners."""
    late = reviewers.overdue(FeatureViewVersion.objects.all(), at=at).order_by("submitted_at", "pk")
    given = "feature_view__project__review_hours"
    events = {}
    for pk, packet_hash, since, hours in late.values_list(
        "pk", "packet_hash", "submitted_at", given
    ):
        days = (at - since - timedelta(hours=hours)) // A_DAY
        events[f"overdue:{pk}:{packet_hash[:16]}:{days}"] = pk, days
    told = Notification.objects.filter(event__startswith="overdue:", at__gt=at - 2 * A_DAY)
    known = set(told.order_by().values_list("event", flat=True).distinct())
    untold = [key for key in events if key not in known]
    chosen = {events[key][0]: key for key in _in_turn(untold, at)}
    versions = FeatureViewVersion.objects.select_related("feature_view__project")
    for version in versions.filter(pk__in=chosen).order_by("submitted_at", "pk"):
        key = chosen[version.pk]
        _remind(version, key, events[key][1], at)


def _in_turn(keys: list[str], at: datetime) -> list[str]:
    """Return as many as one sweep sees to, others each second: some may be heard by nobody."""
    start = int(at.timestamp()) * MOST_REMINDED % max(len(keys), 1)
    return (keys[start:] + keys[:start])[:MOST_REMINDED]


def _remind(version: FeatureViewVersion, key: str, days: int, at: datetime) -> None:
    project = version.feature_view.project
    waits = project.review_hours // 24 + days
    lasting = f"{waits} days" if waits > 1 else f"{project.review_hours} hours"
    words = f"waits for review for more than {lasting}"
    event = Event(key, NewsKind.REMINDER, project, version, str(version), words, at, said=words)
    decided = version.reviews.filter(packet_hash=version.packet_hash)
    asked = {*reviewers_of(version)} - {*decided.values_list("reviewer", flat=True)}
    owners = holders(project, Right.MANAGE_MEMBERS) if days or not asked else []
    with transaction.atomic():
        news.tell(event, [*asked, *owners])
        news.announce(event)


def forget_old(*, at: datetime) -> None:
    """Remove what was told long ago."""
    Notification.objects.filter(at__lt=at - KEPT).delete()


def wake_mails(*, at: datetime) -> None:
    """Give mails that are due to a worker; one that is lost costs a pause."""
    due = Notification.objects.filter(Q(mail_due_at__lte=at) | Q(mail_due_at__gt=at + A_DAY))
    for one in due.order_by("mail_due_at", "pk")[:MOST_MAILED]:
        rows = Notification.objects.filter(pk=one.pk, mail_tries=one.mail_tries)
        if one.mail_tries >= len(PAUSES):  # its last attempt did not come back
            rows.update(mail_due_at=None, mail_error=one.mail_error or UNENDED)
            continue
        attempt, again = one.mail_tries + 1, at + PAUSES[one.mail_tries]
        if rows.exclude(mail_due_at=None).update(mail_tries=attempt, mail_due_at=again):
            _wake(one.pk, attempt)


def _wake(notification_id: int, attempt: int) -> None:
    what = f"waking a worker for the mail of notification {notification_id}"
    arguments = {"notification_id": notification_id, "attempt": attempt}
    once_committed(what, mail_notification.delay, **arguments)


#: What a sweep sees to, in order.
DUTIES = (spread_news, remind_reviewers, wake_mails, forget_old)
