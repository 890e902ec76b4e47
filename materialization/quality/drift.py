"""How far two profiles of the same features lie apart, in the measures that people know. [pure]

Not for whether that is too far (``drift_checks``). What is known of a distribution is a mark's
width apart from the truth (see ``distributions``): so the Kolmogorov-Smirnov statistic is right to
1 / MARKS, and a part that holds less than RESOLUTION counts as one that holds that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from materialization.quality.distributions import (
    RESOLUTION,
    edges_of,
    share_up_to,
    shares_between,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materialization.quality.distributions import Numbers
    from materialization.quality.profiles import ColumnProfile, Profile

#: How many of the baseline's most frequent values are told apart; the others count together.
TOLD_APART = 20


class Drift(msgspec.Struct, frozen=True):
    """How far one feature is from what it was; None: not measured, or not of this type.

    ``psi`` is the population stability index over the parts that the baseline's deciles bound,
    ``ks`` the greatest difference of the shares up to a value, ``js`` the Jensen-Shannon distance
    (base 2, 0 to 1) over the same parts, ``null_share`` the greater of the changes of the shares of
    NULL and of NaN, ``mean`` how many of the baseline's standard deviations the mean has moved.
    """

    psi: float | None = None
    ks: float | None = None
    js: float | None = None
    null_share: float | None = None
    mean: float | None = None


def drift_between(base: Profile, now: Profile, *, min_rows: int = 1) -> dict[str, Drift]:
    """Return how far each feature of both has moved.

    Of fewer rows with a value than ``min_rows``, on either side, nothing but the share of those
    without is said; of fewer rows not even that.
    """
    before = {column.name: column for column in base.columns}
    return {
        column.name: _drift(before[column.name], column, max(min_rows, 1))
        for column in now.columns
        if column.name in before
    }


def _drift(base: ColumnProfile, now: ColumnProfile, min_rows: int) -> Drift:
    if min(base.rows, now.rows) < min_rows:
        return Drift()
    missing = max(
        abs(base.nulls / base.rows - now.nulls / now.rows),
        abs(base.nans / base.rows - now.nans / now.rows),
    )
    if min(base.values, now.values) < min_rows:
        return Drift(null_share=missing)
    ks, shares = None, _shares(base, now)
    if base.marks and now.marks:
        ks = kolmogorov_smirnov(base.marks, now.marks)
    psi, js = (stability(*shares), jensen_shannon(*shares)) if shares else (None, None)
    return Drift(psi, ks, js, missing, mean_shift(base, now))


def _shares(base: ColumnProfile, now: ColumnProfile) -> tuple[Numbers, Numbers] | None:
    if base.marks and now.marks:
        edges = edges_of(base.marks)
        return shares_between(base.marks, edges), shares_between(now.marks, edges)
    if base.marks or now.marks or not (base.top and base.seen and now.seen):
        return None
    names = [name for name, _ in base.top[:TOLD_APART]]
    return _of_names(base, names), _of_names(now, names)


def _of_names(column: ColumnProfile, names: Sequence[str]) -> Numbers:
    """Return the share of each name, and of all others; one that is not among the most is rare."""
    times = dict(column.top)
    shares = np.array([times.get(name, 0) / column.seen for name in names])
    return np.append(shares, max(1.0 - shares.sum(), 0.0))


def kolmogorov_smirnov(base: Sequence[float], now: Sequence[float]) -> float:
    """Return the greatest difference of the shares up to a value, by the marks of two columns."""
    values = np.union1d(base, now)
    return float(np.abs(share_up_to(base, values) - share_up_to(now, values)).max())


def stability(base: Numbers, now: Numbers) -> float:
    """Return the population stability index of two lists of shares of the same parts."""
    before, after = _known(base), _known(now)
    return float(((after - before) * np.log(after / before)).sum())


def jensen_shannon(base: Numbers, now: Numbers) -> float:
    """Return the Jensen-Shannon distance, base 2: from 0 for equal shares to almost 1."""
    before, after = (shares / shares.sum() for shares in (_known(base), _known(now)))
    middle = (before + after) / 2
    return float(np.sqrt(max((_entropy(before, middle) + _entropy(after, middle)) / 2, 0.0)))


def _known(shares: Numbers) -> Numbers:
    return np.maximum(shares, RESOLUTION)


def _entropy(shares: Numbers, middle: Numbers) -> float:
    return float((shares * np.log2(shares / middle)).sum())


def mean_shift(base: ColumnProfile, now: ColumnProfile) -> float | None:
    """Return by how many of the baseline's standard deviations the mean has moved.

    Of a baseline that was constant any other mean is infinitely far.
    """
    if base.mean is None or now.mean is None or base.std is None:
        return None
    moved = abs(now.mean - base.mean)
    if not np.isfinite(moved):
        return None
    if moved <= 4 * np.spacing(abs(base.mean)):  # a rounding error
        return 0.0
    return moved / base.std if base.std else float("inf")
