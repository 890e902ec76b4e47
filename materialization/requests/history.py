"""What is over and done with for long is forgotten: ended runs, closed alerts, decided quarantines.

Not for what they left: windows, baselines, merged profiles and the trail stay. A sweep looks at
some tables, each once a day, and removes a bounded part of what it finds.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Exists, F, Max, OuterRef, Q

from materialization.choices import (
    KEPT_STATES,
    UNFINISHED_STATUSES,
    UNSUCCESSFUL_STATUSES,
    RunStatus,
)
from materialization.models import (
    Alert,
    MaterializationRun,
    Quarantine,
    StoredWindow,
    TableCare,
)
from materialization.requests.turns import STEPPED_BACK
from registry.models import FeatureTable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.db.models import QuerySet

log = logging.getLogger(__name__)
#: How often a table's runs are looked at, and how many tables one sweep looks at.
LOOKED_AT_EVERY, TABLES_AT_ONCE = timedelta(days=1), 50
#: Rows of each kind that one sweep removes at most.
AT_ONCE = 1000


def expire_alerts(*, at: datetime) -> None:
    """Forget alerts that were closed long ago, with what was told of them."""
    old = Alert.objects.filter(closed_at__lt=_before(at)).order_by("closed_at")
    if numbers := list(old.values_list("pk", flat=True)[:AT_ONCE]):
        Alert.objects.filter(pk__in=numbers).delete()
        log.info("%d closed alerts expired (HISTORY_DAYS)", len(numbers))


def expire_runs(*, at: datetime) -> None:
    """Forget runs that ended long ago, but those that something still asks for."""
    tables, before, room, done = _whose_turn(at), _before(at), AT_ONCE, list[int]()
    over = Quarantine.objects.filter(table__in=tables, held_at__lt=before, stored_as="")
    decided = over.exclude(state__in=KEPT_STATES).values_list("pk", flat=True)
    if numbers := list(decided[:AT_ONCE]):
        Quarantine.objects.filter(pk__in=numbers).delete()
    for table in tables:
        found = list(_expired(table, before).values_list("pk", flat=True)[:room])
        if found:
            _forget(table, found)
        if len(found) == room:
            break
        room -= len(found)
        done.append(table)
    _note_seen(done, at)


def _before(at: datetime) -> datetime:
    return at - timedelta(days=settings.HISTORY_DAYS)


def _whose_turn(at: datetime) -> list[int]:
    seen = "care__runs_seen_at"
    is_due = Q(**{seen: None}) | Q(**{f"{seen}__lte": at - LOOKED_AT_EVERY})
    is_ahead = Q(**{f"{seen}__gt": at + STEPPED_BACK})  # the clock was set back since
    due = FeatureTable.objects.filter(is_due | is_ahead)
    due = due.order_by(F(seen).asc(nulls_first=True), "pk")
    return list(due.values_list("pk", flat=True)[:TABLES_AT_ONCE])


def _expired(table: int, before: datetime) -> QuerySet[MaterializationRun]:
    """Return the ended runs of a table that nothing refers to and nobody asks for, oldest first.

    Asked for are the last of each version that ended in one way, what it warned and drifted; of the
    table what has a profile of its own, and what may have committed without recording it.
    """
    recorded = StoredWindow.objects.filter(table=table)
    newest = recorded.aggregate(newest=Max("run__sequence"))["newest"] or 0
    ended = MaterializationRun.objects.filter(table=table).exclude(status__in=UNFINISHED_STATUSES)
    return (
        ended.filter(finished_at__lt=before, has_profile=False)
        .filter(_is_followed(ended))
        .exclude(publishing=True, sequence__gte=newest)
        .exclude(Exists(StoredWindow.objects.filter(run=OuterRef("pk"))))
        .exclude(Exists(Alert.objects.filter(run=OuterRef("pk"))))
        .exclude(Exists(Quarantine.objects.filter(run=OuterRef("pk"))))
        .exclude(Exists(Quarantine.objects.filter(ended_by=OuterRef("pk"))))
        .order_by("finished_at", "pk")
    )


def _is_followed(ended: QuerySet[MaterializationRun]) -> Q:
    """Say that a later run of the version ended in the same way, and said as much.

    Asked of each old run by itself: who counts over all reads a history to forget its beginning.
    """
    later = ended.filter(version=OuterRef("version"), pk__gt=OuterRef("pk"))
    good = later.filter(status=RunStatus.SUCCEEDED)
    as_good = (
        Q(status=RunStatus.SUCCEEDED)
        & Q(Exists(good))
        & (Q(checks=[]) | Q(Exists(good.exclude(checks=[]))))
        & (Q(drift__isnull=True) | Q(Exists(good.filter(drift__isnull=False))))
    )
    as_bad = Q(status__in=UNSUCCESSFUL_STATUSES) & Q(
        Exists(later.filter(status__in=UNSUCCESSFUL_STATUSES))
    )
    stopped = Q(status=RunStatus.CANCELLED)
    return as_good | as_bad | (stopped & Q(Exists(later.filter(status=RunStatus.CANCELLED))))


def _forget(table: int, numbers: Sequence[int]) -> None:
    """Remove runs and count them where the table's care is noted."""
    MaterializationRun.objects.filter(pk__in=numbers).delete()
    TableCare.objects.get_or_create(table_id=table)
    care = TableCare.objects.filter(table=table)
    care.update(runs_expired=F("runs_expired") + len(numbers))
    name = FeatureTable.objects.select_related("feature_view").get(pk=table)
    log.info("%d runs of %s expired (HISTORY_DAYS)", len(numbers), name)


def _note_seen(tables: Sequence[int], at: datetime) -> None:
    """Note the tables of which nothing is left to expire until tomorrow."""
    if tables:
        TableCare.objects.bulk_create(
            [TableCare(table_id=table) for table in tables], ignore_conflicts=True
        )
        TableCare.objects.filter(table__in=tables).update(runs_seen_at=at)


#: What a sweep sees to, in order: what referred to a run goes before it.
DUTIES = (expire_alerts, expire_runs)
