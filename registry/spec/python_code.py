"""A Python function that makes a view's features, and the installed code it was taken from. [pure]

Not for running it (``materialization.transforms.python``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from registry.spec.base import Spec
from registry.spec.encodes import input_type
from registry.spec.masks import edges_of, is_hash
from registry.spec.value_types import ValueType, parse_type

if TYPE_CHECKING:
    from registry.spec.model import FeatureSpec

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
#: A module by its whole name, and a function of it.
FUNCTION = re.compile(rf"({_NAME}(?:\.{_NAME})*):({_NAME})")


class PythonCall(Spec, frozen=True):
    """``function`` as ``package.module:function``; ``columns`` it is given, none: all there are.

    Keys and both times are given beside them.
    """

    function: str
    columns: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        return self.function.partition(":")[0]

    @property
    def name(self) -> str:
        return self.function.partition(":")[2]


class PythonCode(Spec, frozen=True):
    """A distribution as it was installed when a version was submitted; ``sha256`` is of its files.

    Of all of them but what the installer wrote, by their names and bytes: a list of words beside
    the code decides results as the code does.
    """

    distribution: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} ({self.sha256[:12]})"


def given_type(feature: FeatureSpec) -> ValueType:
    """Return what a function has to give of a feature: what its mask or encoding takes, if any."""
    if feature.encode is not None:
        return input_type(feature.encode)
    if is_hash(feature.mask):
        return parse_type("string")
    if edges := edges_of(feature.mask):
        return parse_type("timestamp" if isinstance(edges[0], str) else "float64")
    return feature.value_type
