"""The SELECT that a source of another database may be: parsed, checked, written anew. [pure]

Unlike a view's ``sql`` it may join, group and sort: it runs on that server, under the rights of the
connection's user and in a transaction that can change nothing. This is the first lock, that one the
second. Not for running it. What users wrote never reaches a server, only the text generated from
the checked tree does.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

from registry.spec.row_sql import MAX_LENGTH, PARSER_ERRORS, BadSql, parse_reason
from registry.spec.sql_functions import BARE_FUNCTIONS, FUNCTIONS, SYNTAX

if TYPE_CHECKING:
    from collections.abc import Iterator

DIALECT = "postgres"
_CLAUSES: tuple[type[exp.Expr], ...] = (
    *SYNTAX, exp.With, exp.CTE, exp.Subquery, exp.SetOperation, exp.Join, exp.Group, exp.Having,
    exp.Order, exp.Ordered, exp.Distinct, exp.Limit, exp.Offset, exp.Lateral, exp.Exists, exp.Any,
    exp.Filter, exp.Window, exp.WindowSpec, exp.WithinGroup, exp.Values, exp.JSONExtract,
    exp.JSONExtractScalar, exp.JSONBExtract, exp.JSONBExtractScalar, exp.JSONBContains, exp.Paren,
    exp.Array, exp.DataType, exp.All, exp.Cube, exp.Rollup, exp.GroupingSets, exp.TableColumn,
    exp.CastToStrType, exp.JSONCast, exp.AggFunc, exp.Dot,
)  # fmt: skip
#: Functions of the parser's that are PostgreSQL's as well, and safe there.
_FUNCTIONS: frozenset[type[exp.Expr]] = FUNCTIONS | {
    exp.TsOrDsToTimestamp, exp.StrToDate, exp.DateTrunc, exp.UnixToTime, exp.Initcap, exp.Stuff,
    exp.RegexpLike, exp.RegexpILike, exp.Pow, exp.GenerateSeries, exp.Unnest, exp.Explode,
    exp.RowNumber, exp.Rank, exp.DenseRank, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue,
    exp.NthValue, exp.Ntile, exp.PercentRank, exp.CumeDist, exp.Date, exp.MakeInterval,
}  # fmt: skip
#: PostgreSQL's functions the parser knows by name only: they read nothing but their arguments.
_NAMED = frozenset({
    "age", "array_length", "array_position", "array_remove", "bool_and", "bool_or", "btrim",
    "cardinality", "char_length", "date_part", "date_trunc", "div", "isfinite",
    "json_array_length", "json_build_object", "json_typeof", "jsonb_array_length",
    "jsonb_build_object", "jsonb_typeof", "justify_days", "justify_hours", "ltrim", "make_date",
    "make_timestamp", "make_timestamptz", "mod", "num_nonnulls", "num_nulls", "octet_length",
    "quote_literal", "regexp_matches", "rtrim", "starts_with", "string_to_array", "timezone",
    "to_char", "to_date", "to_hex", "to_number", "to_timestamp", "trim_array", "width_bucket",
})  # fmt: skip
#: Of the server itself, as is whatever begins with ``pg_``: what others ask there, its settings.
_OWN_SCHEMA = "information_schema"
#: Types whose values the server writes as names out of its own catalog: of tables, of users.
_OWN_TYPES = frozenset({
    "regclass", "regcollation", "regconfig", "regdictionary", "regnamespace", "regoper",
    "regoperator", "regproc", "regprocedure", "regrole", "regtype",
})  # fmt: skip
#: Names that are functions of the server's where they stand alone and without quotes.
_BARE_FUNCTIONS = BARE_FUNCTIONS | {"system_user"}
#: Texts that are the clock where a time is meant.
_CLOCK = frozenset({"now", "today", "tomorrow", "yesterday"})
_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.In)


def check_query(sql: str) -> str:
    """Return the canonical text of one SELECT that may run on a PostgreSQL server.

    :raises BadSql: for anything else, naming what and why.
    """
    if len(sql) > MAX_LENGTH:
        raise BadSql(f"{len(sql)} characters; at most {MAX_LENGTH}.")
    canonical = _canonical(sql)
    if _canonical(canonical) != canonical:
        raise BadSql(f"it reads differently once written anew: {canonical[:200]!r}; write it so.")
    return canonical


def check_table(name: str) -> str:
    """Return a table's name, with or without its schema, as it is written in a query.

    :raises BadSql: it is none of data.
    """
    *schema, table = (exp.to_identifier(part, quoted=True) for part in name.split("."))
    node = exp.Table(this=table, db=schema[0] if schema else None)
    if why := _table_refusal(node):
        raise BadSql(f"{name[:80]!r} {why}")
    return node.sql(dialect=DIALECT)


def tables_named(sql: str) -> tuple[str, ...]:
    """Return the tables that a checked SELECT reads, by their names as written; CTEs aside."""
    tree = _one_select(sql)
    own = {cte.alias for cte in tree.find_all(exp.CTE)}
    named = (table for table in tree.find_all(exp.Table) if table.db or table.name not in own)
    found = (table.sql(dialect=DIALECT) for table in map(_bare, named))
    return tuple(dict.fromkeys(found))


def _bare(table: exp.Table) -> exp.Table:
    return exp.Table(this=table.this, db=table.args.get("db"))


def _canonical(sql: str) -> str:
    try:
        return _checked(_one_select(sql)).sql(dialect=DIALECT, comments=False)
    except RecursionError as exc:
        raise BadSql("it is nested too deeply.") from exc
    except PARSER_ERRORS as exc:
        raise BadSql(f"it cannot be parsed: {parse_reason(exc)}") from exc


def _one_select(sql: str) -> exp.Query:
    statements = sqlglot.parse(sql, read=DIALECT)
    if len(statements) != 1 or not isinstance(statements[0], (exp.Select, exp.SetOperation)):
        raise BadSql("write exactly one SELECT.")
    return statements[0]


def _checked(tree: exp.Query) -> exp.Query:
    for node in tree.walk():
        if why := _refusal(node):
            raise BadSql(f"{node.sql(dialect=DIALECT)[:80]!r} {why}")
    return tree


def _refusal(node: exp.Expr) -> str | None:
    """Return why a node may not be there; None when it may."""
    if isinstance(node, exp.Select) and (node.args.get("into") or node.args.get("locks")):
        return "changes or locks what it reads; write a SELECT alone."
    if isinstance(node, exp.Table):
        return _table_refusal(node)
    if isinstance(node, exp.Column) and not node.table and _is_bare_function(node.this):
        return _BARE
    if isinstance(node, exp.DataType) and _OWN_TYPES & set(_words(node.sql(dialect=DIALECT))):
        return "makes names of the server's own catalog; read tables of data only."
    if isinstance(node, exp.Literal) and node.is_string and _is_clock(node):
        return "is the clock where a time is meant; write the time, or cast the word to text."
    if isinstance(node, exp.Anonymous):
        is_known = node.name.lower() in _NAMED and not isinstance(node.parent, exp.Dot)
        return None if is_known else "is not on the list of allowed functions."
    if isinstance(node, exp.Func) and type(node) not in _FUNCTIONS:
        is_known = isinstance(node, _CLAUSES) and not isinstance(node.parent, exp.Dot)
        return None if is_known else "is not on the list of allowed functions."
    if isinstance(node, _CLAUSES) or type(node) in _FUNCTIONS:
        return None
    return "is not allowed here."


_BARE = "alone is a function of the server; write it in quotes for a name of your own."


def _is_bare_function(name: exp.Expr) -> bool:
    is_bare = isinstance(name, exp.Identifier) and not name.quoted
    return is_bare and name.name.lower() in _BARE_FUNCTIONS


def _is_clock(text: exp.Literal) -> bool:
    """Return whether the server reads a text as a time that is another one each time."""
    words = _words(text.name)
    casts = [each.to for each in _casts_of(text)]
    if any(to.is_type(*exp.DataType.TEMPORAL_TYPES) for to in casts):
        return not _CLOCK.isdisjoint(words)
    is_compared = isinstance(text.parent, _COMPARISONS)
    return is_compared and len(words) == 1 and words[0] in _CLOCK


def _casts_of(node: exp.Expr) -> Iterator[exp.Cast]:
    while isinstance(node.parent, (exp.Cast, exp.Paren)):
        node = node.parent
        if isinstance(node, exp.Cast):
            yield node


def _words(text: str) -> list[str]:
    return re.findall("[a-z]+", text.lower())


def _table_refusal(table: exp.Table) -> str | None:
    if table.args.get("catalog"):
        return "names another database; name a table as in sales.purchases."
    if not isinstance(table.this, exp.Identifier):
        return None if isinstance(table.this, exp.Func) else "is no table."
    if not table.db and _is_bare_function(table.this):
        return _BARE
    schema, name = table.db.lower(), table.name.lower()
    if schema == _OWN_SCHEMA or schema.startswith("pg_") or name.startswith("pg_"):
        return "is the server's own; read tables of data only."
    return None
