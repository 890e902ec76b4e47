"""How far a run's values have drifted against what a definition allows. [pure]

Not for measuring (``drift``) or for what they are compared with (``comparing``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from materialization.quality.drift import drift_between
from materialization.quality.expectations import CheckResult
from registry.spec.drift import MEASURES, MIN_ROWS, SIDES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from materialization.quality.drift import Drift
    from materialization.quality.profiles import Profile
    from registry.choices import Against
    from registry.spec.drift import DriftSpec
    from registry.spec.model import FeatureSpec
    from registry.spec.version_spec import VersionSpec

#: How the check of a comparison that could not be made is called; those that were made end with
#: their measure.
CHECK = "drift"


class Compared(NamedTuple):
    """A profile that a run's is compared with, and how it is called."""

    profile: Profile
    words: str


class Drifted(NamedTuple):
    """The measures of every feature, as they are kept; and the checks, for those that have one."""

    figures: dict[str, dict[str, dict[str, float | str]]]
    results: list[CheckResult]


def judge_drift(spec: VersionSpec, now: Profile, compared: Mapping[Against, Compared]) -> Drifted:
    """Compare a run's rows with what there is to compare them with.

    ``figures`` are by side, feature and measure; an infinity is a word, as JSON has none.
    """
    measured = {side: _measured(spec, now, other) for side, other in compared.items()}
    figures = {
        str(side): {name: said for name, each in found.items() if (said := kept_measures(each))}
        for side, found in measured.items()
    }
    results: list[CheckResult] = []
    for feature in spec.features:
        if (asked := feature.checks.drift) is not None:
            for side in SIDES[asked.against]:
                words = compared[side].words if side in compared else ""
                found = measured.get(side, {}).get(feature.name)
                results += _results(feature.name, asked, side, found, words)
    return Drifted(figures, results)


def _measured(spec: VersionSpec, now: Profile, other: Compared) -> dict[str, Drift]:
    by_rows: dict[int, list[FeatureSpec]] = {}
    for feature in spec.features:
        asked = feature.checks.drift
        by_rows.setdefault(asked.min_rows if asked else MIN_ROWS, []).append(feature)
    found: dict[str, Drift] = {}
    for least, features in by_rows.items():
        names = {feature.name for feature in features}
        between = drift_between(other.profile, now, min_rows=least)
        found |= {name: drift for name, drift in between.items() if name in names}
    return found


def kept_measures(drift: Drift) -> dict[str, float | str]:
    """Return what was measured as it is kept and answered: an infinity is a word."""
    given = {name: getattr(drift, name) for name in MEASURES}
    return {
        name: round(value, 6) if math.isfinite(value) else str(value)
        for name, value in given.items()
        if value is not None
    }


def _results(
    feature: str, asked: DriftSpec, side: Against, found: Drift | None, words: str
) -> Iterator[CheckResult]:
    """Yield a result for each measure that was taken, and one for those that were not."""
    missing = []
    for name, limit in asked.thresholds.items():
        value = getattr(found, name) if found else None
        if value is None:
            missing.append(name)
            continue
        observed, most = f"{value:.3g} against {words}", f"at most {limit:g}"
        passed = value <= limit
        yield CheckResult(feature, f"{CHECK} {name}", passed, observed, most, "", asked.blocks)
    if missing:
        why = f"of fewer than {asked.min_rows} rows on a side" if words else f"there is no {side}"
        said = f"{', '.join(missing)} not measured, {why}"
        yield CheckResult(feature, CHECK, True, said, "a comparison", "", asked.blocks)


def is_drift(check: Mapping[str, Any]) -> bool:
    """Tell whether a result, as a run keeps it, is of a comparison that was made."""
    return str(check["check"]).startswith(f"{CHECK} ")
