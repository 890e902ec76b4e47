"""The ``k`` values that occur most: as a list, or with how often each does as JSON. [pure]

The most frequent first; of equally frequent ones the lesser first, so that no tie is left to
chance. NaN is one value, above all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.transforms.aggregation.arguments import as_item, as_text
from materialization.transforms.aggregation.function import AggregateFunction
from materialization.transforms.aggregation.states.tallies import Tallies

if TYPE_CHECKING:
    from materialization.transforms.aggregation.function import Call


def _values(call: Call) -> str:
    return f"list_transform({call.name}, lambda each: each.x)"


def _as_json(call: Call) -> str:
    counts = f"list_transform({call.name}, lambda each: row(each.x, -each.less))"
    return f"CAST(to_json(map_from_entries({counts})) AS VARCHAR)"


TOP_K = AggregateFunction(
    takes=as_item,
    state=Tallies(),
    finish=_values,
    gives="{}[]",
    parameters=("k",),
)
HISTOGRAM = AggregateFunction(
    takes=as_text,
    state=Tallies(),
    finish=_as_json,
    gives="VARCHAR",
    parameters=("k",),
)
