# ruff: noqa: S608 - users' SQL was checked and written anew by registry.spec.row_sql
"""Views with a SELECT of their own: row by row, over the source and nothing else.

Not for what a SELECT may hold: ``registry.spec.row_sql`` checks that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from lib.sql_text import identifier
from materialization.errors import RowSqlRefused
from materialization.transforms.columns import ColumnsKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from registry.spec.version_spec import VersionSpec


class RowSqlKind(ColumnsKind):
    """As columns are taken, but from what the view's SELECT gives."""

    def relation(self, spec: VersionSpec, reader: str, beside: Sequence[str] = ()) -> str:
        sql = str(spec.view.sql)
        refuse_other_than_select(sql)
        return f"(WITH {identifier(spec.rows_from.name)} AS (SELECT * FROM {reader})\n{sql}\n)"


def refuse_other_than_expression(sql: str) -> None:
    """Stop what is no part of one SELECT, as ``refuse_other_than_select`` does.

    :raises RowSqlRefused: for several statements.
    """
    refuse_other_than_select(f"SELECT (\n{sql}\n)")


def refuse_other_than_select(sql: str) -> None:
    """Stop anything but one SELECT: with COPY the files that may be read could be written.

    :raises RowSqlRefused: for several statements, or one of another kind.
    """
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as exc:
        raise RowSqlRefused(f"sql cannot be parsed: {str(exc).splitlines()[0]}") from exc
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise RowSqlRefused("sql: only one SELECT is run, and nothing beside it.")
