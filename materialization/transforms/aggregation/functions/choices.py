"""Functions that choose one of the values: the least, the greatest, the oldest, the newest. [pure]

Not for several of them (``last_k``). Age is by event, then created time; ties fall to the value,
never to chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.transforms.aggregation.arguments import as_declared
from materialization.transforms.aggregation.function import AggregateFunction
from materialization.transforms.aggregation.states.by_age import Newest, newest_of, value_of
from materialization.transforms.aggregation.states.extremes import Extremes

if TYPE_CHECKING:
    from materialization.transforms.aggregation.function import Call


def _chosen(call: Call) -> str:
    return call.name


MIN = AggregateFunction(takes=as_declared, state=Extremes(greatest=False), finish=_chosen)
MAX = AggregateFunction(takes=as_declared, state=Extremes(greatest=True), finish=_chosen)
FIRST = AggregateFunction(
    takes=as_declared, state=Extremes(greatest=False, by_age=True), finish=value_of
)
_LAST_INSIDE = AggregateFunction(
    takes=as_declared, state=Extremes(greatest=True, by_age=True), finish=value_of
)
LAST = AggregateFunction(takes=as_declared, state=Newest(), finish=newest_of, anyhow=_LAST_INSIDE)
