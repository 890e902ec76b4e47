"""The oldest or newest ``k`` values as a list, by event, created time and value. [pure]

Not for one of them: ``first`` and ``last`` (``choices``) keep less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.transforms.aggregation.arguments import as_item
from materialization.transforms.aggregation.function import AggregateFunction
from materialization.transforms.aggregation.states.best_rows import BestRows

if TYPE_CHECKING:
    from materialization.transforms.aggregation.function import Call


def _values(call: Call) -> str:
    return f"list_transform({call.name}, lambda row: row.x)"


FIRST_K = AggregateFunction(
    takes=as_item, state=BestRows(newest=False), finish=_values, gives="{}[]", parameters=("k",)
)
LAST_K = AggregateFunction(
    takes=as_item, state=BestRows(newest=True), finish=_values, gives="{}[]", parameters=("k",)
)
