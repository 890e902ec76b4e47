"""Whether any of the values inside is true, and whether all are. [pure]

Null where no value is inside: nothing is known then, and neither answer would be true of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.transforms.aggregation.arguments import as_truth
from materialization.transforms.aggregation.function import AggregateFunction
from materialization.transforms.aggregation.states.totals import Totals, count_name

if TYPE_CHECKING:
    from materialization.transforms.aggregation.function import Call


def _any(call: Call) -> str:
    return f"{call.shared}_s > 0"


def _all(call: Call) -> str:
    return f"{call.shared}_s = {count_name(call)}"


ANY = AggregateFunction(takes=as_truth, state=Totals(), finish=_any, gives="BOOLEAN")
ALL = AggregateFunction(takes=as_truth, state=Totals(), finish=_all, gives="BOOLEAN")
