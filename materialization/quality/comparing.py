"""What a run's values are compared with: its version's baseline, and the run before it.

Not for comparing (``drift_checks``) and not for setting baselines (``requests.baselines``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.choices import RunKind
from materialization.models import Baseline
from materialization.quality.drift_checks import Compared, Drifted, judge_drift
from materialization.quality.profiles import Profile
from materialization.quality.stored_profiles import neighbours, stored_profile
from registry.choices import Against

if TYPE_CHECKING:
    from materialization.models import MaterializationRun
    from registry.models import FeatureViewVersion


def drift_of(
    version: FeatureViewVersion, run: MaterializationRun, profile: Profile
) -> Drifted | None:
    """Return how far a run's rows lie from those of before; None: they are not to be compared.

    A history differs from its latest hours, and rows that lacked from those that did not: so what
    is compared is what continues a table that is ready.
    """
    if run.kind != RunKind.INCREMENTAL or run.table.ready_at is None or not profile.rows:
        return None
    return judge_drift(version.spec, profile, others_of(version, run))


def others_of(version: FeatureViewVersion, run: MaterializationRun) -> dict[Against, Compared]:
    """Return what a run's values are compared with, as far as it is there."""
    found = {
        Against.BASELINE: _baseline(version, run),
        Against.PREVIOUS: _previous(version, run),
    }
    return {side: other for side, other in found.items() if other is not None}


def current_baseline(version: FeatureViewVersion) -> Baseline | None:
    return Baseline.objects.filter(version=version).select_related("set_by").first()


def _baseline(version: FeatureViewVersion, run: MaterializationRun) -> Compared | None:
    """Return the baseline that counts, of a run that has ended the one that counted then."""
    baselines = Baseline.objects.filter(version=version)
    if run.finished_at is not None:
        baselines = baselines.filter(set_at__lte=run.finished_at)
    baseline = baselines.first()
    if baseline is None:
        return None
    profile = Profile.from_json(baseline.profile, version.spec.features)
    return Compared(profile, f"the baseline of {baseline.set_at:%Y-%m-%d}")


def _previous(version: FeatureViewVersion, run: MaterializationRun) -> Compared | None:
    """Return the last run before that stored rows and whose profile is still its own."""
    last = neighbours(run.table).filter(pk__lt=run.pk).select_related("version").first()
    profile = stored_profile(last) if last is not None else None
    return Compared(profile, f"run {last.pk}") if last is not None and profile is not None else None
