"""A compiled expression as SQL of its source's columns, without macros of ours. [pure]

Not for training sets: those have the macros (``kinds.MACROS``). What is stored as rows arrive is
computed by this text, by the same casts, so that it is what the request would be answered with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

from registry.spec.dialect import DIALECT
from registry.spec.scalar.compiling import compiled, kinds_of
from registry.spec.scalar.kinds import MACROS, Untyped, engine_type
from registry.spec.scalar.sizes import MOST_PARTS
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Of what is declared in other types than it is computed in.
_NARROW = {"int32": "INTEGER", "float32": "FLOAT"}
_TOO_DEEP = (
    "it is nested too deeply to be written as rows arrive, where each operation stands in brackets:"
    " some 35 in one another (a sum of 36), fewer where the engine looks at one repeatedly, as for"
    " times. Split the feature, or put brackets in the middle: (a + b) + (c + d)."
)


def plain_sql(
    sql: str, *, inputs: Mapping[str, str], declared: str, null_without_result: bool = False
) -> str:
    """Return an expression as SQL of columns named as ``inputs`` are, of the type that is declared.

    An operation without a result is an error of the engine in it, or null.

    :raises Untyped: it cannot be computed alike in both forms, or becomes too large; says what.
    """
    text = compiled(sql, inputs=inputs, declared=declared).sql
    columns = {
        f"i{place}": _cast(exp.column(name, quoted=True), engine_type(kind), inputs[name])
        for place, (name, kind) in enumerate(zip(inputs, kinds_of(inputs), strict=False))
    }
    try:
        tree = sqlglot.parse_one(text, read=DIALECT)
        made = _Writer(_NULLS if null_without_result else _ERRORS).made(tree, columns)
        if (narrow := _declared(declared)) is not None:
            made = exp.cast(made, narrow)
        return made.sql(dialect=DIALECT)
    except RecursionError as exc:
        raise Untyped(_TOO_DEEP) from exc


def _cast(column: exp.Expr, kind: str, declared: str) -> exp.Expr:
    """Return a column as it is computed with; one that is of that type needs no cast."""
    is_wider = declared in _NARROW or parse_type(declared).kind == "decimal"
    return exp.cast(column, kind) if is_wider else column


def _declared(declared: str) -> str | None:
    return declared.upper() if parse_type(declared).kind == "decimal" else _NARROW.get(declared)


class _Writer:
    """Writes macros out, and counts what they repeat: each in another multiplies it."""

    def __init__(self, bodies: Mapping[str, tuple[list[str], exp.Expr]]) -> None:
        self._bodies, self._parts = bodies, 0

    def made(self, node: exp.Expr, given: Mapping[str, exp.Expr]) -> exp.Expr:
        """Put in columns, or arguments, by their names, and what macros say in place of them."""

        def one(each: exp.Expr) -> exp.Expr:
            if isinstance(each, exp.Column) and each.name in given:
                return given[each.name].copy()
            if isinstance(each, exp.Anonymous) and each.name in self._bodies:
                return self._written_out(each, given)
            return each

        return node.transform(one)

    def _written_out(self, call: exp.Anonymous, given: Mapping[str, exp.Expr]) -> exp.Expr:
        names, body = self._bodies[call.name]
        parts = [self.made(part, given) for part in call.expressions]
        if sum(1 for _ in body.find_all(exp.Column)) > len(names):
            self._parts += sum(1 for part in parts for _ in part.walk())
        if self._parts > MOST_PARTS:
            raise Untyped(_TOO_DEEP)
        return self.made(body, dict(zip(names, parts, strict=True)))


def _macro(head: str, body: str) -> tuple[str, tuple[list[str], exp.Expr]]:
    name, _, names = head.rstrip(")").partition("(")
    for error, failing in _FAILING.items():
        body = body.replace(error, failing)
    return name, (names.split(", "), _bracketed(sqlglot.parse_one(body, read=DIALECT)))


def _bracketed(body: exp.Expr) -> exp.Expr:
    """Return it in brackets, but what stands as one anyway: a parser goes deep into each pair."""
    return (
        body
        if isinstance(body, (exp.Func, exp.Case)) and not isinstance(body, exp.Binary)
        else exp.paren(body)
    )


#: A view's SQL may call no ``error``: these fail by a cast that nothing else comes to.
_FAILING = {
    "error('out of range')": "CAST('out of range: ' || CAST(a AS VARCHAR) AS TINYINT)",
    "error('too long')": "CAST(CAST('a text too long: ' || length(a) AS TINYINT) AS VARCHAR)",
    "error('no such time')": (
        "CAST('no such time: ' || CAST(a AS VARCHAR) AS TIMESTAMP WITH TIME ZONE)"
    ),
}
#: Macros by name: what their arguments are called, and what they say of them, in either way.
_ERRORS = dict(_macro(head, raising) for head, raising, _ in MACROS)
_NULLS = dict(_macro(head, null) for head, _, null in MACROS)
