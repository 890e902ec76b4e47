"""What a version's values are to look like: recorded by its approval, or set anew by a person.

Approval is the registry's, which knows of no data: so the sweep asks which approved versions have
data and no baseline yet. Not for comparing with it: ``quality.comparing``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Exists, OuterRef

from lib.errors import Conflict, Invalid
from materialization.choices import RunStatus
from materialization.models import Baseline, MaterializationRun, ProfileSpan
from materialization.quality.merging import merge_profiles
from materialization.quality.profiles import Profile
from registry import access, audit
from registry.choices import SERVED_STATES, Right
from registry.queries import served_versions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.contrib.auth.models import User
    from django.db.models import QuerySet

    from registry.models import FeatureTable, FeatureViewVersion

#: Runs that one baseline may be of.
MAX_RUNS = 1000
MAX_REASON = 2000
#: Baselines that one sweep records.
_AT_ONCE = 20


class NoSuchRuns(Invalid):
    code = "no_such_runs"


class ReasonMissing(Invalid):
    code = "reason_missing"


class NotServed(Conflict):
    code = "version_not_served"


def record_baselines(*, at: datetime) -> None:
    """Record what the data of approved versions were, then or when they were first whole."""
    without = served_versions().filter(baselines=None, table__ready_at__isnull=False)
    # Asked apart: most sweeps find none, and need not look at what ran.
    waiting = list(without.values_list("pk", flat=True))
    if not waiting:
        return
    # Those that no run has a profile for would keep the others from their turn.
    is_profiled = Exists(_profiled(OuterRef("table"))) | Exists(
        ProfileSpan.objects.filter(table=OuterRef("table"))
    )
    for version in without.filter(is_profiled, pk__in=waiting).defer("packet")[:_AT_ONCE]:
        _record(version, at)


@transaction.atomic
def _record(version: FeatureViewVersion, at: datetime) -> None:
    if version.table is None or version.table.ready_at is None:
        return
    whole = max(version.table.ready_at, version.approved_at or version.table.ready_at)
    runs = _profiled(version.table).filter(finished_at__lte=whole).order_by("-id")[:MAX_RUNS]
    # What is merged by now is older than any approval that waits for its baseline.
    spans = ProfileSpan.objects.filter(table=version.table, starts_on__lte=whole.date())
    parts: list[MaterializationRun | ProfileSpan] = [*spans, *runs]
    if parts:
        baseline = _set(version, parts, set_at=whole)
        _leave_trail(baseline, "baseline.recorded", at)


def set_baseline(
    *,
    version: FeatureViewVersion,
    first_run: int,
    last_run: int,
    reason: str,
    actor: User,
    at: datetime,
) -> Baseline:
    """Take the rows of these runs as right from now on; the runs between them count as well.

    :raises ActionNotPermitted: the actor may not approve the view's versions.
    :raises NotServed: nothing is compared with what this version has.
    :raises ReasonMissing, NoSuchRuns: says what would do.
    """
    access.require(actor, Right.APPROVE_FEATUREVIEW, version.feature_view)
    if version.state not in SERVED_STATES:
        raise NotServed(f"{version} is {version.state}; a baseline is of an approved version.")
    reason = reason.strip()
    if not 1 <= len(reason) <= MAX_REASON:
        raise ReasonMissing(f"say why these rows are right, in 1 to {MAX_REASON} characters.")
    runs = list(
        _profiled(version.table).filter(pk__gte=first_run, pk__lte=last_run)[: MAX_RUNS + 1]
    )
    if not runs or len(runs) > MAX_RUNS:
        raise NoSuchRuns(
            f"runs {first_run} to {last_run}: {'more than ' if runs else ''}"
            f"{MAX_RUNS if runs else 0} of them are runs of {version} that stored rows and have a"
            f" profile; name 1 to {MAX_RUNS}."
        )
    with transaction.atomic():
        access.require_still(actor, Right.APPROVE_FEATUREVIEW, version.feature_view)
        baseline = _set(version, runs, set_at=at, actor=actor, reason=reason)
        _leave_trail(baseline, "baseline.set", at)
    return baseline


def _leave_trail(baseline: Baseline, verb: str, at: datetime) -> None:
    runs = [baseline.first_run, baseline.last_run]
    said = {"runs": runs, "rows": baseline.rows, "reason": baseline.reason}
    audit.record(actor=baseline.set_by, verb=verb, subject=baseline.version, data=said, at=at)


def _profiled(table: FeatureTable | OuterRef | None) -> QuerySet[MaterializationRun]:
    runs = MaterializationRun.objects.filter(table=table, status=RunStatus.SUCCEEDED)
    return runs.filter(rows_offline__gt=0, has_profile=True).order_by("id")


def _set(
    version: FeatureViewVersion,
    parts: Sequence[MaterializationRun | ProfileSpan],
    *,
    set_at: datetime,
    actor: User | None = None,
    reason: str = "",
) -> Baseline:
    features = version.spec.features
    merged = merge_profiles([Profile.from_json(part.profile, features) for part in parts])
    spans = [part for part in parts if isinstance(part, ProfileSpan)]
    runs = [part.pk for part in parts if not isinstance(part, ProfileSpan)]
    return Baseline.objects.create(
        version=version,
        profile=merged.to_json(),
        rows=merged.rows,
        runs=len(runs) + sum(span.runs for span in spans),
        first_run=min([*runs, *(span.first_run for span in spans)]),
        last_run=max([*runs, *(span.last_run for span in spans)]),
        set_at=set_at,
        set_by=actor,
        reason=reason,
    )
