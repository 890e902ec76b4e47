"""What an ordered sample of numbers tells: how many differ, quantiles, a histogram. [pure]

Not for drawing it, nor for what is counted of all rows (``profiling``).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from materialization.quality.profiles import NAMED, QUANTILES, most_frequent, shown_number

if TYPE_CHECKING:
    from materialization.quality.distributions import Numbers
    from registry.spec.value_types import ValueType

#: How many bars a histogram has.
BARS = 20
#: Kinds of whole numbers whose values may all be doubles.
WHOLE = ("int32", "int64")


def counted(ordered: Numbers, kind: ValueType, *, nans: int) -> dict[str, Any]:
    """Return how many values differ, and the most frequent of those that are not alone."""
    starts = np.flatnonzero(np.append(len(ordered) > 0, ordered[1:] != ordered[:-1]))
    times = np.diff(starts, append=len(ordered))
    repeated = np.flatnonzero(times > 1)
    most = repeated[np.argsort(-times[repeated], kind="stable")[:NAMED]]
    whole = kind.kind in WHOLE
    named = (
        (shown_number(int(value) if whole else value, kind), count)
        for value, count in zip(ordered[starts[most]].tolist(), times[most].tolist(), strict=True)
    )
    return {"distinct": len(starts) + bool(nans), "top": most_frequent(named)}


def quantiles(ordered: Numbers) -> tuple[float, ...]:
    """Interpolate between neighbours, without an overflow where they lie far apart."""
    if not len(ordered):
        return ()
    places = np.asarray(QUANTILES) * (len(ordered) - 1)
    below = places.astype(np.int64)
    part = places - below
    above = np.minimum(below + 1, len(ordered) - 1)
    return tuple((ordered[below] * (1 - part) + ordered[above] * part).tolist())


def histogram(ordered: Numbers) -> tuple[tuple[float, ...], tuple[int, ...]]:
    if not len(ordered):
        return (), ()
    low, high = float(ordered[0]), float(ordered[-1])
    if not math.isfinite(high - low):
        return (), ()
    if low == high:
        return (low, high), (len(ordered),)
    edges = np.linspace(low, high, BARS + 1)
    inner = np.searchsorted(ordered, edges[1:-1], side="left")
    counts = np.diff(inner, prepend=0, append=len(ordered))
    return tuple(edges.tolist()), tuple(counts.tolist())
