"""The stored files of other views, as engines need them: asked for when a job is sent. [pure]

Not for finding them (``edges``) nor for what is done with them (``sources.read_views``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import msgspec

from registry.spec.version_spec import VersionSpec

if TYPE_CHECKING:
    from materialization.compute.jobs import (
        ComputeJob,
        FitJob,
        QueryJob,
        SplitJob,
        SurveyJob,
    )

#: By what a version calls what it reads of another view, the files of one snapshot of that.
ReadFiles: TypeAlias = Callable[[VersionSpec], Mapping[str, tuple[str, ...]]]
_Job = TypeVar("_Job", "ComputeJob", "SplitJob", "SurveyJob", "FitJob", "QueryJob")


def no_files(spec: VersionSpec) -> Mapping[str, tuple[str, ...]]:
    return {}


def with_read_files(job: _Job, read_files: ReadFiles) -> _Job:
    """Return the job of a version that has at hand what it reads; it may have it already."""
    if not job.spec.reads or job.spec.read_files:
        return job
    spec = msgspec.structs.replace(job.spec, read_files=dict(read_files(job.spec)))
    return msgspec.structs.replace(job, spec=spec)
