"""What an aggregation says: a column, functions, windows; and the columns it can give. [pure]

Not for computing them: ``materialization.transforms`` does.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from registry.spec.aggregate_functions import AggregateFunction  # noqa: TC001 - as above
from registry.spec.base import Spec
from registry.spec.durations import BadDuration, parse_duration

#: What other tools call the functions.
FUNCTION_SYNONYMS = {
    "avg": "mean",
    "average": "mean",
    "std": "stddev",
    "var": "variance",
    "median": "percentile",
    "quantile": "percentile",
    "mode": "top_k",
    "bool_or": "any",
    "bool_and": "all",
    "nunique": "count_distinct",
}

#: How a window is written that holds all there is, and what it is: longer than any history, and
#: short enough to be added to an instant in microseconds.
UNBOUNDED, ALL_HISTORY = "unbounded", timedelta(days=36_525 * 300)


def parse_window(text: str) -> timedelta:
    """Return how far back a window reaches.

    :raises BadDuration: unless it is a duration, or ``unbounded``.
    """
    if text.strip() == UNBOUNDED:
        return ALL_HISTORY
    try:
        return parse_duration(text)
    except BadDuration as exc:
        raise BadDuration(f"{exc.message} All of history is `{UNBOUNDED}`.") from None


class AggregateOutput(NamedTuple):
    """One column that an aggregation can give; ``where`` says which rows count for it."""

    column: str
    function: AggregateFunction
    window: timedelta
    where: str | None = None


class AggregationSpec(Spec, frozen=True):
    """``where``: only rows of which it is true count. ``name`` stands in outputs for the column."""

    column: str
    functions: tuple[AggregateFunction, ...]
    windows: tuple[str, ...]
    where: str | None = None
    name: str | None = None

    def outputs(self) -> dict[str, AggregateOutput]:
        """Return output by name: ``amount_sum_30d``, ``amount_last_k_10_30d``."""
        return {
            f"{self.name or self.column}_{function}_{window}": AggregateOutput(
                self.column, function, parse_window(window), self.where
            )
            for function in self.functions
            for window in self.windows
        }
