# ruff: noqa: S608 - only names of our own stages are written into the SQL
"""What stages share while they run on a connection, those of ticks (``run``) and of instants.

Not for their SQL (``stages``, ``states``).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from materialization.transforms.aggregation import stages
from materialization.transforms.aggregation.exact_squares import SPREAD, spread
from materialization.transforms.aggregation.exact_sums import (
    Found,
    bins_sql,
    extent_sql,
    numbered_bins,
    one_bin,
    whole_bin,
)
from materialization.transforms.aggregation.rounding import EXACTLY, exactly

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    import duckdb
    from numpy.typing import NDArray

    from materialization.transforms.aggregation.aggregates import Aggregates
    from materialization.transforms.aggregation.tick_grid import TickGrid

#: Aggregates that are computed together.
_AT_ONCE = 16


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the connection know our functions; it has to be closed before the process ends."""
    known = "SELECT 1 FROM duckdb_functions() WHERE function_name = ?"
    if connection.execute(known, [EXACTLY]).fetchall():
        return
    connection.create_function(
        EXACTLY, exactly, ["HUGEINT[]", "INTEGER[]", "INTEGER", "HUGEINT"], "DOUBLE"
    )
    totals = ["HUGEINT[]", "INTEGER[]", "HUGEINT[]", "INTEGER[]"]
    connection.create_function(SPREAD, spread, [*totals, "INTEGER", "HUGEINT", "BOOLEAN"], "DOUBLE")


def create(connection: duckdb.DuckDBPyConnection, name: str, sql: str) -> None:
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}")


def create_ticks(
    connection: duckdb.DuckDBPyConnection, grid: TickGrid, ttl: timedelta | None
) -> None:
    """Create what says of uneven ticks when they are, and which follows for the TTL's sake."""
    if grid.period is not None:
        return
    _create_from(connection, "ticks", t=grid.listed, i=np.arange(len(grid.listed)))
    if ttl is not None:
        _create_from(connection, "hops", i=np.arange(grid.count), j=grid.hops(ttl))


def _create_from(
    connection: duckdb.DuckDBPyConnection, name: str, **columns: NDArray[np.int64]
) -> None:
    connection.register("given", pa.table(columns))
    create(connection, name, "SELECT * FROM given")
    connection.unregister("given")


def number_of(connection: duckdb.DuckDBPyConnection, sql: str) -> int | None:
    number: int | None = connection.execute(sql).fetchall()[0][0]
    return number


def by_slice(connection: duckdb.DuckDBPyConnection, numbered: str, slices: int) -> list[str]:
    """Return where the rows of each slice of the keys are.

    Of several slices the rows are put beside each other, so that each reads its own and not all.
    ``numbered`` is where they are, with ``kid``.
    """
    if slices == 1:
        return [numbered]
    sql = f"SELECT *, kid % {slices} AS slice FROM {numbered} ORDER BY slice"
    create(connection, "sliced", sql)
    return [f"(SELECT * FROM sliced WHERE slice = {number})" for number in range(slices)]


def aggregates_of(
    connection: duckdb.DuckDBPyConnection,
    aggregates: Aggregates,
    running: Callable[[Aggregates], str],
) -> str:
    """Return the query of the aggregates at each candidate, of the totals of ``running``."""

    def values(part: Aggregates) -> str:
        create(connection, "running", running(part))
        parts = []
        for calls in part.by_kind():
            last = None
            for last, sql in calls[0][1].tables(calls, partial(number_of, connection)):
                create(connection, last, sql)
            parts += [last] if last else []
        return stages.values_sql(part, parts)

    return by_parts(connection, aggregates, values)


def by_parts(
    connection: duckdb.DuckDBPyConnection,
    aggregates: Aggregates,
    values: Callable[[Aggregates], str],
) -> str:
    """Return the query of the aggregates at each candidate; ``values`` gives that of a part.

    Of many aggregates a part is computed at a time: what a query of all of them costs before it
    has read a row grows faster than their number.
    """
    parts = aggregates.in_parts(_AT_ONCE) or [aggregates]
    if len(parts) == 1:
        return values(aggregates)
    for number, part in enumerate(parts):
        create(connection, f"values_{number}", values(part))
    others = "".join(f" JOIN values_{number} USING (kid, i)" for number in range(1, len(parts)))
    return f"SELECT * FROM values_0{others}"


def facts_of(connection: duckdb.DuckDBPyConnection, aggregates: Aggregates) -> dict[int, Found]:
    """Look once at the numbers to be added: how large they are decides how they are split."""
    facts = {}
    for number in aggregates.split_arguments:
        of_doubles = aggregates.arguments[number].type == "DOUBLE"
        facts[number] = (_of_doubles if of_doubles else _of_wholes)(connection, f"a{number}")
    return facts


def _of_doubles(connection: duckdb.DuckDBPyConnection, value: str) -> Found:
    count, least, greatest, non_finite = _asked(connection, extent_sql(value))
    bins = one_bin(count, least, greatest)
    if bins is None:
        (numbers,) = _asked(connection, bins_sql(value))
        bins = numbered_bins(numbers)
    return Found(bins, non_finite)


def _of_wholes(connection: duckdb.DuckDBPyConnection, value: str) -> Found:
    (greatest,) = _asked(connection, f"max(abs({value}))")
    return Found(whole_bin(greatest), non_finite=False)


def _asked(connection: duckdb.DuckDBPyConnection, aggregates: str) -> tuple[Any, ...]:
    row: tuple[Any, ...] = connection.execute(f"SELECT {aggregates} FROM raw").fetchall()[0]
    return row
