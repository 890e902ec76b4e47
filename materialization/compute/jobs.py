"""What the parent asks of the sandbox and what it is told at the end.

Not for starting it: ``child`` does.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Any

import msgspec

from materialization.compute.limits import (
    EngineLimits,
)  # noqa: TC001 - msgspec reads the annotations
from materialization.sources.inputs import SourceInput  # noqa: TC001 - msgspec reads the annotations
from registry.spec.model import VersionSpec  # noqa: TC001 - msgspec reads the annotations


class ComputeJob(msgspec.Struct, frozen=True, tag="compute"):
    """Compute the rows of ``(window_start, window_end]``.

    ``state_files`` are the Parquet files of the version's offline snapshot: an aggregation compares
    with what is stored at or before ``window_start``. Views without aggregations do not read them.
    """

    spec: VersionSpec
    source: SourceInput
    window_end: datetime
    window_start: datetime | None = None
    state_files: tuple[str, ...] = ()


class LookJob(msgspec.Struct, frozen=True, tag="look"):
    """Look at the source as the version would read it."""

    spec: VersionSpec
    source: SourceInput


class Envelope(msgspec.Struct, frozen=True):
    job: ComputeJob | LookJob
    limits: EngineLimits
    temp_directory: str
    parent: int


class Counters(msgspec.Struct, frozen=True):
    """Rows of the window read from the source, and those of them that could not be used."""

    rows_read: int = 0
    dropped_null_key: int = 0
    dropped_null_time: int = 0
    rows: int = 0


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """The child's last line: exactly one of ``counters``, ``look`` and ``error`` is set."""

    counters: Counters | None = None
    look: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
