"""Who hears of an alert that opens, and a project's channels that hear of reviews.

Not for messages of alerts on channels (``notices``), or for mails to people (the registry's).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import User

from materialization.choices import AlertKind, NoticeEvent
from materialization.models.channels import AlertChannel, AlertNotice
from registry import news
from registry.choices import NewsKind, Right
from registry.hearers import holders
from registry.news import Event

if TYPE_CHECKING:
    from materialization.models import Alert

#: What kind of news an alert is, and what it says of its subject.
KINDS: dict[AlertKind, tuple[NewsKind, str]] = {
    AlertKind.OVERDUE: (NewsKind.FRESHNESS, "is older than it promises"),
    AlertKind.FAILED: (NewsKind.FAILURE, "has a run that failed"),
    AlertKind.BLOCKED: (NewsKind.FAILURE, "has a run that its checks stopped"),
    AlertKind.DRIFTED: (NewsKind.DRIFT, "drifts"),
    AlertKind.INCONSISTENT: (NewsKind.FAILURE, "differs between its stores"),
    AlertKind.BROKEN_SERVICE: (NewsKind.BREAKAGE, "cannot be answered any more"),
    AlertKind.BROKEN_GLASS: (NewsKind.REVIEW, "was approved by breaking the glass"),
    AlertKind.SOURCE_CHANGED_SCHEMA: (NewsKind.BREAKAGE, "has a source that changed its schema"),
    AlertKind.STORE_NEARLY_FULL: (NewsKind.FAILURE, "is nearly full"),
    AlertKind.STALLED: (NewsKind.FAILURE, "stands still"),
    AlertKind.STREAM_UNREAD: (NewsKind.FAILURE, "has a stream that is not read"),
    AlertKind.UNDRAINED: (
        NewsKind.FAILURE,
        "has pushed rows that reach the offline store too late",
    ),
}


def tell_people(alert: Alert) -> None:
    """Tell who cares for a project's data, and wrote or asked for what it is about; once."""
    kind, words = KINDS[AlertKind(alert.kind)]
    event = Event(
        f"alert:{alert.pk}", kind, alert.project, alert, alert.subject, words, alert.opened_at
    )
    news.tell(event, _hearers(alert))


def _hearers(alert: Alert) -> list[int | None]:
    if alert.project is None:
        return list(User.objects.filter(is_superuser=True).values_list("pk", flat=True))
    found: list[int | None] = [*holders(alert.project, Right.CHANGE_SCHEDULE)]
    if alert.version is not None:
        found += alert.version.editors.values_list("user", flat=True)
    if alert.run is not None:
        found.append(alert.run.requested_by_id)
    return found


def tell_channels(event: Event) -> None:
    """Note a message for each channel of the project that hears of reviews."""
    if event.project is None:
        return
    channels = AlertChannel.objects.filter(project=event.project, enabled=True, hears_reviews=True)
    notice = {"event": NoticeEvent.NEWS, "created_at": event.at, "next_try_at": event.at}
    title = f"Assay: {event.project}, {event.label} {event.said}"[:300]
    AlertNotice.objects.bulk_create(
        [
            AlertNotice(channel=each, key=event.key, title=title, path=path_of(event), **notice)
            for each in channels
        ],
        ignore_conflicts=True,
    )


def path_of(event: Event) -> str:
    """Return the page of the admin that an event leads to."""
    return news.page_of(event.subject._meta.label_lower, str(event.subject.pk))


def register() -> None:
    news.channel(tell_channels)
