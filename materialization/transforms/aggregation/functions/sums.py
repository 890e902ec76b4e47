"""Sum and mean, each rounded once and free of the order of the rows. [pure]

Not for how doubles are added without a loss: ``exact_sums``.
"""

from __future__ import annotations

from materialization.transforms.aggregation.arguments import as_number
from materialization.transforms.aggregation.function import AggregateFunction
from materialization.transforms.aggregation.states.totals import Totals, mean, total

SUM = AggregateFunction(takes=as_number, state=Totals(), finish=total)
MEAN = AggregateFunction(takes=as_number, state=Totals(), finish=mean, gives="DOUBLE")
