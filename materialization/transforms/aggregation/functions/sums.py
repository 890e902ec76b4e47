"""Sum and mean, exact and free of the order of the rows. [pure]

Not for how doubles are added without a loss: ``exact_sums``.
"""

from __future__ import annotations

from materialization.transforms.aggregation.arguments import as_number
from materialization.transforms.aggregation.function import AggregateFunction, Call
from materialization.transforms.aggregation.states.totals import (
    Totals,
    count_name,
    total,
    total_as_double,
)


def _mean(call: Call) -> str:
    return f"({total_as_double(call)}) / {count_name(call)}"


SUM = AggregateFunction(takes=as_number, state=Totals(), finish=total)
MEAN = AggregateFunction(takes=as_number, state=Totals(), finish=_mean, gives="DOUBLE")
