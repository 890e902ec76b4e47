"""Histories that took years, written straight into the database.

Not for what runs do: nothing is computed here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from materialization.edges.stores import online_store
from materialization.models import (
    Baseline,
    Certificate,
    MaterializationRun,
    TableCare,
    TableSequence,
)
from materialization.queries import newest_sequence
from materialization.runner.recording import note_stored
from materialization.windows import Window
from tests.factories import AT, make_ready
from tests.materialization.run_world import HOUR

if TYPE_CHECKING:
    from registry.models import FeatureViewVersion


def past_runs(
    version: FeatureViewVersion, count: int, *, sequences: bool = True, **columns: Any
) -> list[MaterializationRun]:
    """Make runs that ended, one an hour, the last at ``AT``; they succeeded unless told else."""
    assert version.table is not None
    counter, _ = TableSequence.objects.get_or_create(table=version.table)
    first = counter.last + 1
    ended = {"kind": "incremental", "status": "succeeded", "step": "done", "publishing": True}
    runs = [
        MaterializationRun(
            version=version,
            table=version.table,
            sequence=first + number if sequences else None,
            **(_instants(AT - (count - 1 - number) * HOUR) | ended | columns),
        )
        for number in range(count)
    ]
    if sequences:
        TableSequence.objects.filter(pk=counter.pk).update(last=counter.last + count)
    return MaterializationRun.objects.bulk_create(runs)


def _instants(end: Any) -> dict[str, Any]:
    names = "requested_at", "enqueued_at", "started_at", "finished_at"
    return {"window_start": end - HOUR, "window_end": end, **dict.fromkeys(names, end)}


def lived(version: FeatureViewVersion, runs: int) -> None:
    """Let the version be what hourly runs up to ``AT`` leave: stored, loaded, and nothing due."""
    past = past_runs(version, runs)
    windows = {run: [run.window] for run in past}
    windows[past[0]] = [Window(None, past[0].window_end)]
    note_stored(past[0].table, windows)
    make_ready(version)
    load(version)
    TableCare.objects.get_or_create(table=past[0].table, defaults={"cared_at": AT})
    Baseline.objects.create(
        version=version, profile={}, rows=1, runs=1, first_run=1, last_run=1, set_at=AT
    )
    Certificate.objects.create(
        table=past[0].table, version=version, kind="online", status="equal",
        requested_at=AT, enqueued_at=AT, finished_at=AT,
    )  # fmt: skip


def load(version: FeatureViewVersion) -> None:
    """Mark the table loaded with all that is recorded of it."""
    assert version.table is not None
    store, uid = online_store(), version.table.uid
    sequence = newest_sequence(version.table)
    ticket = store.begin_load(uid)
    assert store.finish_load(uid, ticket, generation=1, as_of=AT, sequence=sequence, ttl=None)
