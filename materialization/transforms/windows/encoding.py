"""Encodings of windows that are made at each read, over the values of their functions. [pure]

Not for the steps (``transforms.encoding``), nor for those of training sets and ticks, which are
encoded in SQL (``aggregation.encoding``).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from materialization.transforms.encoding.singles import single_of
from materialization.transforms.encoding.staging import parameters_of
from materialization.transforms.windows.results import WindowValueBeyond, computable, stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.spec.value_types import ValueType
    from registry.spec.version_spec import VersionSpec


class WindowEncoding(NamedTuple):
    """One feature's: its place among all in the order of their names, and the types around it."""

    feature: str
    place: int
    takes: ValueType
    gives: ValueType
    single: Callable[[Any], Any]

    def of(self, value: Any, where: str) -> Any:
        """Return what is read in place of a window's value, as stored rows have it.

        :raises WindowValueBeyond: it is no number of the feature's type.
        """
        made = self.single(computable(value, self.takes))
        if self.gives.kind == "float32" and made is not None:
            made = _float32(made, f"{where}:{self.feature}")
        return stored(made, self.gives, f"{where}:{self.feature}")


def window_encodings(spec: VersionSpec) -> tuple[WindowEncoding, ...]:
    """Return the encodings of a version that has its parameters at hand.

    :raises NotFitted: one of them has none.
    """
    return tuple(
        WindowEncoding(
            feature.name,
            place,
            feature.unencoded.value_type,
            feature.value_type,
            single_of(feature.encode, parameters_of(feature, feature.encode, spec)),
        )
        for place, feature in enumerate(sorted(spec.features, key=lambda each: each.name))
        if feature.encode is not None
    )


def _float32(value: float, feature: str) -> float:
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError as exc:
        raise WindowValueBeyond(
            f"{feature} would be {value}, which is no float32: declare float64 in a new version of"
            " its view.",
            feature=feature,
        ) from exc
