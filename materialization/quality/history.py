"""What the values of a version were over its latest runs, and how far they lie from its baseline.

Not for showing it: pages and API do, as far as who asks may read values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from materialization.models import Baseline, MaterializationRun, ProfileSpan
from materialization.quality.comparing import current_baseline
from materialization.quality.merging import merge_profiles
from materialization.quality.profiles import Profile
from materialization.quality.stored_profiles import profiled_runs, stored_profile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from materialization.quality.profiles import ColumnProfile
    from registry.models import FeatureViewVersion

#: How many runs are shown where nobody says, and at most.
RUNS, MAX_RUNS = 30, 100
#: How many days and months of before.
SPANS = 60


class Point(NamedTuple):
    """One run that stored rows: its features by name, and how far they drifted by side and name."""

    run: MaterializationRun
    rows: int
    columns: dict[str, ColumnProfile]
    #: When the baseline was set that its drift is against; another may count by now.
    baseline_set_at: datetime | None = None

    def drift(self, side: str, feature: str) -> dict[str, float | str]:
        found: dict[str, float | str] = (self.run.drift or {}).get(side, {}).get(feature, {})
        return found


class Past(NamedTuple):
    """A day or a month of merged profiles."""

    span: ProfileSpan
    columns: dict[str, ColumnProfile]


class History(NamedTuple):
    """``points`` are in the order of the runs; ``merged`` is all of them together."""

    version: FeatureViewVersion
    baseline: Baseline | None
    compared: Profile | None
    points: list[Point]
    merged: Profile | None
    #: The latest days and months whose runs have no profile of their own any more, in their order.
    spans: list[Past]


def history_of(version: FeatureViewVersion, *, runs: int = RUNS) -> History:
    """Return what is known of the latest ``runs`` runs of a version's table."""
    baseline = current_baseline(version)
    features = version.spec.features
    found = profiled_runs(version.table).select_related("version").defer("traceback")
    latest = list(found[:runs]) if version.table else []
    known = [(run, own) for run in reversed(latest) if (own := stored_profile(run)) is not None]
    then = _baselines_then([run for run, _ in known])
    points = [
        Point(run, profile.rows, {each.name: each for each in profile.columns}, then.get(run))
        for run, profile in known
    ]
    return History(
        version,
        baseline,
        Profile.from_json(baseline.profile, features) if baseline else None,
        points,
        merge_profiles([profile for _, profile in known]) if known else None,
        _spans(version) if version.table else [],
    )


def _baselines_then(runs: Sequence[MaterializationRun]) -> dict[MaterializationRun, datetime]:
    """Return when the baseline was set that each run was compared with, of those that were."""
    ended = {run: run.finished_at for run in runs if "baseline" in (run.drift or {})}
    versions = {run.version_id for run in ended}
    baselines = Baseline.objects.filter(version__in=versions).order_by("set_at")
    known = list(baselines.values_list("version", "set_at"))
    return {
        run: set_at
        for run, end in ended.items()
        for version, set_at in known
        if end is not None and version == run.version_id and set_at <= end
    }


def _spans(version: FeatureViewVersion) -> list[Past]:
    spans = ProfileSpan.objects.filter(table=version.table).order_by("-starts_on")[:SPANS]
    features = version.spec.features
    return [
        Past(span, {each.name: each for each in Profile.from_json(span.profile, features).columns})
        for span in reversed(spans)
    ]


def approvers_of(version: FeatureViewVersion) -> list[str]:
    """Return who approved what a version was submitted as."""
    reviews = version.reviews.filter(verdict="approved", packet_hash=version.packet_hash)
    return [review.reviewer.get_username() for review in reviews.select_related("reviewer")]
