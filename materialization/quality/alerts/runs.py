"""What the end of a run says: an alert opens with a failure and closes with its repair.

Not for how runs end: ``runner.ending`` calls this at every end, in its transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.choices import COMPARING_KINDS, UNSUCCESSFUL_STATUSES, RunStatus
from materialization.comparisons import to_compare
from materialization.models import Alert, MaterializationRun
from materialization.quality.alerts.causes import OF_RUNS, kind_of_failure
from materialization.quality.alerts.opening import (
    Trouble,
    about_version,
    close_alerts,
    raise_alert,
)
from materialization.repairs import made_good
from materialization.windows import missing

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import FeatureTable

_RELATED = ("version__feature_view", "table")


def alert_of_run(run: MaterializationRun, actor: User | None, at: datetime) -> None:
    """Open, add to or close what a run's end is about; a cancelled one says nothing."""
    if run.status in UNSUCCESSFUL_STATUSES:
        trouble = Trouble(f"run {run.pk}: {run.error}", run.error_code, run)
        raise_alert(kind_of_failure(run.error_code), about_version(run.version), trouble, at=at)
    elif run.status == RunStatus.SUCCEEDED:
        close_repaired(run.table, at=at)


def close_repaired(table: FeatureTable, *, at: datetime) -> None:
    """Close the alerts of a table's failed runs that nothing is left of to be done."""
    alerts = Alert.objects.open().filter(kind__in=OF_RUNS, run__table=table)
    found = alerts.select_related(*(f"run__{each}" for each in _RELATED))
    repaired = [each.pk for each in found if all(map(made_good, _collected(each)))]
    close_alerts(Alert.objects.filter(pk__in=repaired), at=at)


def _collected(alert: Alert) -> list[MaterializationRun]:
    """Return the runs that an alert is of, as far as each has to be made good by itself.

    The latest speaks for those before it, whose time it was to store too. But what one was to
    compare with the source again only another can do that was to compare as much.
    """
    if alert.run is None:
        return []
    before = MaterializationRun.objects.filter(
        version=alert.run.version_id,
        kind__in=COMPARING_KINDS,
        status__in=UNSUCCESSFUL_STATUSES,
        finished_at__gte=alert.opened_at,
        pk__lt=alert.run_id,
    )
    found = [alert.run]
    for each in before.select_related(*_RELATED).defer("profile", "traceback").order_by("-id"):
        later = [to_compare(run) for run in found if run.kind in COMPARING_KINDS]
        if kind_of_failure(each.error_code) == alert.kind and missing(to_compare(each), later):
            found.append(each)
    return found
