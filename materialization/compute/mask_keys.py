"""What engines make hashes with: keys of a version's features, asked for when a job is sent. [pure]

Not for keeping keys: the registry does, and whoever makes an engine says how they are found.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from registry.spec.version_spec import VersionSpec

#: The key of each feature that is a hash, by its name; one that is not there its job says.
MaskKeys: TypeAlias = Callable[[VersionSpec], Mapping[str, bytes]]


def no_keys(spec: VersionSpec) -> Mapping[str, bytes]:
    return {}
