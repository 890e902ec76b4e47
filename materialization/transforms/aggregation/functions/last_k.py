"""The newest ``k`` values as a list, newest first by event, created time and value. [pure]

Not for the newest alone: ``last`` (``choices``) keeps less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.transforms.aggregation.arguments import as_item
from materialization.transforms.aggregation.function import AggregateFunction
from materialization.transforms.aggregation.states.rows_again import RowsAgain

if TYPE_CHECKING:
    from materialization.transforms.aggregation.function import Call


def _newest(call: Call) -> str:
    return f"max({{'e': e, 'c': c, 'x': {call.value}}}, {call.parameters['k']})"


def _values(call: Call) -> str:
    return f"list_transform({call.name}, lambda newest: newest.x)"


LAST_K = AggregateFunction(
    takes=as_item, state=RowsAgain(_newest), finish=_values, gives="{}[]", parameters=("k",)
)
