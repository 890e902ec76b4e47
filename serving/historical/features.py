"""The columns of a training set beside the frame's own: joined features, and computed ones. [pure]

Not for finding their values: ``training_set`` and ``computed`` do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from serving.on_demand.feature import OnDemandFeature


class JoinedFeature(NamedTuple):
    """One feature of the answer: its name there, which part's which feature it is, its type."""

    name: str
    part: int
    feature: str
    type: str


class ComputedFeature(NamedTuple):
    """One feature of the answer that is computed: its name there, and what of.

    ``inputs`` are parts and their features, or request values of the frame, as its rows have them.
    """

    name: str
    feature: OnDemandFeature
    stored: tuple[tuple[int, str], ...]

    @property
    def type(self) -> str:
        return self.feature.type
