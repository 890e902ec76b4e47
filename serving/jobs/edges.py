"""What jobs are made with on this server, from its settings. Everything below takes it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings

from materialization.edges.engines import engine
from materialization.edges.stores import job_files, offline_store
from serving.edges import historical_limits
from serving.jobs.bounds import JobBounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from materialization.compute.engine import Engine
    from materialization.stores.kept_files import FileKeeper
    from materialization.stores.offline_protocol import OfflineStore
    from serving.limits import ReadLimits


class JobStores(NamedTuple):
    """Where a job's files are kept and its rows come from; an engine for so many seconds."""

    keeper: FileKeeper
    offline: OfflineStore
    engine: Callable[[float], Engine]


def job_stores() -> JobStores:
    def bounded(seconds: float) -> Engine:
        return engine(timeout_s=seconds, bounded=True)

    return JobStores(job_files(), offline_store(), bounded)


def job_limits() -> ReadLimits:
    """Return what may be asked by a job: more rows, and as many values as those have."""
    limits = historical_limits()
    rows = settings.HISTORICAL_JOB_MAX_ROWS
    return limits._replace(
        rows=rows,
        rows_setting="HISTORICAL_JOB_MAX_ROWS",
        values=rows * (limits.columns + limits.features),
        otherwise="",
    )


def job_bounds() -> JobBounds:
    return JobBounds(
        most_of_one=settings.HISTORICAL_JOBS_MAX_OF_ONE,
        job_mb=settings.HISTORICAL_JOB_MAX_MB,
        all_mb=settings.HISTORICAL_JOBS_MAX_MB,
        kept_for=timedelta(hours=settings.HISTORICAL_JOB_HOURS),
        seconds=settings.ENGINE_TIME_LIMIT_SECONDS,
        piece_rows=settings.HISTORICAL_MAX_ROWS,
        piece_values=settings.HISTORICAL_MAX_VALUES,
    )
