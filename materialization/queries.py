"""What is materialized: coverage of tables, freshness, runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

from materialization.choices import LIVE_STATUSES, UNSUCCESSFUL_STATUSES, RunStatus
from materialization.models import MaterializationRun
from materialization.windows import Window, merge

if TYPE_CHECKING:
    from datetime import datetime

    from registry.models import FeatureTable


def table_uri(table: FeatureTable) -> str:
    """Return the directory of a table's Delta log and files."""
    view = table.feature_view
    return str(Path(settings.OFFLINE_STORE) / view.project.name / view.name / table.uid)


def coverage(table: FeatureTable) -> list[Window]:
    """Return the windows whose rows are in the offline store, merged and in order."""
    stored = table.stored_windows.values_list("window_start", "window_end")
    return merge(Window(start, end) for start, end in stored)


def covered_until(table: FeatureTable) -> datetime | None:
    """Return the end of the newest covered window."""
    windows = coverage(table)
    return windows[-1].end if windows else None


def live_run(table: FeatureTable) -> MaterializationRun | None:
    return (
        table.runs.filter(status__in=LIVE_STATUSES).select_related("version__feature_view").first()
    )


def failures_in_a_row(table: FeatureTable) -> list[MaterializationRun]:
    """Return the runs that failed since the last one that did not, newest first, at most ten."""
    failures = []
    for run in table.runs.exclude(status__in=LIVE_STATUSES).order_by("-id")[:10]:
        if run.status not in UNSUCCESSFUL_STATUSES:
            break
        failures.append(run)
    return failures


def latest_success(table: FeatureTable) -> MaterializationRun | None:
    return table.runs.filter(status=RunStatus.SUCCEEDED).order_by("-id").first()
