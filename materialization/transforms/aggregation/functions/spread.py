"""Standard deviation and variance of a sample (n - 1); NULL for fewer than two values. [pure]

The variance is rounded once, the deviation is the root of it, free of the order of the rows.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from materialization.transforms.aggregation.arguments import as_number
from materialization.transforms.aggregation.exact_squares import spread_sql
from materialization.transforms.aggregation.function import AggregateFunction
from materialization.transforms.aggregation.states.moments import (
    Moments,
    is_spread_beyond,
    moments,
)

if TYPE_CHECKING:
    from materialization.transforms.aggregation.function import Call
    from materialization.transforms.aggregation.rounding import Staged


def _spread(call: Call, *, is_root: bool) -> Staged:
    value = spread_sql(f"{call.shared}_v", moments(call), is_root=is_root)
    beyond = is_spread_beyond(call)
    if beyond is None:
        return value
    return value._replace(sql=f"CASE WHEN {beyond} THEN 'nan'::DOUBLE ELSE {value.sql} END")


VARIANCE, STDDEV = (
    AggregateFunction(
        takes=as_number,
        state=Moments(),
        finish=partial(_spread, is_root=is_root),
        gives="DOUBLE",
    )
    for is_root in (False, True)
)
