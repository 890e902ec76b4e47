"""The aggregate functions, one declarative object each, by the name a definition uses. [pure]

Not for what a definition may say (``registry.spec.aggregate_functions``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.transforms.aggregation.functions.approx_percentile import APPROX_PERCENTILE
from materialization.transforms.aggregation.functions.by_age import FIRST_K, LAST_K
from materialization.transforms.aggregation.functions.choices import FIRST, LAST, MAX, MIN
from materialization.transforms.aggregation.functions.counts import COUNT, COUNT_DISTINCT
from materialization.transforms.aggregation.functions.frequencies import HISTOGRAM, TOP_K
from materialization.transforms.aggregation.functions.percentile import PERCENTILE
from materialization.transforms.aggregation.functions.spread import STDDEV, VARIANCE
from materialization.transforms.aggregation.functions.sums import MEAN, SUM
from materialization.transforms.aggregation.functions.truths import ALL, ANY

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
    "variance": VARIANCE,
    "any": ANY,
    "all": ALL,
    "first_k": FIRST_K,
    "last_k": LAST_K,
    "top_k": TOP_K,
    "histogram": HISTOGRAM,
    "percentile": PERCENTILE,
    "approx_percentile": APPROX_PERCENTILE,
}
