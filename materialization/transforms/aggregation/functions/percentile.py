"""The value below which ``p`` percent lie, interpolated between the two nearest ranks. [pure]

Not an estimate. Of n values in order, rank 0 to n - 1, it is the one at rank (n - 1) · p / 100, as
in numpy's default; between two ranks on the straight line between their values. NaN ranks above
all, and what lies next to it is NaN; so is what lies between the two infinities.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from materialization.transforms.aggregation.arguments import as_double
from materialization.transforms.aggregation.function import AggregateFunction
from materialization.transforms.aggregation.states.order import Order, found
from materialization.transforms.aggregation.states.totals import count_name

if TYPE_CHECKING:
    from materialization.transforms.aggregation.function import Call

#: Digits of ``p`` that count; with them a rank stays inside 128 bits for any number of rows.
_DIGITS = Decimal("1e-15")


def _ranks(call: Call, count: str) -> tuple[str, str]:
    """Return the rank at or below ``p`` percent of the way, and the next."""
    share = share_of(call.parameters["p"])
    # Ranks are whole numbers of ``unit``-ths, so that one that is whole is found to be whole.
    low = f"(({count} - 1)::HUGEINT * {share.numerator}) // {share.denominator}"
    return low, f"least({low} + 1, {count} - 1)"


def _interpolated(call: Call) -> str:
    share, unit = share_of(call.parameters["p"]), share_of(call.parameters["p"]).denominator
    low, high = found(call, 0), found(call, 1)
    rest = f"((({count_name(call)} - 1)::HUGEINT * {share.numerator}) % {unit})"
    return (
        f"CASE WHEN {rest} = 0 OR {low} = {high} THEN {low} "
        f"ELSE {_between(low, high, f'(CAST({rest} AS DOUBLE) / {unit})')} END"
    )


def share_of(p: float) -> Fraction:
    """Return ``p`` percent as an exact share of 1."""
    return Fraction(Decimal(repr(p)).quantize(_DIGITS)) / 100


def _between(low: str, high: str, part: str) -> str:
    """Return the value at ``part`` (0 to 1) of the way; from the nearer end, as numpy does."""
    way = f"({high} - {low})"
    from_low, from_high = f"{low} + {way} * {part}", f"{high} - {way} * (1 - {part})"
    # The way between two finite values may be too long for a double, their shares are not.
    shares = f"{low} * (1 - {part}) + {high} * {part}"
    line = f"CASE WHEN {part} < 0.5 THEN {from_low} ELSE {from_high} END"
    return f"CASE WHEN isfinite({way}) THEN {line} ELSE {shares} END"


PERCENTILE = AggregateFunction(
    takes=as_double,
    state=Order(_ranks),
    finish=_interpolated,
    gives="DOUBLE",
    parameters=("p",),
)
