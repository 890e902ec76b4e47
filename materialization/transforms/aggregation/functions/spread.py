"""Standard deviation and variance of a sample (n - 1); NULL for fewer than two values. [pure]

Not kept as a running total: that would lose digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.transforms.aggregation.arguments import as_number
from materialization.transforms.aggregation.function import AggregateFunction
from materialization.transforms.aggregation.states.rows_again import RowsAgain

if TYPE_CHECKING:
    from materialization.transforms.aggregation.function import Call


def _spread(aggregate: str) -> AggregateFunction:
    def over(call: Call) -> str:
        value = f"CAST({call.value} AS DOUBLE)"
        return f"{aggregate}({value} ORDER BY e, c, {value})"

    return AggregateFunction(
        takes=as_number, state=RowsAgain(over), finish=lambda call: call.name, gives="DOUBLE"
    )


STDDEV, VARIANCE = _spread("stddev_samp"), _spread("var_samp")
