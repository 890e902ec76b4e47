"""Scalar expressions over the columns of one table, computed by DuckDB.

Not for what they say (``registry.spec.scalar``): their SQL is made there from what was checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from materialization.compute.questions import Evaluated
from materialization.errors import without_private_paths
from registry.spec.scalar.kinds import MACROS, engine_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from materialization.compute.questions import Expression, Trial

_ROWS = "__rows"
#: Both would leave out, or bring forward, operations that have no result in some row.
_EXACT = "expression_rewriter,common_subexpressions"
#: What an operation without a result raises.
_NO_RESULT = (duckdb.OutOfRangeException, duckdb.ConversionException, duckdb.InvalidInputException)


def evaluate(
    session: duckdb.DuckDBPyConnection, rows: pa.Table, expressions: Sequence[Expression]
) -> list[Evaluated]:
    """Compute each expression for each row, in their order."""
    session.execute("SET preserve_insertion_order = true")
    session.execute(f"SET disabled_optimizers = '{_EXACT}'")
    session.register(_ROWS, rows)
    _use_macros(session, exact=False)
    found: list[Evaluated | None] = [_tried(session, each) for each in expressions]
    if None in found:
        _use_macros(session, exact=True)
    return [
        done or Evaluated(_values(session, each), is_lacking=True)
        for done, each in zip(found, expressions, strict=True)
    ]


def _tried(session: duckdb.DuckDBPyConnection, expression: Expression) -> Evaluated | None:
    try:
        return Evaluated(_values(session, expression), is_lacking=False)
    except _NO_RESULT:
        return None


def _values(session: duckdb.DuckDBPyConnection, expression: Expression) -> pa.ChunkedArray:
    inputs = ", ".join(f"{name} AS i{place}" for place, name in enumerate(expression.columns))
    sql = f"SELECT {expression.sql} AS value FROM (SELECT {inputs} FROM {_ROWS})"  # noqa: S608 - made, not written
    return session.sql(sql).to_arrow_table()["value"]


def refused(session: duckdb.DuckDBPyConnection, trials: Sequence[Trial]) -> list[str | None]:
    """Return what is said against each expression, tried on a row of nulls, in both ways."""
    return [_refusal(session, each) for each in trials]


def _refusal(session: duckdb.DuckDBPyConnection, trial: Trial) -> str | None:
    nulls = (f"CAST(NULL AS {engine_type(kind)}) AS i{n}" for n, kind in enumerate(trial.kinds))
    sql = f"SELECT {trial.sql} AS value FROM (SELECT {', '.join(nulls) or '1'})"  # noqa: S608 - as above
    for exact in (False, True):
        _use_macros(session, exact=exact)
        try:
            session.sql(sql).fetchall()
        except _NO_RESULT:
            continue
        except duckdb.Error as exc:
            return without_private_paths(str(exc).strip().partition("\n")[0])
    return None


def _use_macros(session: duckdb.DuckDBPyConnection, *, exact: bool) -> None:
    for name, raising, null in MACROS:
        session.execute(f"CREATE OR REPLACE TEMP MACRO {name} AS {null if exact else raising}")
