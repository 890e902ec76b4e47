"""How a column's values are distributed, in a few numbers that merge and compare. [pure]

Of numbers there are marks: the least of those values that a share of i / MARKS of all does not
exceed, for each i from 0 to MARKS. So the share up to any value is known to half a mark, whatever
the values are: atoms, tails and offsets cost nothing. Of several columns at once the marks of all
together are known to a mark. Infinities are numbers, NaN is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Numbers: TypeAlias = npt.NDArray[np.float64]

#: How many parts of equal share the marks are the bounds of.
MARKS = 100
#: What a share is known to at best.
RESOLUTION = 0.5 / MARKS


def marks_of(ordered: Numbers) -> tuple[float, ...]:
    """Return the marks of numbers in ascending order, none of them NaN; of none there are none."""
    if not len(ordered):
        return ()
    ranks = -(-np.arange(MARKS + 1) * len(ordered) // MARKS) - 1
    return tuple(ordered[np.maximum(ranks, 0)].tolist())


def share_up_to(marks: Sequence[float], values: Numbers) -> Numbers:
    """Return for each value which share of the column does not exceed it."""
    below = np.searchsorted(np.asarray(marks), values, side="right") - 1
    shares = (below + 0.5) / MARKS
    shares[below < 0], shares[below == MARKS] = 0.0, 1.0
    return np.asarray(shares)


def merged_marks(parts: Sequence[tuple[Sequence[float], int]]) -> tuple[float, ...]:
    """Return the marks of several columns together; each comes with how many values it has."""
    parts = [(marks, weight) for marks, weight in parts if marks and weight]
    if len(parts) < 2:
        return tuple(parts[0][0]) if parts else ()
    values = np.unique(np.concatenate([np.asarray(marks) for marks, _ in parts]))
    total = sum(weight for _, weight in parts)
    shares = sum(share_up_to(marks, values) * (weight / total) for marks, weight in parts)
    # A hair below, so that a share is not missed by its rounding.
    wanted = np.arange(MARKS + 1) / MARKS - 1e-9
    found = np.searchsorted(np.asarray(shares), wanted, side="left")
    return tuple(values[np.minimum(found, len(values) - 1)].tolist())


def edges_of(marks: Sequence[float]) -> Numbers:
    """Return the bounds of about a dozen parts to count a column and those compared with it in.

    They are its deciles, its ends, and just below whatever a tenth of its values or more are: so
    what lies outside its range is a part, and so is each value that is frequent.
    """
    deciles = np.asarray(marks)[:: MARKS // 10]
    values, times = np.unique(deciles, return_counts=True)
    atoms = values[(times > 1) | (values == values[0])]
    return np.unique(np.concatenate([values, np.nextafter(atoms, -np.inf)]))


def shares_between(marks: Sequence[float], edges: Numbers) -> Numbers:
    """Return the share of a column up to the first edge, in each part, and beyond the last."""
    return np.diff(share_up_to(marks, edges), prepend=0.0, append=1.0)
