"""How a view makes features out of its source's rows, as values. [pure]

Not for computing them: ``materialization.transforms`` does.
"""

from __future__ import annotations

from datetime import timedelta  # noqa: TC003 - msgspec reads the annotations
from typing import Literal

from registry.spec.base import Spec
from registry.spec.durations import parse_duration

AggregateFunction = Literal[
    "sum", "count", "mean", "min", "max", "last", "first", "count_distinct", "stddev"
]
#: What other tools call the functions.
FUNCTION_SYNONYMS = {
    "avg": "mean",
    "average": "mean",
    "std": "stddev",
    "nunique": "count_distinct",
}


class AggregationSpec(Spec, frozen=True):
    column: str
    functions: tuple[AggregateFunction, ...]
    windows: tuple[str, ...]

    def outputs(self) -> dict[str, tuple[str, str, timedelta]]:
        """Return output name → (column, function, window), as in ``amount_sum_30d``."""
        return {
            f"{self.column}_{function}_{window}": (self.column, function, parse_duration(window))
            for function in self.functions
            for window in self.windows
        }
