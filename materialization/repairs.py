"""What is left of runs that did not succeed: whether others have done it since.

Not for doing it: what is asked for again is a run of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Q

from materialization.choices import COMPARING_KINDS, QuarantineState, RunKind, RunStatus, RunStep
from materialization.comparisons import compared, compares_rows, refused_corrections, to_compare
from materialization.models import MaterializationRun, Quarantine
from materialization.queries import coverage, covered_until, uncovered
from materialization.windows import missing

if TYPE_CHECKING:
    from django.db.models import QuerySet


def repaired_by(run: MaterializationRun) -> MaterializationRun | None:
    """Return the later run that made good what an unsuccessful one left undone, if there is one.

    Loading again what was stored before repairs nothing but a load: the rows the run was to store
    are stored only when another run has stored its window. What it was to compare with the source
    again is, when others have compared all of that.
    """
    if uncovered(run.version, coverage(run.table), run.window):
        return None
    later = run.table.runs.filter(pk__gt=run.pk, status=RunStatus.SUCCEEDED)
    later = later.select_related("version__feature_view").defer("profile", "traceback")
    if run.kind != RunKind.RELOAD and run.step != RunStep.ONLINE:
        if run.kind in COMPARING_KINDS:
            return _compared_since(run, later)
        later = later.exclude(kind=RunKind.RELOAD)
    return later.order_by("id").first()


def _compared_since(
    run: MaterializationRun, later: QuerySet[MaterializationRun]
) -> MaterializationRun | None:
    """Return the run with which all was compared that ``run`` was to compare and did not."""
    is_by_row = compares_rows(run)
    kinds = COMPARING_KINDS if is_by_row else (RunKind.RECOMPUTE,)
    found = [(each, to_compare(each)) for each in later.filter(kind__in=kinds)]
    if is_by_row or refused_corrections(run):
        held = Quarantine.objects.filter(run=run, state=QuarantineState.RELEASED)
        for one in held.filter(ended_by__in=later).select_related("ended_by"):
            found += [(one.ended_by, one.window)] if one.ended_by else []
    done = compared(run)
    for each, window in sorted(found, key=lambda pair: pair[0].pk):
        done.append(window)
        if not missing(to_compare(run), done):
            return each
    return None


def ticks_went_on(held: Quarantine) -> bool:
    """Return whether what is held are corrections of ticks that others continue by now.

    Those are stored where they differ from the ones before: corrected beneath them, readers would
    find the corrections where nothing was stored because nothing had changed.
    """
    if not refused_corrections(held.run):
        return False
    later = held.table.runs.filter(pk__gt=held.run_id).exclude(kind=RunKind.RELOAD)
    stored = later.filter(Q(status=RunStatus.SUCCEEDED) | Q(rows_offline__gt=0))
    return covered_until(held.table) != held.window_end or stored.exists()


def made_good(run: MaterializationRun) -> bool:
    """Return whether nothing is left of an unsuccessful run for anybody to do.

    A later run has done it, or somebody, or time, decided against the rows that it was refused.
    """
    gave_up = (QuarantineState.DISCARDED, QuarantineState.EXPIRED)
    is_over = Quarantine.objects.filter(run=run, state__in=gave_up).exists()
    return is_over or repaired_by(run) is not None
