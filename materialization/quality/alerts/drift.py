"""What a run says of drift: one alert a version, from a run that drifts to one that is back.

Not for measuring: the run's checks have that, and what blocks is an alert of its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from materialization.choices import AlertKind, RunStatus
from materialization.quality.alerts.opening import (
    Trouble,
    about_version,
    close_alert,
    raise_alert,
)
from materialization.quality.comparing import drift_of
from materialization.quality.drift_checks import CHECK, is_drift
from materialization.quality.profiles import Profile
from registry.choices import SERVED_STATES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any

    from django.contrib.auth.models import User

    from materialization.models import MaterializationRun
    from registry.models import FeatureViewVersion

    #: By side, feature and measure, as a run keeps them.
    Figures = dict[str, dict[str, dict[str, float | str]]]

#: How many checks that fail an alert quotes.
NAMED = 5


def alert_of_drift(run: MaterializationRun, actor: User | None, at: datetime) -> None:
    """Open, add to or close what is said of the versions of the run's table.

    Of a run that could not be compared nothing follows.
    """
    if run.status != RunStatus.SUCCEEDED or run.drift is None:
        return
    _settle(run.version, run, run.checks, run.drift, at)
    others = run.table.versions.filter(state__in=SERVED_STATES).exclude(pk=run.version_id)
    for version in others.select_related("feature_view__project").defer("packet"):
        if any(feature.checks.drift for feature in version.spec.features):
            profile = Profile.from_json(run.profile, version.spec.features)
            drifted = drift_of(version, run, profile)
            results = drifted.results if drifted else []
            figures = drifted.figures if drifted else {}
            _settle(version, run, [result.to_json() for result in results], figures, at)


def _settle(
    version: FeatureViewVersion,
    run: MaterializationRun,
    checks: Sequence[dict[str, Any]],
    figures: Figures,
    at: datetime,
) -> None:
    made = [check for check in checks if is_drift(check)]
    failed = [check for check in made if not check["passed"]]
    about = about_version(version)
    if failed:
        furthest = sorted(failed, key=lambda check: -_times_the_limit(version, figures, check))
        words = f"run {run.pk}: {_listed([check['message'] for check in furthest])}"
        raise_alert(AlertKind.DRIFTED, about, Trouble(words, "drifted", run), at=at)
    elif made:
        close_alert(AlertKind.DRIFTED, about, at=at)


def _times_the_limit(version: FeatureViewVersion, figures: Figures, check: dict[str, Any]) -> float:
    """Return how many times what is allowed the measure of a failed check is, on either side."""
    asked = {feature.name: feature.checks.drift for feature in version.spec.features}
    name, measure = check["feature"], check["check"].removeprefix(f"{CHECK} ")
    drift = asked.get(name)
    limit = drift.thresholds.get(measure) if drift else None
    found = [float(each.get(name, {}).get(measure, 0)) for each in figures.values()]
    return max(found, default=0) / limit if limit else math.inf


def _listed(messages: Sequence[str]) -> str:
    if len(messages) == 1:
        return messages[0]
    more = len(messages) - NAMED
    lines = [f"{len(messages)} checks of drift fail, the furthest first:"]
    lines += [f"- {message}" for message in messages[:NAMED]]
    return "\n".join([*lines, *([f"and {more} more: the run has them all"] if more > 0 else [])])
