"""What encodings were fitted to, as engines need it: asked for when a job is sent. [pure]

Not for keeping it (``registry.fittings``), nor for finding it out
(``materialization.transforms.encoding``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec

from registry.spec.model import VersionSpec

if TYPE_CHECKING:
    from materialization.compute.jobs import ComputeJob, SplitJob

#: The parameters of each step of each feature that is fitted, by its name.
Fitted: TypeAlias = Callable[[VersionSpec], Mapping[str, tuple[dict[str, Any], ...]]]
_Job = TypeVar("_Job", "ComputeJob", "SplitJob")


def none_fitted(spec: VersionSpec) -> Mapping[str, tuple[dict[str, Any], ...]]:
    return {}


def with_fitted(job: _Job, fitted: Fitted) -> _Job:
    """Return the job of a version that has its parameters at hand; it may have them already."""
    if not job.spec.fitted_features or job.spec.fitted:
        return job
    spec = msgspec.structs.replace(job.spec, fitted=dict(fitted(job.spec)))
    return msgspec.structs.replace(job, spec=spec)
