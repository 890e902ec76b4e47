"""Aggregate functions over the values inside a window, as Python has them. [pure]

Not for which are inside (``evaluation``). Each gives what ``aggregation.functions`` gives of the
same values in SQL, to the last bit: sums are exact and rounded once, whatever the order.
"""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from materialization.transforms.aggregation.exact_squares import spread
from materialization.transforms.aggregation.functions.percentile import share_of
from materialization.transforms.aggregation.rounding import exactly

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from materialization.transforms.windows.inside import Inside

    #: Makes a value of those inside; there is one at least.
    Parameters = Mapping[str, float]
    Function = Callable[[Inside, Parameters], Any]

#: What a window without a value has; of all others it is None.
EMPTY = {"count": 0, "count_distinct": 0}


def _count(inside: Inside, given: Parameters) -> int:
    return inside.count


def _count_distinct(inside: Inside, given: Parameters) -> int:
    return len(inside.counts())


def _sum(inside: Inside, given: Parameters) -> Any:
    kind, values = inside.kind, inside.values
    if kind.kind == "float64":
        return _nearest_sum(inside, values) if values is not None else _nearest(inside, 1)
    whole = inside.total.whole
    if kind.kind != "decimal":
        return whole
    return Decimal((int(whole < 0), tuple(map(int, str(abs(whole)))), -kind.scale))


def _nearest_sum(inside: Inside, values: Sequence[float]) -> float:
    try:
        return math.fsum(values)
    except ValueError:  # the infinities of both signs
        return math.nan
    except OverflowError:  # on its way, and it may come back
        return _nearest(inside, 1)


def _mean(inside: Inside, given: Parameters) -> float:
    return _nearest(inside, inside.count)


def _nearest(inside: Inside, count: int) -> float:
    """Return the double nearest to the sum by ``count``."""
    if (special := inside.special()) is not None:
        return special / count
    whole, power = inside.total
    return exactly([whole], [power], inside.kind.scale, count)


def _spread(inside: Inside, *, is_root: bool) -> float | None:
    if inside.count < 2:
        return None
    if inside.special() is not None:
        return math.nan
    total, squares = inside.total, inside.squares
    low = min(total.power, squares.power // 2)
    wholes, of_squares = total.whole << total.power - low, squares.whole << squares.power - 2 * low
    scale, count = inside.kind.scale, inside.count
    return spread([wholes], [low], [of_squares], [2 * low], scale, count, is_root)


def _stddev(inside: Inside, given: Parameters) -> float | None:
    return _spread(inside, is_root=True)


def _variance(inside: Inside, given: Parameters) -> float | None:
    return _spread(inside, is_root=False)


def _min(inside: Inside, given: Parameters) -> Any:
    return inside.extreme(0)


def _max(inside: Inside, given: Parameters) -> Any:
    return inside.extreme(1)


def _first(inside: Inside, given: Parameters) -> Any:
    return inside.oldest(1)[0]


def _last(inside: Inside, given: Parameters) -> Any:
    return inside.newest(1)[0]


def _any(inside: Inside, given: Parameters) -> bool:
    return inside.total.whole > 0


def _all(inside: Inside, given: Parameters) -> bool:
    whole, power = inside.total
    return whole << power == inside.count


def _first_k(inside: Inside, given: Parameters) -> list[Any]:
    return inside.oldest(int(given["k"]))


def _last_k(inside: Inside, given: Parameters) -> list[Any]:
    return inside.newest(int(given["k"]))


def _top_k(inside: Inside, given: Parameters) -> list[Any]:
    return [value for value, _ in _most_frequent(inside, int(given["k"]))]


def _histogram(inside: Inside, given: Parameters) -> str:
    found = dict(_most_frequent(inside, int(given["k"])))
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False)


def _most_frequent(inside: Inside, k: int) -> list[tuple[Any, int]]:
    """Return the values that occur most, with how often; of equally many the lesser first."""
    return sorted(inside.counts(), key=lambda each: -each[1])[:k]


def _percentile(inside: Inside, given: Parameters) -> float:
    """Interpolate from the nearer end, as numpy does, and in the same steps as the SQL."""
    share, most = share_of(given["p"]), inside.count - 1
    rank, rest = divmod(most * share.numerator, share.denominator)
    low, high = _at_ranks(inside, rank, min(rank + 1, most))
    if rest == 0 or low == high or (math.isnan(low) and math.isnan(high)):
        return low
    part, way = rest / share.denominator, high - low
    if not math.isfinite(way):
        return low * (1 - part) + high * part
    return low + way * part if part < 0.5 else high - way * (1 - part)


def _approx_percentile(inside: Inside, given: Parameters) -> float:
    share = share_of(given["p"])
    reached = -(-inside.count * share.numerator // share.denominator)
    return _at_ranks(inside, max(reached - 1, 0))[0]


def _at_ranks(inside: Inside, *ranks: int) -> list[float]:
    """Return the values at ranks that ascend, counted from 0."""
    found: list[float] = []
    before = 0
    for value, count in inside.counts():
        before += count
        while len(found) < len(ranks) and ranks[len(found)] < before:
            found.append(float(value))
    return found


FUNCTIONS: dict[str, Function] = {
    "count": _count,
    "count_distinct": _count_distinct,
    "sum": _sum,
    "mean": _mean,
    "stddev": _stddev,
    "variance": _variance,
    "min": _min,
    "max": _max,
    "first": _first,
    "last": _last,
    "any": _any,
    "all": _all,
    "first_k": _first_k,
    "last_k": _last_k,
    "top_k": _top_k,
    "histogram": _histogram,
    "percentile": _percentile,
    "approx_percentile": _approx_percentile,
}
