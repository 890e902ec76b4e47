"""The offline half of a run: compute each missing window, check it, commit it.

Rows flow from the sandbox through the profile into the Delta writer; a failed check ends the flow
before the commit, so nothing of the window is published. Not for the online store: ``loading``.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction

from lib.errors import QualityRejected
from materialization.choices import RunStep
from materialization.compute.jobs import ComputeJob
from materialization.edges import engine, offline_store, whereabouts
from materialization.models import StoredWindow
from materialization.quality.expectations import check_profile
from materialization.quality.profiling import Profiler
from materialization.queries import table_uri, uncovered
from materialization.runner.adopting import adopt_windows, transaction_name
from materialization.runner.aside import write_aside
from materialization.runner.heartbeat import LeaseLost
from materialization.sequences import draw_sequence
from materialization.sources.kinds import find_source
from materialization.stores.columns import stored_schema
from materialization.windows import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from materialization.compute.engine import Computation
    from materialization.models import MaterializationRun
    from materialization.runner.heartbeat import Heartbeat
    from materialization.stores.protocols import OfflineStore
    from registry.spec.model import VersionSpec

#: How often a run's counters are written while rows flow.
REPORT_EVERY_SECONDS = 0.5
#: The share of a run's progress that reading and storing takes; loading takes the rest.
OFFLINE_SHARE = 0.8


class ChecksFailed(QualityRejected):
    code = "checks_failed"


class NoRows(QualityRejected):
    code = "no_rows"


def store_missing(run: MaterializationRun, heartbeat: Heartbeat) -> None:
    """Compute and commit each part of the run's window that is not stored yet.

    What an earlier run committed counts as stored, though it may not have lived to record it.

    :raises ChecksFailed: a blocking check failed; nothing of that part was published.
    :raises NoRows: the first backfill found not a single row: nothing could be served.
    """
    adopt_windows(run.table)
    for window in uncovered(run.version, run.table, Window(run.window_start, run.window_end)):
        _store(run, window, heartbeat)


def _store(run: MaterializationRun, window: Window, heartbeat: Heartbeat) -> None:
    store, uri = offline_store(), table_uri(run.table)
    spec = run.version.spec
    source = find_source(spec.rows_from, whereabouts(spec, run.table.feature_view.project))
    state = _state_files(store, uri, spec, window)
    job = ComputeJob(
        spec=spec,
        source=source,
        window_start=window.start,
        window_end=window.end,
        state_files=state,
    )
    with engine().compute(job) as computation:
        commit = partial(
            store.commit,
            uri,
            schema=stored_schema(spec),
            sequence=_sequence(run),
            transaction=transaction_name(run.pk, window),
        )
        result = write_aside(commit, _checked(run, window, computation, heartbeat))
    StoredWindow.objects.get_or_create(
        table=run.table, run=run, window_end=window.end, defaults={"window_start": window.start}
    )
    run.advance(rows_offline=run.rows_offline + result.rows, step=RunStep.OFFLINE)


def _state_files(
    store: OfflineStore, uri: str, spec: VersionSpec, window: Window
) -> tuple[str, ...]:
    """Return the stored rows that the window's continue from; none where rows stand alone."""
    if not spec.transform.makes_ticks or window.start is None:
        return ()
    return store.snapshot(uri).files


def _sequence(run: MaterializationRun) -> int:
    """Return what the run's rows carry, drawn at its first window and never again.

    A commit that is repeated by a later attempt is the same commit.
    :raises LeaseLost: another attempt has the run, and may have drawn for it.
    """
    if run.sequence is not None:
        return run.sequence
    with transaction.atomic():
        sequence = draw_sequence(run.table)
        if not run.advance(sequence=sequence):
            raise LeaseLost("another attempt owns the run")
    return sequence


def _checked(
    run: MaterializationRun, window: Window, computation: Computation, heartbeat: Heartbeat
) -> Iterator[pa.RecordBatch]:
    """Pass the batches on; raise at their end when they must not be published.

    The writer commits only what ended well.
    """
    profiler, reported = Profiler(run.version.spec), 0.0
    for batch in computation.reader:
        if heartbeat.stopped is not None:
            raise heartbeat.stopped
        profiler.add(batch)
        if time.monotonic() - reported > REPORT_EVERY_SECONDS:
            reported = time.monotonic()
            run.advance(rows_read=profiler.rows, progress=_progress(run, profiler.rows))
        yield batch
    _judge(run, window, computation, profiler)
    heartbeat.begin_publishing()


def _judge(
    run: MaterializationRun, window: Window, computation: Computation, profiler: Profiler
) -> None:
    """Keep the evidence on the run, then refuse what fails it."""
    profile = profiler.result()
    results = check_profile(run.version.spec, profile)
    counters = computation.counters
    run.advance(
        rows_read=counters.rows_read if counters else profiler.rows,
        profile={
            **profile.to_json(),
            "dropped_null_key": counters.dropped_null_key if counters else 0,
        },
        checks=[result.to_json() for result in results],
        progress=OFFLINE_SHARE,
    )
    if failed := [result for result in results if not result.passed]:
        raise ChecksFailed(
            f"{run.version}: {'; '.join(str(result) for result in failed)}. Nothing was published."
        )
    if profiler.rows == 0 and not run.table.stored_windows.exists():
        raise NoRows(
            f"{run.version}: the source has no usable row up to {window.end.isoformat()}; "
            "check its path and its timestamps, then materialize again."
        )


def _progress(run: MaterializationRun, rows: int) -> float:
    """Estimate from the rows the reviewer's packet counted; never quite done before it is."""
    expected = (run.version.packet.get("source") or {}).get("rows") or 0
    return min(rows / expected, 0.95) * OFFLINE_SHARE if expected else 0.0
