"""Which columns of joined sources a checked SELECT names. [pure]

Not for what a SELECT may hold: ``row_sql`` checks that. A joined source is reached by its name, as
if it were a struct of the view's source: ``products.category``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sqlglot import exp

from registry.spec.row_sql import BadSql, paths_named, select_of

if TYPE_CHECKING:
    from collections.abc import Collection


def joined_columns(sql: str, names: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Return the columns that a checked SELECT names of each joined source, as written.

    :raises BadSql: it takes all of one, or cannot be told apart from the source's own columns.
    """
    return dict(_named(sql, tuple(names))) if names else {}


@lru_cache(maxsize=256)
def _named(sql: str, names: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    select = select_of(sql)
    if any(isinstance(each, exp.Star) for each in select.find_all(exp.Star)):
        raise BadSql("`*` does not say which columns of the joined sources it means; name each.")
    _refuse_hidden(select, names)
    found: dict[str, dict[str, None]] = {name: {} for name in names}
    for first, *rest in paths_named(select):
        name = next((each for each in names if each.lower() == first.lower()), None)
        if name is None:
            continue
        if first != name or not rest:
            raise BadSql(f"{first!r} is a joined source: write a column of it, as in {name}.id.")
        found[name].setdefault(rest[0])
    return tuple((name, tuple(columns)) for name, columns in found.items())


def _refuse_hidden(select: exp.Select, names: Collection[str]) -> None:
    """Refuse what would be read unseen, or taken for something else.

    :raises BadSql: a whole row; or the source, or a column, is called as a joined source is.
    """
    given = [each.alias_or_name for each in (*select.find_all(exp.Table), *select.expressions)]
    tables = {table.alias_or_name.lower() for table in select.find_all(exp.Table)}
    for column in select.find_all(exp.Column):
        if len(column.parts) == 1 and column.name.lower() in tables:
            raise BadSql(f"{column.name!r} is a whole row, with all that is joined; name a column.")
    joined = {name.lower() for name in names}
    for name in given:
        if name.lower() in joined:
            raise BadSql(f"{name!r} is the name of a joined source; call the other one otherwise.")
