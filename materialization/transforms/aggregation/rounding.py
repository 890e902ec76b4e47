"""From an exact sum to one double: the nearest there is, of the sum or of its mean. [pure]

Not for making the sum (``exact_sums``, ``states.totals``). What two doubles and a bound of their
error cannot decide, as a value right between two doubles, is computed in whole numbers by Python.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The function of SQL that is ours.
EXACTLY = "assay_exactly"
#: Whole numbers up to here are doubles, and dividing one by another rounds once.
_EXACT_UP_TO = 2**53
#: A count below this times half a double's digits is exact.
_COUNT_BELOW = 2**26
#: Outside of it parts of a product would be lost.
_SAFE = f"BETWEEN {2.0**-900!r}::DOUBLE AND {2.0**900!r}::DOUBLE"
_SPLITTER = f"{2**27 + 1}::DOUBLE"
#: More than the relative error of what was rounded off, and of dividing it.
_ERROR, _DIVIDED = f"{2.0**-45!r}::DOUBLE", f"{2.0**-50!r}::DOUBLE"


def exactly(amounts: list[int], powers: list[int], scale: int, count: int) -> float:
    """Return the double nearest to the sum of ``amount * 2**power``, by ``10**scale * count``.

    DuckDB evaluates the annotations: they name nothing that is imported for types alone.
    """
    low = min(0, *powers)
    total = sum(amount << power - low for amount, power in zip(amounts, powers, strict=True))
    divisor: int = count * 10**scale << -low
    try:
        return total / divisor
    except OverflowError:
        return math.inf if total > 0 else -math.inf


def exactly_sql(amounts: Sequence[str], powers: Sequence[int], scale: int, count: str) -> str:
    listed = ", ".join(f"CAST({amount} AS HUGEINT)" for amount in amounts)
    return f"{EXACTLY}([{listed}], {list(powers)}, {scale}, CAST({count} AS HUGEINT))"


def mean_sql(total: str, have: str, count: str) -> str:
    """Return the mean of integers or decimals, by their sum of type ``have`` and their number."""
    scale = int(have.rstrip(")").partition(",")[2] or 0)
    # Its digits, as the whole number that they are without the point.
    digits = f"CAST(replace(CAST({total} AS VARCHAR), '.', '') AS HUGEINT)" if scale else total
    most = _EXACT_UP_TO // 10**scale
    is_plain = f"{digits} BETWEEN {-_EXACT_UP_TO} AND {_EXACT_UP_TO} AND {count} <= {most}"
    plain = f"CAST({digits} AS DOUBLE) / (CAST({count} AS DOUBLE) * {10**scale}::DOUBLE)"
    return f"CASE WHEN {is_plain} THEN {plain} ELSE {exactly_sql([digits], [0], scale, count)} END"


def nearest_sql(parts: Sequence[str], exact: str, count: str | None) -> str:
    """Return the double nearest to the sum of ``parts``, doubles, or to its ``count``-th part.

    ``exact`` is SQL for the same by whole numbers. Parts are added up with what adding rounds off
    beside them (Neumaier), and how much that was in all bounds the error.
    """
    pairs = ", ".join(f"{{'s': {part}, 'e': 0::DOUBLE, 'd': 0::DOUBLE}}" for part in parts)
    lost = _lost("sofar.s", "one.s")
    added = f"{{'s': sofar.s + one.s, 'e': sofar.e + ({lost}), 'd': sofar.d + abs({lost})}}"
    steps = [
        f"{{'s': v.s + v.e, 'e': {_lost('v.s', 'v.e')}, 'd': v.d * {_ERROR}}}",
        *(_division(count) if count is not None else ()),
        "CASE WHEN isfinite(v.s) AND v.s + (v.e - v.d) = v.s + (v.e + v.d) THEN v.s + v.e END",
    ]
    value = f"list_reduce([{pairs}], lambda sofar, one: {added})"
    for step in steps:
        value = f"list_transform([{value}], lambda v: {step})[1]"
    return f"coalesce({value}, {exact})"


def _lost(one: str, other: str) -> str:
    """Return what adding two doubles rounds off; a number while the sum is finite."""
    total = f"({one} + {other})"
    return f"({one} - ({total} - ({total} - {one}))) + ({other} - ({total} - {one}))"


def _division(count: str) -> list[str]:
    """Return the steps that divide ``s + e``, with an error below ``d``; NULL where they cannot."""
    by = f"CAST({count} AS DOUBLE)"
    safe = f"(v.s = 0 OR abs(v.s) {_SAFE}) AND {count} < {_COUNT_BELOW}"
    half = f"({_SPLITTER} * v.q - ({_SPLITTER} * v.q - v.q))"
    kept, product = "'e': v.e, 'd': v.d, 'q': v.q", f"v.q * {by}"
    # The product is known exactly, so what it leaves of the sum is.
    left = f"(v.s - {product}) - ((v.h * {by} - {product}) + (v.q - v.h) * {by}) + v.e"
    return [
        f"CASE WHEN {safe} THEN {{'s': v.s, 'e': v.e, 'd': v.d, 'q': v.s / {by}}} END",
        f"{{'s': v.s, {kept}, 'h': {half}}}",
        f"{{{kept}, 'r': {left}}}",
        f"{{'s': v.q, 'e': v.r / {by}, 'd': (v.d + abs(v.r) * {_DIVIDED}) / {by}}}",
    ]
