"""Of what time a run compares stored rows with the source again, and of what it has. [pure]

Such a run is asked for by somebody, or by nobody ever again: what it did not come to is not what a
later run stores anyway. Not for comparing (``transforms.unseen``, ``runner.correcting``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.choices import COMPARING_KINDS, RunKind
from materialization.chunks import read_chunks, stored_until
from materialization.windows import Window

if TYPE_CHECKING:
    from datetime import datetime

    from materialization.models import MaterializationRun


def compares_rows(run: MaterializationRun) -> bool:
    """Return whether the run compares rows that stand alone; ticks are corrected all at once."""
    return run.kind in COMPARING_KINDS and not run.version.spec.transform.makes_ticks


def corrects_ticks(run: MaterializationRun) -> bool:
    """Return whether the run computes stored ticks again, once its new ones are stored."""
    return run.kind == RunKind.RECOMPUTE and run.version.spec.transform.makes_ticks


def refused_corrections(run: MaterializationRun) -> bool:
    """Return whether what a blocked run was refused are corrections of ticks, and no new ones."""
    chunks = read_chunks(run.chunks)
    return corrects_ticks(run) and bool(chunks) and all(each.stored_at for each in chunks)


def to_compare(run: MaterializationRun, window: Window | None = None) -> Window:
    """Return what of the window, the run's where none is given, the run is to compare."""
    start, end = window or run.window
    return Window(start, min(end, run.compared_until or end))


def compared(run: MaterializationRun, until: datetime | None = None) -> list[Window]:
    """Return what a run of rows has compared: up to ``until``, or to its last stored chunk."""
    until = until or stored_until(read_chunks(run.chunks))
    if until is None or not compares_rows(run):
        return []
    return [to_compare(run, Window(run.window_start, until))]
