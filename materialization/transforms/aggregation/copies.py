# ruff: noqa: S608 - names go through identifier(), the rest are names of our own
"""How many rows of a source are copies of others: equal in every column, read by the view or not.

An aggregation counts each (docs/decisions/0032), so they are told of. Not for rows that stand
alone, which are stored once (``sandbox.repeats``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.sql_text import numbered
from materialization.transforms.aggregation.stages import typed_sql
from materialization.transforms.alike import alike
from materialization.transforms.base import base_casts, no_key_sql

if TYPE_CHECKING:
    from collections.abc import Mapping

    import duckdb

    from materialization.transforms.aggregation.aggregates import Aggregates
    from registry.spec.version_spec import VersionSpec

#: A row of the source, with all its columns.
_ROW = "__source_row"


def count_copies(
    connection: duckdb.DuckDBPyConnection,
    spec: VersionSpec,
    aggregates: Aggregates,
    columns: Mapping[str, str],
    *,
    relation: str,
    rows: int,
    raw: str = "",
    within: str = "TRUE",
) -> int:
    """Return how many of the source's rows could go so that each is there once.

    ``rows`` is how many there are at most; ``raw`` a table that has what the view reads of them,
    ``within`` the condition by which it took them. Whole rows are read only where some are equal in
    what the view reads.
    """
    if rows < 2:
        return 0
    read = typed_sql(base_casts(spec, columns), aggregates)
    keys = numbered("k", spec.join_keys).removeprefix(", ")
    hashed = f"hash({keys}, e, c{numbered('a', aggregates.arguments)})"
    usable = f"e IS NOT NULL AND NOT ({no_key_sql(spec)})"
    given = raw or f"(SELECT {read} FROM {relation})"
    found = alike(connection, f"SELECT {hashed} AS h FROM {given} WHERE {usable}", rows)
    if not found.num_rows:
        return 0
    whole = f"SELECT {read}, hash({_ROW}) AS r FROM {relation} AS {_ROW}"
    connection.register("suspected", found)
    ((copies,),) = connection.execute(
        "SELECT coalesce(sum(n - 1), 0)::BIGINT FROM (SELECT count(*) AS n FROM"
        f" (SELECT {hashed} AS h, r FROM ({whole}) WHERE {usable} AND {within})"
        " SEMI JOIN suspected USING (h) GROUP BY h, r)"
    ).fetchall()
    connection.unregister("suspected")
    return int(copies)


def copies_said(copies: int) -> str:
    rows = "1 row is a copy of another" if copies == 1 else f"{copies:,} rows are copies of others"
    return (
        f"{rows}, equal in every column of the source, and each counts, as a file that was"
        " delivered twice counts twice."
    )
