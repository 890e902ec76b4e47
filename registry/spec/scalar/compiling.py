"""An expression as its author wrote it → both forms of it. [pure]

Not for what may be written at all (``row_sql``): this says what of that can be computed alike at
the request and in a training set, and refuses the rest by name.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from registry.spec.dialect import DIALECT
from registry.spec.scalar import functions, intervals, operators, text_functions, time_functions
from registry.spec.scalar.casts import cast_to, result
from registry.spec.scalar.conversions import fraction
from registry.spec.scalar.kinds import (
    BOOL,
    INSTANT,
    INT,
    KIND_OF,
    LEAST_INT,
    MOST_INT,
    TEXT,
    Scalar,
    Untyped,
    constant,
    decimal_kind,
    null,
)
from registry.spec.scalar.sizes import check_calls, check_sizes
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: The name of the instant that a row is about: of the request, or the row's own.
NOW = "now"


def compiled(sql: str, *, inputs: Mapping[str, str], declared: str) -> Scalar:
    """Return an expression over ``inputs``, name → declared type, as a feature of another type.

    Its rows have a value for each input, in their order, and then ``now``. Its SQL reads columns
    ``i0``, ``i1`` and so on, of the engine's type of each input's kind.

    :raises Untyped: something in it cannot be computed alike in both forms; says what.
    """
    kinds = dict(zip((*inputs, NOW), kinds_of(inputs), strict=False))
    wanted = kind_of(declared, "the feature")
    columns = {
        name: Scalar(kind, f"i{place}", operator.itemgetter(place))
        for place, (name, kind) in enumerate(kinds.items())
    }
    try:
        tree = sqlglot.parse_one(sql, read=DIALECT)
        check_sizes(tree)
        found = result(_Compiler(columns).made(tree), wanted, declared)
    except RecursionError as exc:
        raise Untyped("it is nested too deeply; split it.") from exc
    except SqlglotError as exc:
        raise Untyped("it cannot be parsed by itself; leave out what is no expression.") from exc
    check_calls(found.sql)
    return found


def kinds_of(inputs: Mapping[str, str]) -> tuple[str, ...]:
    """Return the kinds of what a compiled expression reads, as ``i0``, ``i1`` and so on.

    :raises Untyped: nothing is computed with one of them.
    """
    kinds = [kind_of(kind, f"input {name!r}") for name, kind in inputs.items()]
    return (*kinds, *(() if NOW in inputs else (INSTANT,)))


def kind_of(declared: str, what: str) -> str:
    """:raises Untyped: nothing is computed with such values yet."""
    value_type = parse_type(declared)
    if value_type.kind == "decimal":
        return decimal_kind(value_type.scale)
    kind = KIND_OF.get(value_type.kind)
    if kind is None:
        raise Untyped(
            f"{what} is {declared}, which is not computed with at the request;"
            f" those are {', '.join(KIND_OF)}, decimal(p,s)."
        )
    return kind


class _Compiler:
    def __init__(self, columns: Mapping[str, Scalar]) -> None:
        self._columns = columns

    def made(self, node: exp.Expr) -> Scalar:
        """Return a node and what is below it in both forms."""
        kind = type(node)
        _check_written(node)
        if kind is exp.Paren:
            return self.made(node.this)
        if kind is exp.Column:
            return self._column(node)
        if isinstance(node, (exp.Literal, exp.Boolean, exp.Null)):
            return _literal(node)
        if kind in (exp.Add, exp.Sub) and (shift := intervals.interval_of(node)) is not None:
            return intervals.moved(self.made(shift[0]), shift[1])
        if kind in operators.BINARY:
            return operators.binary(node, self.made(node.this), self.made(node.expression))
        make = _NODES.get(kind)
        if make is not None:
            return make(self, node)
        arguments = [self.made(each) for each in _arguments(node)]
        found = functions.call(node, arguments) if isinstance(node, exp.Func) else None
        if found is None:
            raise _unknown(node)
        return found

    def _column(self, node: exp.Expr) -> Scalar:
        found = self._columns.get(node.name)
        if found is None:
            raise Untyped(f"{node.sql(dialect=DIALECT)!r} is not among the inputs.")
        return found

    def case(self, node: exp.Expr) -> Scalar:
        cases = [(self.made(each.this), self.made(each.args["true"])) for each in node.args["ifs"]]
        given = node.args.get("default")
        default = self.made(given) if given is not None else null()
        if node.this is None:
            return operators.choice(cases, default)
        return operators.matched(self.made(node.this), cases, default)

    def if_(self, node: exp.Expr) -> Scalar:
        other = node.args.get("false")
        case = self.made(node.this), self.made(node.args["true"])
        return operators.choice([case], self.made(other) if other is not None else null())

    def is_(self, node: exp.Expr) -> Scalar:
        wanted = node.expression
        if isinstance(wanted, exp.Null):
            return operators.is_(self.made(node.this), None)
        if isinstance(wanted, exp.Boolean):
            return operators.is_(self.made(node.this), bool(wanted.this))
        raise _unknown(node)

    def among(self, node: exp.Expr) -> Scalar:
        if not node.expressions:
            raise _unknown(node)
        return operators.among(self.made(node.this), [self.made(e) for e in node.expressions])

    def between(self, node: exp.Expr) -> Scalar:
        parts = (node.this, node.args["low"], node.args["high"])
        return operators.between(*(self.made(each) for each in parts))

    def listed(self, node: exp.Expr) -> list[Scalar]:
        return [self.made(each) for each in (node.this, *node.expressions)]

    def named(self, node: exp.Expr) -> Scalar:
        """Return a function that the parser knows by name only."""
        name, arguments = node.name.lower(), node.expressions
        if name == "isfinite" and len(arguments) == 1:
            return functions.is_finite(self.made(arguments[0]))
        if name in ("date_part", "datepart") and len(arguments) == 2:
            return time_functions.part(_written(arguments[0], name), self.made(arguments[1]))
        if name in ("date_sub", "datesub") and len(arguments) == 3:
            start, end = (self.made(each) for each in arguments[1:])
            return time_functions.passed(_written(arguments[0], name), start, end)
        raise _unknown(node)

    def like(self, node: exp.Expr) -> Scalar:
        found = text_functions.like(
            self.made(node.this), self.made(node.expression), cased=type(node) is exp.Like
        )
        return operators.negation(found) if node.args.get("negate") else found

    def cast(self, node: exp.Expr) -> Scalar:
        return cast_to(self.made(node.this), node.args["to"])


def _written(node: exp.Expr, name: str) -> str:
    if not isinstance(node, exp.Literal) or not node.is_string:
        raise Untyped(f"{name} takes the part's name written out, as in 'year'.")
    return node.name.lower()


def _check_written(node: exp.Expr) -> None:
    """Refuse what a form would leave out, or lacks: the parser takes more than is computed.

    :raises Untyped: naming the whole.
    """
    needed = _NEEDS.get(type(node))
    if needed is None and type(node) in operators.BINARY:
        needed = ("this", "expression")
    if needed is None:
        return
    allowed = {*needed, *_MAY_HAVE.get(type(node), ())}
    given = {name for name, value in node.args.items() if _is_expression(value)}
    if not given <= allowed or not given >= set(needed):
        raise _unknown(node)


def _is_expression(value: Any) -> bool:
    return isinstance(value, exp.Expr) or (isinstance(value, list) and bool(value))


def _literal(node: exp.Expr) -> Scalar:
    if isinstance(node, exp.Null):
        return null()
    if isinstance(node, exp.Boolean):
        return constant(BOOL, "TRUE" if node.this else "FALSE", bool(node.this))
    text = str(node.this)
    if node.is_string:
        return constant(TEXT, node.sql(dialect=DIALECT), text)
    if text.isdecimal():
        value = int(text)
        if not LEAST_INT <= value <= MOST_INT:
            raise Untyped(f"{text} has more than 64 bits; write {text}.0 for a fraction.")
        return constant(INT, text, value)
    return fraction(text)


def _arguments(node: exp.Expr) -> list[exp.Expr]:
    """Return a function's arguments in the order in which they are written."""
    found: list[exp.Expr] = []
    for name in node.arg_types:
        given: Any = node.args.get(name)
        found += [
            each
            for each in (given if isinstance(given, list) else [given])
            if isinstance(each, exp.Expr)
        ]
    return found


def _unknown(node: exp.Expr) -> Untyped:
    return Untyped(
        f"{node.sql(dialect=DIALECT)[:80]!r} cannot be computed alike at the request and in"
        f" training sets; there are operators, CASE, CAST and {', '.join(functions.NAMES)}."
    )


#: The parts that a node must have, and those that it may; flags of the dialect are none.
_NEEDS: dict[type[exp.Expr], tuple[str, ...]] = {
    **dict.fromkeys((exp.And, exp.Or, exp.NullSafeEQ, exp.NullSafeNEQ), ("this", "expression")),
    **dict.fromkeys((exp.Nullif, exp.Is, exp.Extract), ("this", "expression")),
    **dict.fromkeys((exp.Not, exp.Neg, exp.Paren, exp.Coalesce), ("this",)),
    **dict.fromkeys((exp.Greatest, exp.Least), ("this",)),
    exp.Between: ("this", "low", "high"),
    exp.Case: ("ifs",),
    exp.Cast: ("this", "to"),
    **dict.fromkeys((exp.Concat, exp.ConcatWs), ("expressions",)),
    **dict.fromkeys((exp.Like, exp.ILike), ("this", "expression")),
    exp.DateDiff: ("this", "expression", "unit"),
    exp.If: ("this", "true"),
    exp.In: ("this", "expressions"),
    exp.TimestampTrunc: ("this", "unit"),
    exp.Trim: ("this",),
}
_MAY_HAVE: dict[type[exp.Expr], tuple[str, ...]] = {
    **dict.fromkeys((exp.Coalesce, exp.Greatest, exp.Least), ("expressions",)),
    exp.Case: ("this", "default"),
    exp.If: ("false",),
    exp.Trim: ("expression",),
}
_NODES: dict[type[exp.Expr], Callable[[_Compiler, Any], Scalar]] = {
    exp.And: lambda c, n: operators.conjunction(c.made(n.this), c.made(n.expression)),
    exp.Or: lambda c, n: operators.disjunction(c.made(n.this), c.made(n.expression)),
    exp.Not: lambda c, n: operators.negation(c.made(n.this)),
    exp.Neg: lambda c, n: operators.negative(c.made(n.this)),
    exp.NullSafeEQ: lambda c, n: operators.same(
        c.made(n.this), c.made(n.expression), negated=False
    ),
    exp.NullSafeNEQ: lambda c, n: operators.same(
        c.made(n.this), c.made(n.expression), negated=True
    ),
    exp.Nullif: lambda c, n: operators.null_if(c.made(n.this), c.made(n.expression)),
    exp.Coalesce: lambda c, n: operators.first_known(c.listed(n)),
    exp.Greatest: lambda c, n: operators.extreme(c.listed(n), greatest=True),
    exp.Least: lambda c, n: operators.extreme(c.listed(n), greatest=False),
    exp.Case: _Compiler.case,
    exp.If: _Compiler.if_,
    exp.Is: _Compiler.is_,
    exp.In: _Compiler.among,
    exp.Between: _Compiler.between,
    exp.Cast: _Compiler.cast,
    exp.Anonymous: _Compiler.named,
    exp.Extract: lambda c, n: time_functions.part(n.name.lower(), c.made(n.expression)),
    exp.TimestampTrunc: lambda c, n: time_functions.truncated(
        str(n.args["unit"].name).lower(), c.made(n.this)
    ),
    exp.Concat: lambda c, n: operators.concatenated([c.made(each) for each in n.expressions]),
    exp.ConcatWs: lambda c, n: operators.joined([c.made(each) for each in n.expressions]),
    exp.Like: _Compiler.like,
    exp.ILike: _Compiler.like,
    exp.Trim: lambda c, n: text_functions.trimmed(
        [c.made(each) for each in (n.this, n.expression) if each is not None],
        str(n.args.get("position") or "BOTH").upper(),
    ),
    exp.DateDiff: lambda c, n: time_functions.difference(
        str(n.args["unit"].name).lower(), c.made(n.expression), c.made(n.this)
    ),
}
#: All that an expression is made of, but brackets, names and what is written out.
COMPUTED = frozenset({*_NODES, *operators.BINARY, *functions.CALLED})
