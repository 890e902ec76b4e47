"""The aggregate functions, one declarative object each, by the name a definition uses. [pure]

Not for what a definition may say (``registry.spec.aggregate_functions``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.transforms.aggregation.functions.choices import FIRST, LAST, MAX, MIN
from materialization.transforms.aggregation.functions.counts import COUNT, COUNT_DISTINCT
from materialization.transforms.aggregation.functions.last_k import LAST_K
from materialization.transforms.aggregation.functions.percentile import PERCENTILE
from materialization.transforms.aggregation.functions.stddev import STDDEV
from materialization.transforms.aggregation.functions.sums import MEAN, SUM

if TYPE_CHECKING:
    from materialization.transforms.aggregation.function import AggregateFunction

FUNCTIONS: dict[str, AggregateFunction] = {
    "sum": SUM,
    "count": COUNT,
    "mean": MEAN,
    "min": MIN,
    "max": MAX,
    "last": LAST,
    "first": FIRST,
    "count_distinct": COUNT_DISTINCT,
    "stddev": STDDEV,
    "last_k": LAST_K,
    "percentile": PERCENTILE,
}
