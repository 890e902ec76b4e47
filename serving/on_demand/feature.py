"""One on-demand feature as both reads compute it. [pure]

Not for making it of a version (``features``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from registry.spec.references import Reference
    from registry.spec.scalar.kinds import Scalar
    from serving.values import KeyColumn


class OnDemandFeature(NamedTuple):
    """One feature; a row of its ``scalar`` has ``stored``, then ``request``, then ``now``."""

    version: str
    name: str
    type: str
    scalar: Scalar
    stored: tuple[Reference, ...]
    request: tuple[KeyColumn, ...]


def lacking_words(feature: str, rows: str) -> str:
    """Return the warning of operations without a result."""
    return (
        f"{feature}: an operation had no result {rows} and is null there: an overflow, a division"
        " of whole numbers by zero, or a number beyond the type it is cast to."
    )
