"""What the end of a run says: an alert opens with a failure and closes with its repair.

Not for how runs end: ``runner.ending`` calls this at every end, in its transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.choices import UNSUCCESSFUL_STATUSES, RunStatus
from materialization.models import Alert
from materialization.quality.alerts.causes import OF_RUNS, kind_of_failure
from materialization.quality.alerts.opening import (
    Trouble,
    about_version,
    close_alerts,
    raise_alert,
)
from materialization.queries import repaired_by

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from materialization.models import MaterializationRun
    from registry.models import FeatureTable


def alert_of_run(run: MaterializationRun, actor: User | None, at: datetime) -> None:
    """Open, add to or close what a run's end is about; a cancelled one says nothing."""
    if run.status in UNSUCCESSFUL_STATUSES:
        trouble = Trouble(f"{run}: {run.error}", run.error_code, run)
        raise_alert(kind_of_failure(run.error_code), about_version(run.version), trouble, at=at)
    elif run.status == RunStatus.SUCCEEDED:
        close_repaired(run.table, at=at)


def close_repaired(table: FeatureTable, *, at: datetime) -> None:
    """Close the alerts of a table's failed runs that a later run has made good."""
    alerts = Alert.objects.open().filter(kind__in=OF_RUNS, run__table=table)
    found = alerts.select_related("run__version__feature_view", "run__table")
    repaired = [each.pk for each in found if each.run and repaired_by(each.run) is not None]
    close_alerts(Alert.objects.filter(pk__in=repaired), at=at)
