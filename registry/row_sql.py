"""The row-wise SELECT a view may have: parsed, checked against an allow-list, written anew. [pure]

Not for running it. What users wrote never reaches an engine: only the text generated from the
checked tree does.
"""

from __future__ import annotations

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from registry.errors import Invalid

#: Nodes a row-wise SELECT is made of. Everything not named is refused.
ALLOWED: tuple[type[exp.Expression], ...] = (
    exp.Select, exp.From, exp.Table, exp.TableAlias, exp.Where, exp.Alias, exp.Column, exp.Identifier, exp.Star,
    exp.Literal, exp.Boolean, exp.Null, exp.Paren, exp.Tuple, exp.Cast, exp.TryCast, exp.DataType, exp.DataTypeParam,
    exp.Case, exp.If, exp.Binary, exp.Unary, exp.Between, exp.In, exp.Is, exp.Interval, exp.Var, exp.Bracket,
    exp.Array, exp.Slice, exp.Extract, exp.AtTimeZone, exp.Func, exp.JSONPath, exp.JSONPathRoot,
    exp.JSONPathKey, exp.JSONPathSubscript,
)  # fmt: skip
REFUSED: tuple[type[exp.Expression], ...] = (
    exp.AggFunc,
    exp.Window,
    exp.Subquery,
    exp.Lambda,
    exp.UDTF,
)
#: Scalar functions sqlglot has no class of its own for. Nothing here reads files, settings, the
#: environment or the clock: a row must mean the same each time it is computed.
ANONYMOUS_FUNCTIONS = frozenset(
    ["strip_accents", "bar", "jaro_winkler_similarity", "jaccard", "hamming", "damerau_levenshtein", "list_value", "list_contains", "list_position", "list_sort", "list_distinct", "list_sum", "list_min", "list_max", "list_avg", "len", "array_length", "regexp_full_match", "isnan", "isinf", "isfinite", "json_valid", "json_array_length", "hash", "md5", "sha256", "bit_count", "greatest_common_divisor", "least_common_multiple", "nextafter", "even", "gamma", "lgamma", "haversine", "array_cosine_similarity", "list_cosine_similarity", "list_distance", "translate", "printf", "format"]
)
#: Beginnings of sqlglot's class names for functions that depend on the moment, on chance or on the
#: server, that read files, or that give several rows.
IMPURE = (
    "Current", "Session", "Rand", "Uuid", "Read", "Version", "Localtime", "Explode", "Posexplode",
    "Unnest", "Generate", "Sysdate", "SystemUser", "UtcTime", "UtcDate", "LastInsert", "Inline", "Load", "Columns",
)  # fmt: skip


class BadSql(Invalid):
    code = "invalid_sql"


def check_row_sql(sql: str, *, source: str) -> str:
    """Return the canonical text of one row-wise SELECT over ``source``.

    :raises BadSql: for anything but projection, filter and scalar functions, naming what and why.
    """
    select = _one_select(sql)
    if unexpected := {name for name, given in select.args.items() if given} - {
        "expressions",
        "from_",
        "where",
        "kind",
    }:
        raise BadSql(
            f"sql: {', '.join(sorted(unexpected)).upper().strip('_')} is not row-wise; only SELECT … FROM … WHERE is."
        )
    for node in select.walk():
        _check_node(node)
    _check_tables(select, source)
    for projection in select.expressions:
        if not projection.alias_or_name:
            raise BadSql(f"sql: give {projection.sql(dialect='duckdb')!r} a name with AS.")
    return select.sql(dialect="duckdb", comments=False)


def _one_select(sql: str) -> exp.Select:
    try:
        statements = sqlglot.parse(sql, read="duckdb")
    except (SqlglotError, RecursionError) as exc:
        raise BadSql(f"sql cannot be parsed: {str(exc).splitlines()[0]}") from exc
    if len(statements) != 1 or not isinstance(statements[0], exp.Select):
        raise BadSql("sql: write exactly one SELECT over the source.")
    return statements[0]


def _check_node(node: exp.Expression) -> None:
    text = node.sql(dialect="duckdb")[:80]
    if isinstance(node, (exp.AggFunc, exp.Window)):
        raise BadSql(
            f"sql: {text!r} looks at several rows; sql is row-wise, use `aggregations` for windows."
        )
    if type(node).__name__.startswith(IMPURE):
        raise BadSql(
            f"sql: {text!r} gives another value each time or reads elsewhere; it is not allowed."
        )
    if isinstance(node, exp.Anonymous) and node.name.lower() not in ANONYMOUS_FUNCTIONS:
        raise BadSql(f"sql: function {node.name!r} is not on the list of allowed scalar functions.")
    if isinstance(node, REFUSED) or not isinstance(node, ALLOWED):
        raise BadSql(
            f"sql: {text!r} is not allowed; only projection, filter and scalar functions are."
        )


def _check_tables(select: exp.Select, source: str) -> None:
    tables = list(select.find_all(exp.Table))
    if len(tables) != 1 or len(list(select.find_all(exp.Select))) != 1:
        raise BadSql(f"sql: read FROM {source} and from nothing else.")
    table = tables[0]
    if table.name != source or table.args.get("db") or not isinstance(table.this, exp.Identifier):
        raise BadSql(
            f"sql: FROM {table.sql(dialect='duckdb')!r}: the only table is the source, {source!r}."
        )
