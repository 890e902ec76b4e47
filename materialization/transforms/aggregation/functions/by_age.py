"""The oldest or newest ``k`` values as a list, by event, created time and value. [pure]

Not for one of them: ``first`` and ``last`` (``choices``) keep less.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from materialization.transforms.aggregation.arguments import as_item
from materialization.transforms.aggregation.function import AggregateFunction
from materialization.transforms.aggregation.states.best_rows import BestRows

if TYPE_CHECKING:
    from materialization.transforms.aggregation.function import Call


def _values(state: BestRows, call: Call) -> str:
    rows = f"list_slice({state.inside(call)}, 1, {call.parameters['k']})"
    return f"list_transform({rows}, lambda row: row.x)"


FIRST_K, LAST_K = (
    AggregateFunction(
        takes=as_item, state=state, finish=partial(_values, state), gives="{}[]", parameters=("k",)
    )
    for state in (BestRows(newest=False), BestRows(newest=True))
)
