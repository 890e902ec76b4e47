"""What engines make hashes with: a secret of the project, asked for when a job is sent. [pure]

Not for keeping keys: the registry does, and whoever makes an engine says how they are found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.spec.model import VersionSpec

    #: The key of a version's hashes; empty: it has none, or there is none, which its job says.
    MaskKey: TypeAlias = Callable[[VersionSpec], bytes]


def no_key(spec: VersionSpec) -> bytes:
    return b""
