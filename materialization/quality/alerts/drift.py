"""What a run says of drift: one alert a version, from a run that drifts to one that is back.

Not for measuring: the run's checks have that, and what blocks is an alert of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.choices import AlertKind, RunStatus
from materialization.quality.alerts.opening import (
    Trouble,
    about_version,
    close_alert,
    raise_alert,
)
from materialization.quality.comparing import drift_of
from materialization.quality.drift_checks import is_drift
from materialization.quality.profiles import Profile
from registry.choices import SERVED_STATES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any

    from django.contrib.auth.models import User

    from materialization.models import MaterializationRun
    from registry.models import FeatureViewVersion

#: How many features an alert names.
NAMED = 10


def alert_of_drift(run: MaterializationRun, actor: User | None, at: datetime) -> None:
    """Open, add to or close what is said of the versions of the run's table.

    Of a run that could not be compared nothing follows.
    """
    if run.status != RunStatus.SUCCEEDED or run.drift is None:
        return
    _settle(run.version, run, run.checks, at)
    others = run.table.versions.filter(state__in=SERVED_STATES).exclude(pk=run.version_id)
    for version in others.select_related("feature_view__project").defer("packet"):
        if any(feature.checks.drift for feature in version.spec.features):
            profile = Profile.from_json(run.profile, version.spec.features)
            drifted = drift_of(version, run, profile)
            results = drifted.results if drifted else []
            _settle(version, run, [result.to_json() for result in results], at)


def _settle(
    version: FeatureViewVersion,
    run: MaterializationRun,
    checks: Sequence[dict[str, Any]],
    at: datetime,
) -> None:
    made = [check for check in checks if is_drift(check)]
    failed = [check["message"] for check in made if not check["passed"]]
    about = about_version(version)
    if failed:
        more = f"; and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
        words = f"{run}: {'; '.join(failed[:NAMED])}{more}"
        raise_alert(AlertKind.DRIFTED, about, Trouble(words, "drifted", run), at=at)
    elif made:
        close_alert(AlertKind.DRIFTED, about, at=at)
