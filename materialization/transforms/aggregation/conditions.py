# ruff: noqa: S608 - conditions were checked and written anew by registry.spec.row_sql
"""Which rows count for an aggregation that has a ``where``: a column of the relation each. [pure]

Not for what a condition may hold (``registry.spec.row_sql``), nor for a view's own ``where``, whose
other rows are not there at all (``kinds``). To an aggregation they are: an entity that has no
others has a row, in which nothing counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from materialization.transforms.casts import Cast

if TYPE_CHECKING:
    from registry.spec.model import FeatureViewSpec


def truth_columns(view: FeatureViewSpec) -> dict[str, str]:
    """Return each condition and the column that has what it says of a row."""
    conditions = dict.fromkeys(each.where for each in view.aggregations if each.where is not None)
    return {where: f"where__{number}" for number, where in enumerate(conditions)}


def with_truths(view: FeatureViewSpec, reader: str) -> str:
    """Return all of a source with these columns; opening it refuses what is no condition."""
    truths = truth_columns(view)
    added = "".join(f", (\n{where}\n) AS {column}" for where, column in truths.items())
    return f"(SELECT *{added} FROM {reader})"


def truth_cast(view: FeatureViewSpec, where: str) -> Cast:
    """Return the condition as a column that is looked at: it may fail on a row."""
    column = truth_columns(view)[where]
    return Cast(value=column, bad=None, source=column, column=where, type="bool")
