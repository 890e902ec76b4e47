"""The least value that ``p`` percent are not above, of values rounded to three digits. [pure]

Not a sketch: rounding keeps the order, so it is the exact one, rounded, whatever the order of the
rows and however history is cut into runs. What it costs depends on how many different rounded
values a window holds, and not on how many rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.transforms.aggregation.arguments import as_rounded
from materialization.transforms.aggregation.function import AggregateFunction
from materialization.transforms.aggregation.functions.percentile import share_of
from materialization.transforms.aggregation.states.tallies import Tallies

if TYPE_CHECKING:
    from materialization.transforms.aggregation.function import Call


def _nearest(call: Call) -> str:
    share = share_of(call.parameters["p"])
    reached = f"upto::HUGEINT * {share.denominator} >= total::HUGEINT * {share.numerator}"
    return f"min(x) FILTER (WHERE {reached})"


APPROX_PERCENTILE = AggregateFunction(
    takes=as_rounded,
    state=Tallies(_nearest),
    finish=lambda call: call.name,
    gives="DOUBLE",
    parameters=("p",),
)
