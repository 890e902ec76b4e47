"""Functions that choose one of the values: the least, the greatest, the oldest, the newest. [pure]

Not for several of them (``last_k``). Age is by event, then created time; ties fall to the value,
never to chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.transforms.aggregation.arguments import as_declared
from materialization.transforms.aggregation.function import AggregateFunction
from materialization.transforms.aggregation.states.extremes import Extremes
from materialization.transforms.aggregation.states.newest import Newest

if TYPE_CHECKING:
    from materialization.transforms.aggregation.function import Call


def _chosen(call: Call) -> str:
    return call.name


def _of_row(call: Call) -> str:
    return f"{call.name}.x"


MIN = AggregateFunction(takes=as_declared, state=Extremes("min({})"), finish=_chosen)
MAX = AggregateFunction(takes=as_declared, state=Extremes("max({})"), finish=_chosen)
FIRST = AggregateFunction(
    takes=as_declared,
    state=Extremes("min({})", of="{{'e': e, 'c': c, 'x': {}}}"),
    finish=_of_row,
)
LAST = AggregateFunction(takes=as_declared, state=Newest(), finish=_of_row)
