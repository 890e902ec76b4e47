"""The least value that ``p`` percent are not above, of values rounded to three digits. [pure]

Not a sketch: rounding keeps the order, so it is the exact one, rounded, whatever the order of the
rows and however history is cut into runs. Rounded, a key has some hundreds of different values,
and that many make the search short.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.transforms.aggregation.arguments import as_rounded
from materialization.transforms.aggregation.function import AggregateFunction
from materialization.transforms.aggregation.functions.percentile import share_of
from materialization.transforms.aggregation.states.order import Order, found

if TYPE_CHECKING:
    from materialization.transforms.aggregation.function import Call


def _rank(call: Call, count: str) -> tuple[str]:
    """Return the first rank that, with those before it, is ``p`` percent."""
    share = share_of(call.parameters["p"])
    reached = f"({count}::HUGEINT * {share.numerator} + {share.denominator - 1})"
    return (f"greatest({reached} // {share.denominator} - 1, 0)",)


APPROX_PERCENTILE = AggregateFunction(
    takes=as_rounded,
    state=Order(_rank),
    finish=lambda call: found(call, 0),
    gives="DOUBLE",
    parameters=("p",),
)
