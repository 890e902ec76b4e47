# ruff: noqa: S608 - names go through identifier(), expressions were checked by registry.spec.row_sql
"""Features of a view that aggregates which are computed out of its others, tick by tick. [pure]

Not for what an expression may hold (``registry.spec.row_sql``). It sees the others in their
declared types, under their names, and nothing else; what it gives is cast to its own, strictly.
Encodings come after: it sees what the steps of the others take, and gives what its own take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.sql_text import identifier
from materialization.transforms.casts import cast
from registry.spec.derived import derived_sql
from registry.spec.transforms import transform_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.spec.model import FeatureSpec, FeatureViewSpec

#: What to do about a value that the declared type does not have.
_HINT = "ROUND or CAST it in the feature's `sql`, or declare the type it has."


def nulls_sql(view: FeatureViewSpec) -> str:
    """Return one row without values, for an expression to be bound to."""
    nulls = (
        f"NULL::{each.unencoded.value_type.duckdb} AS {identifier(each.name)}"
        for each in view.features
        if each.sql is None
    )
    return f"SELECT {', '.join(nulls)}"


def expression_sql(view: FeatureViewSpec, feature: FeatureSpec) -> str:
    """Return what a feature is computed by: of windows that reads make, as reads compute it."""
    if transform_of(view).has_windows_online:
        return f"(\n{derived_sql(view, feature)}\n)"
    return f"(\n{feature.sql}\n)"


def value_sql(view: FeatureViewSpec, feature: FeatureSpec, have: str) -> str:
    """Return the value in its declared type; ``have`` is the type that the expression gives.

    :raises SourceValueInvalid: no value of the one type can be of the other.
    """
    sql = expression_sql(view, feature)
    want = feature.unencoded.value_type
    made = cast(sql, have=have, want=want, column=feature.name)
    return made._replace(hint=_HINT).strict


def with_derived_sql(view: FeatureViewSpec, values: str, types: Mapping[str, str]) -> str:
    """Return the query ``values`` (kid, i, f…) with the derived features among the others.

    ``types``: what each expression gives, by the feature's name.
    """
    if not types:
        return values
    columns = ", ".join(
        f"{value_sql(view, each, types[each.name]) if each.sql else identifier(each.name)} AS f{n}"
        for n, each in enumerate(view.features)
    )
    return f"SELECT kid__ AS kid, i__ AS i, {columns} FROM ({named_sql(view, values)})"


def named_sql(view: FeatureViewSpec, values: str) -> str:
    """Return the query with its features under their names, which expressions use."""
    named = "".join(
        f", f{n} AS {identifier(each.name)}" for n, each in enumerate(view.features) if not each.sql
    )
    return f"SELECT kid AS kid__, i AS i__{named} FROM ({values})"
