"""The profiles of what runs stored: also of those that failed when a part was stored.

Not for making one (``profiling``) or for a version's history (``history``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from materialization.choices import UNFINISHED_STATUSES, RunKind, RunStatus
from materialization.models import MaterializationRun
from materialization.quality.profiles import Profile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.db.models import OuterRef, QuerySet

    from registry.models import FeatureTable

#: Where a run's profile keeps that of the rows before the chunk that was judged last.
BEFORE = "before"


def profiled_runs(table: FeatureTable | OuterRef | None) -> QuerySet[MaterializationRun]:
    """Return the ended runs of a table that stored rows and have a profile, the latest first."""
    runs = MaterializationRun.objects.filter(table=table, rows_offline__gt=0, has_profile=True)
    return runs.exclude(status__in=UNFINISHED_STATUSES).order_by("-id")


def neighbours(table: FeatureTable | OuterRef | None) -> QuerySet[MaterializationRun]:
    """Return those whose rows the next ones are compared with: none that checks had refused."""
    return profiled_runs(table).exclude(kind=RunKind.RELEASE)


def stored_profile(run: MaterializationRun) -> Profile | None:
    """Return the profile of the rows that an ended run stored; None: it is not known.

    Of a run that failed it is that of the chunks before the one that it was refused.
    """
    said = run.profile if run.status == RunStatus.SUCCEEDED else of_rows(run, run.rows_offline)
    return Profile.from_json(said, run.version.spec.features) if said else None


def of_rows(run: MaterializationRun, rows: int) -> Mapping[str, Any] | None:
    """Return which of the profiles that a run has is of so many rows: all it judged, or less."""
    kept = (run.profile, run.profile.get(BEFORE, {}))
    return next((each for each in kept if each.get("rows") == rows), None)


def of_all(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's profile once all it judged is stored."""
    return {key: value for key, value in profile.items() if key != BEFORE}
