"""What is materialized: coverage of tables, freshness, runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Max

from lib.instants import MICROSECOND
from materialization.choices import LIVE_STATUSES, RunKind, RunStatus, RunStep
from materialization.models import MaterializationRun
from materialization.stores.protocols import TableAt
from materialization.windows import Window, merge, missing
from registry.models import FeatureTable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from materialization.models import StoredWindow
    from registry.models import FeatureViewVersion


def table_at(table: FeatureTable) -> TableAt:
    """Return the directory of a table's Delta log and files, and what was stored there last."""
    view = table.feature_view
    uri = Path(settings.OFFLINE_STORE) / view.project.name / view.name / table.uid
    return TableAt(str(uri), table.stored_as, table.stored_version)


def recorded_tables() -> QuerySet[FeatureTable]:
    """Return the tables that the offline store should have, those loaded last first."""
    recorded = FeatureTable.objects.exclude(stored_as="").order_by("-generation", "-pk")
    return recorded.select_related("feature_view__project")


def coverage(table: FeatureTable) -> list[Window]:
    """Return the windows whose rows are in the offline store, merged and in order."""
    stored = table.stored_windows.values_list("window_start", "window_end")
    return merge(Window(start, end) for start, end in stored)


def covered_until(table: FeatureTable) -> datetime | None:
    """Return the end of the newest covered window."""
    return end_of(coverage(table))


def end_of(covered: Sequence[Window]) -> datetime | None:
    """Return the end of the newest of the covered windows."""
    return covered[-1].end if covered else None


def uncovered(
    version: FeatureViewVersion, covered: Sequence[Window], wanted: Window
) -> list[Window]:
    """Return the parts of ``wanted`` that are to be computed, oldest first.

    An aggregation continues from its newest tick: a row is stored only when it differs from the
    one before, so its windows follow each other without a gap.
    """
    if version.spec.transform.makes_ticks:
        wanted = Window(end_of(covered), wanted.end)
        return [] if wanted.is_empty else [wanted]
    return missing(wanted, covered)


def gaps(version: FeatureViewVersion, covered: Sequence[Window]) -> list[Window]:
    """Return what lacks between the version's start, or its first row, and the newest coverage."""
    end = end_of(covered)
    if end is None:
        return []
    start = version.spec.view.start
    # Windows exclude their start, and a row may lie on the view's.
    begin = start - MICROSECOND if start is not None else None
    return missing(Window(begin, end), covered)


def stored_since(table: FeatureTable, sequence: int) -> QuerySet[StoredWindow]:
    """Return the windows whose rows carry a later sequence."""
    return table.stored_windows.filter(run__sequence__gt=sequence)


def newest_sequence(table: FeatureTable) -> int:
    """Return the latest sequence that rows of a stored window carry; 0 before the first."""
    return table.stored_windows.aggregate(newest=Max("run__sequence"))["newest"] or 0


def live_run(table: FeatureTable) -> MaterializationRun | None:
    return (
        table.runs.filter(status__in=LIVE_STATUSES).select_related("version__feature_view").first()
    )


def busy_tables() -> set[int]:
    """Return the tables that have a live run.

    Who decides by the state of tables asks this first: a run that ends in between is then seen to
    be live, or all that it left is seen.
    """
    live = MaterializationRun.objects.filter(status__in=LIVE_STATUSES)
    return set(live.values_list("table", flat=True))


def failures_in_a_row(table: FeatureTable) -> list[MaterializationRun]:
    """Return the runs that gave nothing since the last that did, newest first, at most ten.

    Cancelled ones count: who stopped a run does not want it back within seconds.
    """
    failures = []
    for run in table.runs.exclude(status__in=LIVE_STATUSES).order_by("-id")[:10]:
        if run.status == RunStatus.SUCCEEDED:
            break
        failures.append(run)
    return failures


def repaired_by(run: MaterializationRun) -> MaterializationRun | None:
    """Return the later run that made good what an unsuccessful one left undone, if there is one.

    Loading again what was stored before repairs nothing but a load: the rows the run was to store
    are stored only when another run has stored its window.
    """
    if uncovered(run.version, coverage(run.table), run.window):
        return None
    later = run.table.runs.filter(pk__gt=run.pk, status=RunStatus.SUCCEEDED)
    if run.kind != RunKind.RELOAD and run.step != RunStep.ONLINE:
        later = later.exclude(kind=RunKind.RELOAD)
    return later.select_related("version__feature_view").order_by("id").first()
