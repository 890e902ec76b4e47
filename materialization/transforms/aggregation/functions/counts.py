"""How many values a window holds: all of them, or the distinct ones; 0 in an emptied one. [pure]

Not for sums (``sums``). NaN counts, and is one distinct value.
"""

from __future__ import annotations

from materialization.transforms.aggregation.arguments import as_it_is
from materialization.transforms.aggregation.function import AggregateFunction
from materialization.transforms.aggregation.states.islands import Islands
from materialization.transforms.aggregation.states.totals import Totals, count_name

COUNT = AggregateFunction(
    takes=as_it_is, state=Totals(adds=False), finish=count_name, gives="HUGEINT", empty="0"
)
COUNT_DISTINCT = AggregateFunction(
    takes=as_it_is,
    state=Islands(),
    finish=lambda call: call.name,
    gives="HUGEINT",
    empty="0",
    compares=True,
)
