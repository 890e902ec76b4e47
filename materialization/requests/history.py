"""What is over and done with for long is forgotten: ended runs, closed alerts, decided quarantines.

Not for what they left: windows, baselines, merged profiles and the trail stay. A sweep looks at
some tables, each once a day, and removes a bounded part of what it finds.
"""

from __future__ import annotations

import logging
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Exists, F, Max, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

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
    from collections.abc import Collection
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
    tables = _whose_turn(at)
    if not tables:
        return
    before = _before(at)
    over = Quarantine.objects.filter(table__in=tables, held_at__lt=before, stored_as="")
    decided = over.exclude(state__in=KEPT_STATES).values_list("pk", flat=True)
    Quarantine.objects.filter(pk__in=list(decided[:AT_ONCE])).delete()
    found = _expired(tables, before).order_by("pk").values_list("pk", "table")[:AT_ONCE]
    numbers = [number for number, _ in found]
    MaterializationRun.objects.filter(pk__in=numbers).delete()
    _note(tables, [table for _, table in found], at, is_done=len(numbers) < AT_ONCE)


def _before(at: datetime) -> datetime:
    return at - timedelta(days=settings.HISTORY_DAYS)


def _whose_turn(at: datetime) -> list[int]:
    seen = "care__runs_seen_at"
    is_due = Q(**{seen: None}) | Q(**{f"{seen}__lte": at - LOOKED_AT_EVERY})
    is_ahead = Q(**{f"{seen}__gt": at + STEPPED_BACK})  # the clock was set back since
    due = FeatureTable.objects.filter(is_due | is_ahead)
    due = due.order_by(F(seen).asc(nulls_first=True), "pk")
    return list(due.values_list("pk", flat=True)[:TABLES_AT_ONCE])


def _expired(tables: Collection[int], before: datetime) -> QuerySet[MaterializationRun]:
    """Return the ended runs of these tables that nothing refers to and nobody asks for.

    Asked for are the last of each version that ended in one way, what it warned and drifted; of a
    table what has a profile of its own, and what may have committed without recording it.
    """
    runs = MaterializationRun.objects.filter(table__in=tables)
    ended = runs.exclude(status__in=UNFINISHED_STATUSES)
    recorded = StoredWindow.objects.filter(table=OuterRef("table")).order_by("-run__sequence")
    newest = Coalesce(Subquery(recorded.values("run__sequence")[:1]), 0)
    return (
        ended.filter(finished_at__lt=before, has_profile=False)
        .exclude(pk__in=_last_of_versions(ended))
        .exclude(publishing=True, sequence__gte=newest)
        .exclude(Exists(StoredWindow.objects.filter(run=OuterRef("pk"))))
        .exclude(Exists(Alert.objects.filter(run=OuterRef("pk"))))
        .exclude(Exists(Quarantine.objects.filter(run=OuterRef("pk"))))
        .exclude(Exists(Quarantine.objects.filter(ended_by=OuterRef("pk"))))
    )


def _last_of_versions(ended: QuerySet[MaterializationRun]) -> set[int]:
    good = Q(status=RunStatus.SUCCEEDED)
    last = ended.order_by().values("version").annotate(
        good=Max("pk", filter=good),
        bad=Max("pk", filter=Q(status__in=UNSUCCESSFUL_STATUSES)),
        stopped=Max("pk", filter=Q(status=RunStatus.CANCELLED)),
        checked=Max("pk", filter=good & ~Q(checks=[])),
        compared=Max("pk", filter=good & Q(drift__isnull=False)),
    )  # fmt: skip
    names = "good", "bad", "stopped", "checked", "compared"
    return {number for row in last.values_list(*names) for number in row if number}


def _note(
    tables: Collection[int], expired: Collection[int], at: datetime, *, is_done: bool
) -> None:
    """Count what expired of each table; it is looked at again tomorrow if that was all."""
    TableCare.objects.bulk_create(
        [TableCare(table_id=table) for table in tables], ignore_conflicts=True
    )
    rows = TableCare.objects.filter(table__in=tables)
    if is_done:
        rows.update(runs_seen_at=at)
    for table, count in Counter(expired).items():
        rows.filter(table=table).update(runs_expired=F("runs_expired") + count)
    if expired:
        log.info("%d runs of %d tables expired (HISTORY_DAYS)", len(expired), len(set(expired)))


#: What a sweep sees to, in order: what referred to a run goes before it.
DUTIES = (expire_alerts, expire_runs)
