"""What is counted of runs, at their ends.

Not for how things stand (queues, ages, sizes): ``/metrics`` asks for that when it is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.commits import once_committed
from lib.metrics import Counter, Histogram, unharmed

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from materialization.models import MaterializationRun

RUNS = Counter("assay_runs", "Runs that ended.", ("kind", "outcome"))
ROWS = Counter("assay_run_rows", "Rows that runs read and stored.", ("kind", "what"))
SECONDS = Histogram(
    "assay_run_seconds",
    "Seconds from a run's claim to its end, pauses left out.",
    ("kind", "outcome"),
    buckets=(0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600),
)


def count_run(run: MaterializationRun, actor: User | None, at: datetime) -> None:
    """Count a run's end, once it is committed."""
    once_committed("counting a run", _count, run=run, at=at)


def _count(run: MaterializationRun, at: datetime) -> None:
    with unharmed():
        RUNS.labels(run.kind, run.status).inc()
        if (worked := run.worked(at=at)) is not None:
            SECONDS.labels(run.kind, run.status).observe(worked.total_seconds())
        ROWS.labels(run.kind, "read").inc(run.rows_read)
        ROWS.labels(run.kind, "offline").inc(run.rows_offline)
        ROWS.labels(run.kind, "online").inc(run.rows_online)
