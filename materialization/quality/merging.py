"""Profiles of several sets of rows as the one of all of them. [pure]

Counts, extremes and moments are what a profile of the union would say, moments to the rounding of a
double: in any order and in any groups. Marks are known to a mark's width where all are merged at
once, and lose half of one with every merge of merged ones. The most frequent values are those of
the parts; how many are distinct is at least what is said. Histograms are not merged: marks say it.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from materialization.quality.distributions import merged_marks
from materialization.quality.profiles import QUANTILES, ColumnProfile, Profile, most_frequent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def merge_profiles(parts: Sequence[Profile]) -> Profile:
    """Return the profile of all rows together; features that one part lacks are left out.

    :raises ValueError: there is none.
    """
    filled = [part for part in parts if part.rows] or list(parts[:1])
    if not filled:
        raise ValueError("there is no profile to merge")
    if len(filled) == 1:
        return filled[0]
    by_name = [{column.name: column for column in part.columns} for part in filled]
    names = [name for name in by_name[0] if all(name in each for each in by_name)]
    columns = tuple(_merge([each[name] for each in by_name]) for name in names)
    return Profile(sum(part.rows for part in filled), columns, sum(part.sampled for part in filled))


def _merge(parts: Sequence[ColumnProfile]) -> ColumnProfile:
    mean, std = _moments(parts)
    marks = merged_marks([(part.marks, part.values) for part in parts])
    return ColumnProfile(
        name=parts[0].name,
        rows=sum(part.rows for part in parts),
        nulls=sum(part.nulls for part in parts),
        nans=sum(part.nans for part in parts),
        minimum=_extreme(min, [part.minimum for part in parts]),
        maximum=_extreme(max, [part.maximum for part in parts]),
        mean=mean,
        std=std,
        distinct=max(part.distinct for part in parts),
        quantiles=_quantiles(marks) if any(part.quantiles for part in parts) else (),
        marks=marks,
        seen=sum(part.seen for part in parts),
        top=_top(parts),
    )


def _extreme(which: Callable[[list[Any]], Any], found: Sequence[Any]) -> Any:
    known = [value for value in found if value is not None]
    return which(known) if known else None


def _moments(parts: Sequence[ColumnProfile]) -> tuple[float | None, float | None]:
    """Pool means and deviations; one that a part with numbers does not have, all do not have."""
    parts = [part for part in parts if part.values]
    if not parts or any(part.mean is None for part in parts):
        return None, None
    weights = [part.values / sum(each.values for each in parts) for part in parts]
    means = [part.mean or 0.0 for part in parts]
    mean = sum(weight * each for weight, each in zip(weights, means, strict=True))
    if any(part.std is None for part in parts) or not math.isfinite(mean):
        return mean, None
    around = (
        weight * ((part.std or 0.0) ** 2 + (each - mean) ** 2)
        for weight, part, each in zip(weights, parts, means, strict=True)
    )
    variance = sum(around)
    return mean, math.sqrt(variance) if math.isfinite(variance) else None


def _quantiles(marks: Sequence[float]) -> tuple[float, ...]:
    """Read quantiles off the marks; infinities, which no quantile is among, as there are none."""
    if not marks or not all(map(math.isfinite, marks)):
        return ()
    return tuple(marks[round(share * (len(marks) - 1))] for share in QUANTILES)


def _top(parts: Sequence[ColumnProfile]) -> tuple[tuple[str, int], ...]:
    """Add how often each occurs, as often in all rows as in their sample, in a sample of both."""
    seen, values = sum(part.seen for part in parts), sum(part.values for part in parts)
    times: Counter[str] = Counter()
    shares: dict[str, float] = {}
    whole = all(part.seen == part.values for part in parts)
    for part in parts:
        for name, count in part.top:
            times[name] += count
            shares[name] = shares.get(name, 0.0) + count / part.seen * part.values / values
    if not whole:
        times = Counter({name: max(round(share * seen), 1) for name, share in shares.items()})
    return most_frequent(times.items())
