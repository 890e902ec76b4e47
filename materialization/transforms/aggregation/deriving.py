# ruff: noqa: S608 - expressions were checked by registry.spec.row_sql
"""Compute the derived features of a view on a locked connection, and say which of them fails.

Not for their SQL (``derived``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from materialization.errors import RowSqlFailed, RowSqlRefused, SourceValueInvalid
from materialization.failures import translate
from materialization.transforms.aggregation.derived import (
    expression_sql,
    named_sql,
    nulls_sql,
    value_sql,
    with_derived_sql,
)
from materialization.transforms.row_sql import refuse_other_than_expression

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.spec.model import FeatureSpec, FeatureViewSpec

#: How an expression fails on values.
_OF_VALUES = (
    duckdb.ConversionException,
    duckdb.InvalidInputException,
    duckdb.OutOfRangeException,
)


def check_derived(connection: duckdb.DuckDBPyConnection, view: FeatureViewSpec) -> None:
    """Bind each expression, and ask whether what it gives can be of its type.

    :raises RowSqlRefused, SourceValueInvalid: it cannot; ``in_definition`` says where.
    """
    types = derived_types(connection, view)
    for index, feature in enumerate(view.features):
        if feature.name in types:
            try:
                value_sql(view, feature, types[feature.name])
            except SourceValueInvalid as exc:
                exc.data["in_definition"] = ["features", index, "type"]
                raise


def derived_types(connection: duckdb.DuckDBPyConnection, view: FeatureViewSpec) -> dict[str, str]:
    """Return the type that each expression of a feature gives, by the feature's name.

    :raises RowSqlRefused: one means nothing to the engine; ``in_definition`` says where.
    """
    types = {}
    for index, feature in enumerate(view.features):
        if feature.sql is None:
            continue
        try:
            refuse_other_than_expression(feature.sql)
            sql = f"SELECT typeof({expression_sql(view, feature)}) FROM ({nulls_sql(view)})"
            ((types[feature.name],),) = connection.execute(sql).fetchall()
        except duckdb.Error as exc:
            said = str(exc).partition("\n")[0].partition(": ")[2][:300]
            message = f"it cannot be computed of the view's features: {said}"
            raise RowSqlRefused(message, in_definition=["features", index, "sql"]) from exc
    return types


def create_computed(
    connection: duckdb.DuckDBPyConnection,
    view: FeatureViewSpec,
    values: str,
    types: Mapping[str, str],
) -> None:
    """Create ``computed``: every feature at every candidate tick.

    :raises RowSqlFailed: an expression fails on the values of a tick; names its feature.
    """
    query = with_derived_sql(view, values, types)
    try:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE computed AS {query}")
    except _OF_VALUES as exc:
        for feature in view.features:
            if feature.sql is not None and _fails(connection, view, values, feature):
                told = translate(exc)
                raise RowSqlFailed(
                    f"feature {feature.name!r}: {told.message}", example=told.example
                ) from exc
        raise


def _fails(
    connection: duckdb.DuckDBPyConnection, view: FeatureViewSpec, values: str, feature: FeatureSpec
) -> bool:
    of = named_sql(view, values)
    try:
        connection.execute(f"SELECT bit_xor(hash({expression_sql(view, feature)})) FROM ({of})")
    except _OF_VALUES:
        return True
    return False
