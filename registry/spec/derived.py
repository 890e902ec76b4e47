"""Features that are computed of others of their view at each read, by both forms of one expression.

Not for ticks, whose expressions are SQL of the engine's alone, nor for what an expression may hold
(``row_sql``). An operation without a result is null, as of on-demand features. [pure]
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from registry.spec.row_sql import columns_under
from registry.spec.scalar.compiling import compiled
from registry.spec.scalar.plain import plain_sql

if TYPE_CHECKING:
    from registry.spec.model import FeatureSpec, FeatureViewSpec
    from registry.spec.scalar.kinds import Scalar


def inputs_of(view: FeatureViewSpec, feature: FeatureSpec) -> dict[str, str]:
    """Return the features that one is computed of, in the view's order: name → type.

    Of encoded ones what the steps take, which is what the expression has.
    """
    named = columns_under(feature.sql or "")
    return {each.name: each.unencoded.type for each in view.features if each.name in named}


def derived_scalar(view: FeatureViewSpec, feature: FeatureSpec) -> Scalar:
    """Return a feature's expression; a row of it has its inputs, the instant, and what lacks.

    :raises Untyped: it cannot be computed alike in both forms; says what.
    """
    return _scalar(
        feature.sql or "", tuple(inputs_of(view, feature).items()), feature.unencoded.type
    )


def derived_sql(view: FeatureViewSpec, feature: FeatureSpec) -> str:
    """Return the same as SQL of columns that are named as its inputs are.

    :raises Untyped: as ``derived_scalar``, or its text becomes too large.
    """
    return _sql(feature.sql or "", tuple(inputs_of(view, feature).items()), feature.unencoded.type)


@lru_cache(maxsize=4096)
def _scalar(sql: str, inputs: tuple[tuple[str, str], ...], declared: str) -> Scalar:
    return compiled(sql, inputs=dict(inputs), declared=declared)


@lru_cache(maxsize=4096)
def _sql(sql: str, inputs: tuple[tuple[str, str], ...], declared: str) -> str:
    return plain_sql(sql, inputs=dict(inputs), declared=declared, null_without_result=True)
