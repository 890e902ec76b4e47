"""What a version's values are to look like: recorded by its approval, or set anew by a person.

Approval is the registry's, which knows of no data: so the sweep asks which approved versions have
data and no baseline yet. Not for comparing with it: ``quality.comparing``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Exists, OuterRef

from lib.errors import Conflict, Invalid
from materialization.models import Baseline, ProfileSpan
from materialization.quality.merging import merge_profiles
from materialization.quality.profiles import Profile
from materialization.quality.stored_profiles import profiled_runs, stored_profile
from materialization.requests.reasons import MAX_REASON, is_kept
from registry import access, audit
from registry.choices import SERVED_STATES, Right
from registry.queries import served_versions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from django.contrib.auth.models import User
    from django.db.models import QuerySet

    from materialization.models import MaterializationRun
    from registry.models import FeatureViewVersion

#: Runs that one baseline may be of.
MAX_RUNS = 1000
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
    is_profiled = Exists(profiled_runs(OuterRef("table"))) | Exists(
        ProfileSpan.objects.filter(table=OuterRef("table"))
    )
    for version in without.filter(is_profiled, pk__in=waiting).defer("packet")[:_AT_ONCE]:
        _record(version, at)


@transaction.atomic
def _record(version: FeatureViewVersion, at: datetime) -> None:
    if version.table is None or version.table.ready_at is None:
        return
    whole = max(version.table.ready_at, version.approved_at or version.table.ready_at)
    runs = profiled_runs(version.table).filter(finished_at__lte=whole)[:MAX_RUNS]
    # What is merged by now is older than any approval that waits for its baseline.
    spans = ProfileSpan.objects.filter(table=version.table, starts_on__lte=whole.date())
    parts = {**_of_spans(version, spans), **_of_runs(runs)}
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
    if not is_kept(reason):
        raise ReasonMissing(
            f"say why these rows are right, in 1 to {MAX_REASON} characters, as text can be stored."
        )
    found = profiled_runs(version.table).filter(pk__gte=first_run, pk__lte=last_run)
    runs = _of_runs(found[: MAX_RUNS + 1])
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


def _of_spans(
    version: FeatureViewVersion, spans: Iterable[ProfileSpan]
) -> dict[MaterializationRun | ProfileSpan, Profile]:
    features = version.spec.features
    return {span: Profile.from_json(span.profile, features) for span in spans}


def _of_runs(
    runs: QuerySet[MaterializationRun],
) -> dict[MaterializationRun | ProfileSpan, Profile]:
    """Return the profiles of what runs stored, of those of which it is known."""
    found = {run: stored_profile(run) for run in runs.select_related("version")}
    return {run: profile for run, profile in found.items() if profile is not None}


def _set(
    version: FeatureViewVersion,
    parts: Mapping[MaterializationRun | ProfileSpan, Profile],
    *,
    set_at: datetime,
    actor: User | None = None,
    reason: str = "",
) -> Baseline:
    merged = merge_profiles(list(parts.values()))
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
