# ruff: noqa: S608 - names are quoted by sql_text, conditions are written anew
"""Whether a version's checks mean anything to the engine: asked before there is a row.

Not for counting rows (``quality.checking``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from lib.sql_text import identifier
from materialization.quality.row_checks import row_checks
from materialization.stores.columns import stored_types
from registry.spec.row_sql import columns_of
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from materialization.quality.row_checks import RowCheck
    from materialization.transforms.rows import Path
    from registry.spec.version_spec import VersionSpec


def check_problems(
    connection: duckdb.DuckDBPyConnection, spec: VersionSpec
) -> Iterator[tuple[Path, str]]:
    """Yield what is wrong with expressions: the regexes of features, the view's conditions."""
    types = {name: parse_type(said).duckdb for name, said in stored_types(spec).items()}
    nulls = ", ".join(f"NULL::{kind} AS {identifier(name)}" for name, kind in types.items())
    known = {name.lower() for name in types}
    for check in row_checks(spec):
        if check.check == "regex" or not check.feature:
            if not check.feature and not known.issuperset(map(str.lower, columns_of(check.asked))):
                continue  # the registry says which column there is not
            if problem := _problem(connection, check, f"(SELECT {nulls})"):
                yield check.path, problem


def _problem(connection: duckdb.DuckDBPyConnection, check: RowCheck, rows: str) -> str | None:
    """Evaluate the check on a row of nulls: it binds, and a regex is read, without any value."""
    whole = check.failing if check.feature else f"({check.asked})"
    try:
        ((kind, _),) = connection.execute(f"SELECT typeof({whole}), {whole} FROM {rows}").fetchall()
    except duckdb.Error as exc:
        said = str(exc).partition("\n")[0].partition(": ")[2][:300]
        if check.feature:
            return f"{check.asked.partition(' ')[2][:200]!r} is no regex of RE2: {said}."
        return f"it cannot be evaluated: {said}"
    if kind != "BOOLEAN":
        return f"it gives a {kind}; write what is true or false of a row, as in amount >= 0."
    return None
