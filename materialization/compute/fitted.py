"""What encodings were fitted to, as engines need it: asked for when a job is sent. [pure]

Not for keeping it (``registry.fittings``), nor for finding it out
(``materialization.transforms.encoding``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec

from registry.spec.version_spec import VersionSpec

if TYPE_CHECKING:
    from materialization.compute.jobs import ComputeJob, SplitJob

#: The parameters of each step of each feature that is fitted, by its name.
Fitted: TypeAlias = Callable[[VersionSpec], Mapping[str, tuple[dict[str, Any], ...]]]
_Job = TypeVar("_Job", "ComputeJob", "SplitJob")


def none_fitted(spec: VersionSpec) -> Mapping[str, tuple[dict[str, Any], ...]]:
    return {}


def with_fitted(job: _Job, fitted: Fitted) -> _Job:
    """Return the job of a version that has its parameters at hand; it may have them already."""
    spec = spec_with_fitted(job.spec, fitted)
    return job if spec is job.spec else msgspec.structs.replace(job, spec=spec)


def spec_with_fitted(spec: VersionSpec, fitted: Fitted) -> VersionSpec:
    """Return the same of a version alone."""
    if not spec.fitted_features or spec.fitted:
        return spec
    return msgspec.structs.replace(spec, fitted=dict(fitted(spec)))
