"""The engine of this server, made from its settings: what it may take, and what it reads with.

Not for how it computes: ``materialization.compute`` says that, and reads no settings.
"""

from __future__ import annotations

import os
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from msgspec.structs import replace

from materialization.compute.engine import ENGINES
from materialization.compute.fitted import spec_with_fitted
from materialization.compute.limits import EngineLimits, PythonLimits
from materialization.compute.scratch import own_folder
from materialization.compute.warm import Transforms, Warm
from materialization.edges.sources import fetch_rows
from materialization.edges.stores import offline_store
from materialization.queries import table_at
from materialization.transforms.python.process import not_as_submitted, walls_held
from materialization.upstream import UpstreamGone, table_read
from registry.fittings import fitted_of
from registry.mask_keys import keys_of, trial_keys

if TYPE_CHECKING:
    from materialization.compute.engine import Engine
    from registry.spec.version_spec import VersionSpec


def engine(*, timeout_s: float | None = None, bounded: bool = False) -> Engine:
    """Return the engine; ``timeout_s`` where somebody waits for less than a run may take.

    ``bounded`` for questions of people, as of ``OfflineStore.bring``. What it hashes is not what
    is stored: see ``trial_keys``.
    """
    fetch = partial(fetch_rows, timeout_s=timeout_s)
    bring = partial(offline_store().bring, bounded=bounded)
    return ENGINES["duckdb"](_limits(timeout_s), trial_keys(), fitted_of, fetch, files_read, bring)


def storing_engine() -> Engine:
    """Return the engine for rows of approved versions: to be stored, or compared with such."""
    store = offline_store()
    return ENGINES["duckdb"](_limits(), keys_of, fitted_of, fetch_rows, files_read, store.bring)


@lru_cache(maxsize=1)
def transforms() -> Transforms:
    """Return the transforms that this process keeps at hand, for rows that are sent to it."""
    return Transforms(_start_transform, most=settings.TRANSFORM_PROCESSES)


def _start_transform(spec: VersionSpec) -> Warm:
    limits = _limits(settings.TRANSFORM_SECONDS)
    python = limits.python
    if limits.timeout_s < python.batch_seconds:
        python = replace(python, batch_seconds=limits.timeout_s, batch_setting="TRANSFORM_SECONDS")
    limits = replace(
        limits,
        memory_limit_mb=settings.TRANSFORM_MEMORY_LIMIT_MB,
        temp_limit_mb=settings.TRANSFORM_MEMORY_LIMIT_MB,
        threads=1,
        python=python,
    )
    return Warm(spec_with_fitted(spec, fitted_of), limits, keys_of(spec))


def files_read(spec: VersionSpec) -> dict[str, tuple[str, ...]]:
    """Return the stored files of what a version reads of other views, as they are now.

    :raises UpstreamGone: a table is there no more.
    """
    found = {}
    for read in spec.reads:
        if (table := table_read(read)) is None:
            raise UpstreamGone(
                f"{read}, which {spec.view.name} reads, has no stored rows any more: it was"
                " retired. Submit a version that reads another one."
            )
        found[read.name] = offline_store().snapshot(table_at(table)).files
    return found


def spilled_beside(folder: str) -> int:
    """Return how many bytes a sandbox may spill onto the disk that ``folder`` lies on."""
    is_same = Path(own_folder()).stat().st_dev == Path(folder).stat().st_dev
    return _limits().temp_limit_mb << 20 if is_same else 0


def _limits(timeout_s: float | None = None) -> EngineLimits:
    return EngineLimits(
        memory_limit_mb=settings.ENGINE_MEMORY_LIMIT_MB,
        threads=settings.ENGINE_THREADS or os.cpu_count() or 1,
        timeout_s=settings.ENGINE_TIME_LIMIT_SECONDS if timeout_s is None else timeout_s,
        temp_root=own_folder(),
        tick_rows=settings.TICK_ROWS_LIMIT,
        python=PythonLimits(
            distributions=tuple(settings.PYTHON_DISTRIBUTIONS),
            folder=settings.PYTHON_FOLDER,
            demands=tuple(settings.PYTHON_CONFINEMENT),
            memory_limit_mb=settings.PYTHON_MEMORY_LIMIT_MB,
            batch_seconds=float(settings.PYTHON_BATCH_SECONDS),
        ),
    )


@lru_cache(maxsize=1)
def python_walls() -> frozenset[str]:
    """Return what the kernel holds Python transforms with; asked once a process."""
    return walls_held(_limits())


def installed_otherwise(spec: VersionSpec) -> str:
    """Say why a version's Python function would not be called any more; empty: it would."""
    if spec.view.python is None or spec.code is None:
        return ""
    return not_as_submitted(spec.view.python, spec.code, _limits())
