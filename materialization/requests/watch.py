"""The causes of alerts that nobody tells of: each is looked for by every sweep, and closes so too.

Not for what the end of a run says: ``quality.alerts.runs``. A duty asks the same few questions
however much there is.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Case, Q, When
from django.utils.timesince import timesince

from lib.attempts import PAUSES, UNENDED
from lib.commits import once_committed
from materialization.budgets import budget_in_words, budgeted_views, uses
from materialization.choices import AlertKind, NoticeEvent, Severity
from materialization.edges.stores import fullness
from materialization.growth import Growth, growth_by_view, larger_than
from materialization.models import Alert, AlertNotice
from materialization.quality.alerts.notices import MAX_ATTEMPTS, note_attempt
from materialization.quality.alerts.opening import (
    About,
    Trouble,
    about_service,
    about_version,
    close_alerts,
    settle,
)
from materialization.quality.freshness import freshness_of, promising
from materialization.readers import waiting_of
from materialization.requests.turns import STEPPED_BACK
from materialization.stalls import silent_kinds, untaken_queues, waiting_queues
from materialization.tasks import deliver_notice
from registry.breakage import broken_services
from registry.choices import SERVED_STATES
from registry.glass import in_words, unlooked
from registry.models import FeatureView, Project
from registry.queries import served_versions

if TYPE_CHECKING:
    from datetime import datetime

    from materialization.models import AlertChannel
    from materialization.quality.freshness import Freshness
    from registry.models import FeatureViewVersion

#: Percent by which a store has to have emptied before it is no longer called nearly full.
ROOM_AGAIN = 5
#: What makes room in a store.
_ROOM = {
    "offline store": "Make room on the disk of {} (FILES_KEPT_HOURS and QUARANTINE_MAX_MB say what"
    " it keeps besides), or give it a larger one.",
    "online store": "Raise Redis's maxmemory, or retire versions that nobody reads.",
}
#: What alerts are about that tell of copies here of what is in a bucket, and tables they name.
_COPIES, _NAMED = "offline cache", 5
#: Messages that one sweep gives to workers, and those of one channel.
MOST_WOKEN, MOST_OF_ONE = 100, 4
#: How long what was sent, or could not be, is kept.
KEPT = timedelta(days=30)


def watch_freshness(*, at: datetime) -> None:
    """Tell of versions that are older than they promise."""
    found = freshness_of(promising(served_versions()), at=at)
    late = {version: fresh for version, fresh in found.items() if fresh.is_overdue}
    waiting = waiting_of({version: f.covered_until for version, f in late.items()}, at=at)
    troubles = {
        about_version(version): _lateness(version, fresh, waiting.get(version.pk, []))
        for version, fresh in late.items()
    }
    settle(AlertKind.OVERDUE, troubles, at=at)


def _lateness(version: FeatureViewVersion, fresh: Freshness, waits: list[str]) -> Trouble:
    since = fresh.covered_until or fresh.approved_at
    ago = timesince(since, fresh.at) if since else ""
    what = f"covers the time up to {since:%Y-%m-%d %H:%M} UTC, {ago} ago"
    if fresh.covered_until is None:
        what = f"was approved {ago} ago and has no rows yet"
    why = "".join(f" Runs wait: {words}." for words in waits)
    return Trouble(f"it {what}; the promise is {version.spec.view.freshness}.{why}", "overdue")


def watch_services(*, at: datetime) -> None:
    """Tell of services that cannot be answered, because a default lacks what they name."""
    broken = broken_services(Project.objects.all())
    troubles = {
        about_service(service): Trouble("; ".join(problems), "broken_service")
        for service, problems in broken.items()
    }
    settle(AlertKind.BROKEN_SERVICE, troubles, at=at)


def watch_glasses(*, at: datetime) -> None:
    """Tell of versions that one person approved alone, until somebody else has looked at them."""
    served = unlooked().filter(version__state__in=SERVED_STATES)
    troubles = {
        about_version(glass.version): Trouble(f"it {in_words(glass)}.", "broken_glass")
        for glass in served.select_related("version__feature_view__project")
    }
    settle(AlertKind.BROKEN_GLASS, troubles, at=at)


def watch_stores(*, at: datetime) -> None:
    """Tell of a store that will soon take no more, and of views near or over their budgets."""
    known = Alert.objects.open().filter(kind=AlertKind.STORE_NEARLY_FULL)
    is_open = {(alert.project_id, alert.subject) for alert in known}
    troubles = {}
    for store, full in fullness().items():
        limit = settings.STORE_FULL_PERCENT - (ROOM_AGAIN if (None, store) in is_open else 0)
        if full.percent >= limit:
            words = f"{full.used >> 20:,} of {full.limit >> 20:,} MB are taken ({full.percent} %)."
            words = f"{words} {_ROOM[store].format(settings.OFFLINE_STORE)}"
            troubles[About(store)] = Trouble(words, "store_nearly_full")
    troubles |= _copies(is_open) | _budgets(is_open, at)
    settle(AlertKind.STORE_NEARLY_FULL, troubles, at=at)


def _copies(is_open: set[tuple[int | None, str]]) -> dict[About, Trouble]:
    """Return that a table in a bucket is nearly more than a machine is to have copies of.

    Runs copy it all the same, as they cannot do with less; people are refused.
    """
    if not settings.OFFLINE_BUCKET:
        return {}
    percent = settings.STORE_FULL_PERCENT - (ROOM_AGAIN if (None, _COPIES) in is_open else 0)
    most = settings.OFFLINE_CACHE_MB
    tables = larger_than((most << 20) * percent // 100)
    if not tables:
        return {}
    largest = ", ".join(f"{t.table} ({t.offline_bytes >> 20:,} MB)" for t in tables[:_NAMED])
    words = (
        f"{len(tables)} of the tables in the bucket may be read whole and nearly fill, or overfill,"
        f" the {most:,} MB that a machine is to have copies of (OFFLINE_CACHE_MB): {largest}. Runs"
        " copy them even so; training sets over more are refused. Raise it, and have the disk of"
        f" {settings.OFFLINE_STORE} hold as much on each machine."
    )
    return {About(_COPIES): Trouble(words, "store_nearly_full", severity=Severity.WARNING)}


def _budgets(is_open: set[tuple[int | None, str]], at: datetime) -> dict[About, Trouble]:
    """Return the views that take nearly what they may, or more; nothing stops for it."""
    budgeted = budgeted_views()
    if budgeted == set():
        return {}
    least = settings.BUDGET_NEAR_PERCENT
    found = {
        view: near
        for view, of_view in uses(budgeted).items()
        if (near := [use for use in of_view if use.percent >= least - ROOM_AGAIN])
    }
    growths = growth_by_view(found, at=at) if found else {}
    troubles = {}
    for view in FeatureView.objects.filter(pk__in=found).select_related("project"):
        was_open = (view.project_id, view.name) in is_open
        if near := [use for use in found[view.pk] if was_open or use.is_near]:
            growth = growths.get(view.pk, Growth())
            words = "; ".join(budget_in_words(use, growth) for use in near)
            trouble = Trouble(f"{words}.", "budget_nearly_used", severity=Severity.WARNING)
            troubles[About(view.name, view.project)] = trouble
    return troubles


def watch_processes(*, at: datetime) -> None:
    """Tell of processes that are silent, and of queues that none takes from or no run goes on in.

    Not by the sweep, which is asked for by one of them: each process that lives asks.
    """
    silent = silent_kinds(at=at)
    idle = {
        queue: words for queue, (running, words) in waiting_queues(at=at).items() if not running
    }
    stuck = {f"queue {queue}": words for queue, words in (idle | untaken_queues(at=at)).items()}
    troubles = {
        About(subject): Trouble(f"{words}.", "stalled")
        for subject, words in (silent | stuck).items()
    }
    settle(AlertKind.STALLED, troubles, at=at)


def close_unread(*, at: datetime) -> None:
    """Close what is said of versions that nobody may read any more."""
    close_alerts(
        Alert.objects.exclude(version=None).exclude(version__state__in=SERVED_STATES), at=at
    )


def wake_notices(*, at: datetime) -> None:
    """Give messages that are due to a worker; a channel that does not work gets one at a time.

    Tests go first: somebody waits for what becomes of one.
    """
    unsent = AlertNotice.objects.filter(sent_at=None, given_up_at=None)
    stepped_back = Q(next_try_at__gt=at + max(PAUSES) + STEPPED_BACK)
    due = unsent.filter(Q(next_try_at__lte=at) | stepped_back).select_related("channel")
    woken: Counter[int] = Counter()
    is_test = Case(When(event=NoticeEvent.TEST, then=0), default=1)
    for notice in due.order_by(is_test, "id")[:MOST_WOKEN]:
        if notice.attempts >= MAX_ATTEMPTS:  # its last attempt did not come back
            note_attempt(notice, UNENDED, at=at)
        elif woken[notice.channel_id] < _most(notice.channel):
            woken[notice.channel_id] += 1
            _wake(notice, at)
    AlertNotice.objects.filter(created_at__lt=at - KEPT).delete()


def _most(channel: AlertChannel) -> int:
    """Return how many messages a channel gets at once: one that does not work holds up others."""
    works = channel.last_sent_at is not None and channel.failing_since is None
    return MOST_OF_ONE if works else 1


def _wake(notice: AlertNotice, at: datetime) -> None:
    """Count the attempt and send its number; a message that is lost costs a pause."""
    attempt = notice.attempts + 1
    mine = AlertNotice.objects.filter(pk=notice.pk, attempts=notice.attempts, sent_at=None)
    if mine.update(attempts=attempt, next_try_at=at + PAUSES[notice.attempts]):
        send = deliver_notice.delay
        what = f"waking a worker for message {notice.pk}"
        once_committed(what, send, notice_id=notice.pk, attempt=attempt)


#: What a sweep looks for, in order.
DUTIES = (
    watch_freshness,
    watch_services,
    watch_glasses,
    watch_stores,
    close_unread,
    wake_notices,
)
