"""Old profiles as fewer: those of a day's runs become one, and those of a month's days.

Not for what merging means: ``quality.merging``. A sweep does a part of what there is, the oldest
first.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q

from materialization.choices import UNFINISHED_STATUSES, Span
from materialization.models import MaterializationRun, ProfileSpan
from materialization.quality.merging import merge_profiles
from materialization.quality.profiles import Profile
from materialization.quality.stored_profiles import BEFORE, neighbours, stored_profile
from registry import locks
from registry.models import FeatureTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from registry.spec.model import FeatureSpec

log = logging.getLogger(__name__)
#: Runs, and days, that one sweep merges at most.
RUNS_AT_ONCE, DAYS_AT_ONCE = 200, 200


def merge_old_profiles(*, at: datetime) -> None:
    """Merge what is older than a profile is kept: of runs to days, of days to months."""
    today = at.astimezone(UTC).date()
    runs = _merge_runs(today - timedelta(days=settings.PROFILE_RUN_DAYS))
    days = _merge_days(today - timedelta(days=settings.PROFILE_DAY_DAYS))
    if runs or days:
        log.info("merged the profiles of %d runs and of %d days", runs, days)


def _merge_runs(before: date) -> int:
    """Merge by day what ended before a day; who stored no row has nothing to be merged.

    A table's latest profile stays: the next run is compared with it.
    """
    kept = MaterializationRun.objects.filter(has_profile=True)
    later = neighbours(OuterRef("table")).filter(pk__gt=OuterRef("pk")).order_by()
    old = kept.filter(finished_at__lt=datetime.combine(before, time(), UTC))
    old = old.exclude(status__in=UNFINISHED_STATUSES).filter(Q(rows_offline=0) | Exists(later))
    related = "version", "table__feature_view"
    found = list(old.select_related(*related).order_by("finished_at", "id")[:RUNS_AT_ONCE])
    days = defaultdict(list)
    for run in found:
        if run.finished_at is not None:
            days[run.table, run.finished_at.astimezone(UTC).date()].append(run)
    for (table, day), runs in days.items():
        _merge_day(table, day, runs)
    return len(found)


@transaction.atomic
def _merge_day(table: FeatureTable, day: date, runs: Sequence[MaterializationRun]) -> None:
    profiles = {run: stored_profile(run) for run in runs if run.rows_offline}
    stored = {run: found for run, found in profiles.items() if found is not None}
    for run in runs:
        left = {key: value for key, value in run.profile.items() if key not in ("columns", BEFORE)}
        mine = MaterializationRun.objects.filter(pk=run.pk, has_profile=True)
        merged = {"merged_into": day.isoformat()} if run in stored else {}
        mine.update(profile=left | merged, has_profile=False)
    if stored:
        numbers, found = [run.pk for run in stored], list(stored.values())
        features = runs[0].version.spec.features
        _add(table, Span.DAY, day, features, found, len(stored), min(numbers), max(numbers))


def _merge_days(before: date) -> int:
    """Merge by month the days of months that ended before a day."""
    old = ProfileSpan.objects.filter(span=Span.DAY, starts_on__lt=before.replace(day=1))
    found = list(old.select_related("table__feature_view").order_by("starts_on")[:DAYS_AT_ONCE])
    months = defaultdict(list)
    for span in found:
        months[span.table, span.starts_on.replace(day=1)].append(span)
    for (table, month), days in months.items():
        _merge_month(table, month, days)
    return len(found)


@transaction.atomic
def _merge_month(table: FeatureTable, month: date, days: Sequence[ProfileSpan]) -> None:
    features = features_of(table)
    profiles = [Profile.from_json(day.profile, features) for day in days]
    runs, first = sum(day.runs for day in days), min(day.first_run for day in days)
    last = max(day.last_run for day in days)
    _add(table, Span.MONTH, month, features, profiles, runs, first, last)
    ProfileSpan.objects.filter(pk__in=[day.pk for day in days]).delete()


def features_of(table: FeatureTable) -> tuple[FeatureSpec, ...]:
    """Return the features of a table: those of any of its versions, which are equal in data."""
    version = table.versions.defer("packet").first()
    return version.spec.features if version else ()


def _add(
    table: FeatureTable,
    span: Span,
    starts_on: date,
    features: Iterable[FeatureSpec],
    profiles: Sequence[Profile],
    runs: int,
    first: int,
    last: int,
) -> None:
    """Put profiles to what the span has, which may be some of its runs already."""
    locks.hold(FeatureTable.objects.filter(pk=table.pk))
    before = ProfileSpan.objects.filter(table=table, span=span, starts_on=starts_on).first()
    if before is not None:
        profiles = [Profile.from_json(before.profile, tuple(features)), *profiles]
        runs, first, last = (
            runs + before.runs, min(first, before.first_run), max(last, before.last_run),
        )  # fmt: skip
    merged = merge_profiles(profiles)
    said: dict[str, Any] = {
        "profile": merged.to_json(),
        "rows": merged.rows,
        "runs": runs,
        "first_run": first,
        "last_run": last,
    }
    ProfileSpan.objects.update_or_create(table=table, span=span, starts_on=starts_on, defaults=said)
