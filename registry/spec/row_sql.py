"""The row-wise SELECT a view may have: parsed, checked against an allow-list, written anew. [pure]

Not for running it. What users wrote never reaches an engine: only the text generated from the
checked tree does.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, SqlglotError, TokenError

from lib.errors import Invalid
from registry.spec.dialect import DIALECT
from registry.spec.sql_functions import (
    BARE_FUNCTIONS,
    FUNCTIONS,
    LIST_AGGREGATES,
    NAMED_FUNCTIONS,
    ORDERLESS,
    ORDERLESS_NAMED,
    SYNTAX,
    UNORDERED,
)
from registry.spec.sql_growth import growth_problem, replacement_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

#: The parts a SELECT may have; what else it has (``LIMIT``, ``JOIN``, …) looks beyond one row.
CLAUSES = {"expressions", "from_", "where"}
#: What is written otherwise than the parser calls it.
WRITTEN = {"group": "GROUP BY", "order": "ORDER BY", "joins": "JOIN"}
#: Far beyond any definition; keeps a hostile text from costing more than it should.
MAX_LENGTH = 20_000
#: Texts of which it is kept what they read: each row that comes alone asks for that anew.
_KEPT = 256
#: Some malformed texts the parser meets with an error it did not mean, ``{:}`` for instance.
PARSER_ERRORS = (SqlglotError, AttributeError, TypeError, ValueError, LookupError)


#: What an expression is checked as: a column of this name, over a source of that.
_VALUE, _INPUTS = "value__", "inputs__"


class BadSql(Invalid):
    code = "invalid_sql"


def check_row_sql(sql: str, *, source: str) -> str:
    """Return the canonical text of one row-wise SELECT over ``source``.

    :raises BadSql: for anything but projection, filter and scalar functions, naming what and why.
    """
    if len(sql) > MAX_LENGTH:
        raise BadSql(f"{len(sql)} characters; at most {MAX_LENGTH}.")
    canonical = _canonical(sql, source)
    if _canonical(canonical, source) != canonical:
        raise BadSql(f"it reads differently once written anew: {canonical[:200]!r}; write it so.")
    return canonical


def check_expression(sql: str) -> str:
    """Return the canonical text of one scalar expression, by the rules of ``check_row_sql``.

    :raises BadSql: for anything else, naming what and why.
    """
    return _expression(sql).sql(dialect=DIALECT, comments=False)


def columns_of(sql: str) -> list[str]:
    """Return the names an expression that was checked uses, in order, each once."""
    found = (column.name for column in _expression(sql).find_all(exp.Column))
    return list(dict.fromkeys(found))


@lru_cache(maxsize=_KEPT)
def columns_under(condition: str) -> tuple[str, ...]:
    """Return the columns of a source that a checked condition over its rows names, each once.

    A struct's field is written as a table's column is, and there is no table: it is the struct's.
    """
    found = (column.parts[0].name for column in _expression(condition).find_all(exp.Column))
    return tuple(dict.fromkeys(found))


@lru_cache(maxsize=_KEPT)
def columns_read(sql: str) -> tuple[str, ...] | None:
    """Return the columns of the source that a checked SELECT names, as written; None: all (``*``).

    A name that the SELECT gives itself may be among them, where a later expression uses it again.

    :raises BadSql: it is no SELECT after all.
    """
    select = select_of(sql)
    if any(isinstance(each, exp.Star) for each in select.find_all(exp.Star)):
        return None
    return tuple(dict.fromkeys(path[0] for path in paths_named(select)))


def paths_named(select: exp.Select) -> Iterator[list[str]]:
    """Yield each column that is named, from the source's column on, with the fields in it."""
    tables = tables_of(select)
    for column in select.find_all(exp.Column):
        path = [part.name for part in column.parts]
        # A struct's field is written as a table's column is; then the first name is the column.
        yield path[1:] if len(path) > 1 and path[0].lower() in tables else path


def tables_of(select: exp.Select) -> set[str]:
    """Return what a SELECT calls its source, in small letters."""
    return {table.alias_or_name.lower() for table in select.find_all(exp.Table)}


def names_given(sql: str) -> frozenset[str]:
    """Return the names that a checked SELECT gives its own columns.

    :raises BadSql: as ``columns_read``.
    """
    return frozenset(each.alias_or_name for each in select_of(sql).expressions)


def names_used_again(sql: str) -> frozenset[str]:
    """Return the names that a checked SELECT gives to something else, and uses itself.

    A column of the source goes before: which of both is meant, only who has the source can say.

    :raises BadSql: as ``columns_read``.
    """
    select = select_of(sql)
    given = {each.alias for each in select.expressions if each.alias}
    return frozenset(given & {path[0] for path in paths_named(select)})


def laid_out(sql: str) -> str:
    """Return SQL that was checked, SELECT or expression, on lines and indented, for reading."""
    try:
        return sqlglot.parse_one(sql, read=DIALECT).sql(dialect=DIALECT, pretty=True)
    except (RecursionError, *PARSER_ERRORS):
        return sql


def select_of(sql: str) -> exp.Select:
    """Return the tree of a SELECT that was checked.

    :raises BadSql: it is no SELECT after all.
    """
    try:
        return _one_select(sql)
    except (RecursionError, *PARSER_ERRORS) as exc:
        raise BadSql("it cannot be parsed.") from exc


def _expression(sql: str) -> exp.Expr:
    """Check it as the one column of a SELECT, in brackets and on lines that it cannot leave."""
    text = f"SELECT (\n{sql}\n) AS {_VALUE} FROM {_INPUTS}"  # noqa: S608 - checked in the next line
    try:
        checked = check_row_sql(text, source=_INPUTS)
    except BadSql as exc:
        if isinstance(exc.__cause__, ParseError):
            why = parse_reason(exc.__cause__, inside=sql)
            raise BadSql(f"it cannot be parsed: {why}") from exc.__cause__
        raise
    columns = _one_select(checked).expressions
    inside = columns[0].this.unnest()
    is_one = len(columns) == 1 and isinstance(columns[0].this, exp.Paren)
    if not is_one or isinstance(inside, exp.Tuple):
        raise BadSql("write one scalar expression, as in a / nullif(b, 0).")
    expression: exp.Expr = inside
    return expression


def _canonical(sql: str, source: str) -> str:
    try:
        return _checked(_one_select(sql), source).sql(dialect=DIALECT, comments=False)
    except RecursionError as exc:
        raise BadSql("it is nested too deeply.") from exc
    except PARSER_ERRORS as exc:
        raise BadSql(f"it cannot be parsed: {parse_reason(exc)}") from exc


def parse_reason(error: Exception, inside: str | None = None) -> str:
    """Return where the parser stopped and why, without the names of its classes.

    ``inside`` is the expression that was put on lines of its own, from the second on: the place is
    then one in it, as its author wrote it.
    """
    found = error.errors[0] if isinstance(error, ParseError) and error.errors else {}
    if "line" in found:
        said = str(found["description"]).partition(" / ")[0]
        why = "something is missing" if "<" in said else said[:1].lower() + said[1:]
        return f"{why} {_place(found, inside)}."
    return (
        "a quote or comment is not closed." if isinstance(error, TokenError) else "it is malformed."
    )


def _place(found: Mapping[str, Any], inside: str | None) -> str:
    near, line, column = f"near {found['highlight'][:80]!r}", found["line"], found["col"]
    if inside is None:
        return f"{near}, line {line}, column {column}"
    lines = inside.count("\n") + 1
    if line - 1 > lines:
        return "at its end"
    return f"{near}, column {column}" if lines == 1 else f"{near}, line {line - 1}, column {column}"


def _one_select(sql: str) -> exp.Select:
    statements = sqlglot.parse(sql, read=DIALECT)
    if len(statements) != 1 or not isinstance(statements[0], exp.Select):
        raise BadSql("write exactly one SELECT over the source.")
    return statements[0]


def _checked(select: exp.Select, source: str) -> exp.Select:
    if extra := {name for name, given in select.args.items() if given} - CLAUSES:
        names = sorted(WRITTEN.get(name, name.strip("_").upper()) for name in extra)
        verb = "is" if len(names) == 1 else "are"
        raise BadSql(f"{', '.join(names)} {verb} not row-wise; write projection and filter only.")
    for node in select.walk():
        if why := _refusal(node) or growth_problem(node) or replacement_problem(node):
            raise BadSql(f"{node.sql(dialect=DIALECT)[:80]!r} {why}")
    _check_tables(select, source)
    _check_columns(select)
    for projection in select.expressions:
        if not projection.alias_or_name:
            raise BadSql(f"give {projection.sql(dialect=DIALECT)[:80]!r} a name with AS.")
    return select


def _refusal(node: exp.Expr) -> str | None:
    """Return why a node may not be there; None when it may."""
    if isinstance(node, (exp.AggFunc, exp.Window)):
        return "looks at several rows; sql is row-wise, use `aggregations` for windows."
    if isinstance(node, exp.Collate):
        return "compares by a language, whose order the engine may change; compare lower(…)."
    if _is_unordered(node) and not _is_orderless(node.parent):
        return "gives values in no order; put it in list_sort(…) or len(…)."
    if isinstance(node, exp.Anonymous):
        return _named_refusal(node)
    if isinstance(node, SYNTAX) or type(node) in FUNCTIONS:
        return None
    if isinstance(node, exp.Func):
        return "is not on the list of allowed scalar functions."
    return "is not allowed; only projection, filter and scalar functions are."


def _named_refusal(node: exp.Anonymous) -> str | None:
    if node.name.lower() == "hash":
        return "gives other values after an upgrade of the engine; write md5(…) or sha256(…)."
    if node.name.lower() not in NAMED_FUNCTIONS:
        return "is not on the list of allowed scalar functions."
    if node.name.lower() != "list_aggregate":
        return None
    chosen = node.expressions[1] if len(node.expressions) == 2 else None
    if isinstance(chosen, exp.Literal) and str(chosen.this) in LIST_AGGREGATES:
        return None
    return f"aggregates a list by one of {', '.join(sorted(LIST_AGGREGATES))}, written out."


def _is_unordered(node: exp.Expr) -> bool:
    is_named = isinstance(node, exp.Anonymous) and node.name.lower() in UNORDERED
    return is_named or isinstance(node, exp.ArrayDistinct)


def _is_orderless(node: exp.Expr | None) -> bool:
    is_named = isinstance(node, exp.Anonymous) and node.name.lower() in ORDERLESS_NAMED
    return is_named or isinstance(node, ORDERLESS)


def _check_tables(select: exp.Select, source: str) -> None:
    tables = list(select.find_all(exp.Table))
    if len(tables) != 1 or len(list(select.find_all(exp.Select))) != 1:
        raise BadSql(f"read FROM {source} and from nothing else.")
    table = tables[0]
    if table.name != source or table.args.get("db") or not isinstance(table.this, exp.Identifier):
        text = table.sql(dialect=DIALECT)
        raise BadSql(f"FROM {text!r}: the only table is the source, {source!r}.")


def _check_columns(select: exp.Select) -> None:
    """Refuse bare names that turn into functions where the source has no such column."""
    (table,) = select.find_all(exp.Table)
    for column in select.find_all(exp.Column):
        if not column.table and column.name.lower() in BARE_FUNCTIONS:
            meant = exp.column(column.name, table=table.alias_or_name, quoted=True)
            raise BadSql(
                f"{column.name!r} alone is a function of the moment or the server where the"
                f" source has no such column; write {meant.sql(dialect=DIALECT)} for the column."
            )
