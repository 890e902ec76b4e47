"""What a run stores of the rows that its ticks are made of, where a version asks for that.

Not for which rows those are (``aggregation.events``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.compute.jobs import Keeping
from materialization.edges.stores import offline_store
from materialization.queries import coverage, table_at
from materialization.readings import as_of
from materialization.stores.offline_values import Beside
from materialization.transforms.aggregation.events import events_schema

if TYPE_CHECKING:
    from materialization.compute.reports import Events
    from materialization.models import MaterializationRun


def keeping_of(run: MaterializationRun, *, is_whole: bool) -> Keeping | None:
    """Return which events are stored beside the ticks; None where none are.

    Where the source is not read as a ``whole``, nobody knows what the rest of it still has.
    """
    if not run.version.spec.keeps_events:
        return None
    return Keeping(
        files=offline_store().snapshot(table_at(run.table)).events,
        arrived=as_of(run.window, coverage(run.table)),
        is_first=run.table.ready_at is None,
        tells_gone=is_whole,
    )


def beside(run: MaterializationRun, events: Events) -> Beside | None:
    """Return what is committed beside the rows; None where nothing ever is."""
    spec = run.version.spec
    if not spec.keeps_events:
        return None
    return Beside(events.files, events_schema(spec), events.rows)
