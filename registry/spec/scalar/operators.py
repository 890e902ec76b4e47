"""Operators and choices of scalar expressions, in both forms. [pure]

Not for named functions (``functions``) or for reading SQL (``typing``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from registry.spec.scalar import arithmetic
from registry.spec.scalar.conversions import as_kind, common, fraction
from registry.spec.scalar.decimals import of_decimals
from registry.spec.scalar.kinds import (
    BOOL,
    FLOAT,
    INT,
    NULL,
    TEXT,
    Scalar,
    Untyped,
    infix,
    joined_text,
    null,
    scale_of,
    strict,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Row = Sequence[Any]

#: Operators of numbers, with what each does to whole numbers and to fractions; None: not there.
_NUMBERS: dict[type[exp.Expr], tuple[str, Callable[..., Any] | None, Callable[..., Any] | None]] = {
    exp.Add: ("+", arithmetic.add, lambda a, b: a + b),
    exp.Sub: ("-", arithmetic.subtract, lambda a, b: a - b),
    exp.Mul: ("*", arithmetic.multiply, lambda a, b: a * b),
    exp.Div: ("/", None, arithmetic.divide),
    exp.IntDiv: ("//", arithmetic.whole_division, None),
    exp.Mod: ("%", arithmetic.remainder, arithmetic.fraction_remainder),
}
_MACROS = {
    "+": "assay_add({0}, {1})",
    "-": "assay_subtract({0}, {1})",
    "*": "assay_multiply({0}, {1})",
    "//": "assay_divide({0}, {1})",
    "%": "assay_remainder({0}, {1})",
}
#: Comparisons: of what has an order of its own, and of fractions, among which NaN is.
_COMPARISONS: dict[type[exp.Expr], tuple[str, Callable[..., Any], Callable[..., Any]]] = {
    exp.EQ: ("=", lambda a, b: a == b, arithmetic.equal),
    exp.NEQ: ("<>", lambda a, b: a != b, arithmetic.unequal),
    exp.LT: ("<", lambda a, b: a < b, arithmetic.less),
    exp.LTE: ("<=", lambda a, b: a <= b, arithmetic.at_most),
    exp.GT: (">", lambda a, b: a > b, arithmetic.more),
    exp.GTE: (">=", lambda a, b: a >= b, arithmetic.at_least),
}
BINARY = (*_NUMBERS, *_COMPARISONS, exp.DPipe)


def number(part: Scalar, what: str) -> Scalar:
    """:raises Untyped: it is no number."""
    if part.kind not in (INT, FLOAT, NULL) and scale_of(part.kind) is None:
        raise Untyped(f"{what} takes numbers; this is a {part.kind}.")
    return as_kind(part, INT) if part.kind == NULL else part


def binary(node: exp.Expr, left: Scalar, right: Scalar) -> Scalar:
    """Return an operator of two; whole numbers beside fractions are fractions.

    :raises Untyped: it has no meaning for them.
    """
    kind = type(node)
    if kind is exp.DPipe:
        parts = [as_kind(each, TEXT) for each in (left, right)]
        return infix(TEXT, "||", lambda a, b: a + b, *parts)
    if kind in _COMPARISONS:
        return compared(kind, left, right)
    sign, of_whole, of_fractions = _NUMBERS[kind]
    given = [number(left, sign), number(right, sign)]
    sides = common(given)
    if scale_of(sides[0].kind) is not None:
        return of_decimals(kind, sides, given)
    if of_whole is None:
        sides = [as_kind(each, FLOAT) for each in sides]
    if of_whole is not None and sides[0].kind != FLOAT:
        return strict(INT, _MACROS[sign], of_whole, *sides)
    if of_fractions is None:
        raise Untyped(f"{sign} divides whole numbers; of fractions write floor(a / b).")
    return infix(FLOAT, sign, of_fractions, *sides)


def compared(kind: type[exp.Expr], left: Scalar, right: Scalar) -> Scalar:
    sign, plain, of_fractions = _COMPARISONS[kind]
    sides = common([left, right])
    compute = of_fractions if sides[0].kind == FLOAT else plain
    return strict(BOOL, f"({{0}} {sign} {{1}})", compute, *sides)


def concatenated(parts: Sequence[Scalar]) -> Scalar:
    """Return texts one after the other; what is null is left out."""
    given = [as_kind(each, TEXT) for each in parts]
    runs = [each.run for each in given]

    def run(row: Row) -> str:
        return "".join([value for each in runs if (value := each(row)) is not None])

    listed = ", ".join(each.sql for each in given)
    constants = all(each.is_constant for each in given)
    return Scalar(TEXT, f"concat({listed})", run, constants)


def joined(parts: Sequence[Scalar]) -> Scalar:
    """Return texts with the first between them; those that are null are left out.

    :raises Untyped: there is nothing to join, or something is no text.
    """
    if len(parts) < 2:
        raise Untyped("concat_ws takes what stands between, and then the texts.")
    between, *given = (as_kind(each, TEXT) for each in parts)
    runs = [each.run for each in given]

    def run(row: Row) -> str | None:
        found = [value for each in runs if (value := each(row)) is not None]
        middle: str | None = between.run(row)
        return None if middle is None else middle.join(found)

    listed = ", ".join(each.sql for each in (between, *given))
    constants = all(each.is_constant for each in (between, *given))
    return Scalar(TEXT, f"concat_ws({listed})", run, constants)


def negative(part: Scalar) -> Scalar:
    part = number(part, "-")
    if part.written:
        return fraction(part.written[1:] if part.written[0] == "-" else f"-{part.written}")
    if part.kind == INT:
        return strict(INT, "assay_subtract(CAST(0 AS BIGINT), {0})", arithmetic.negate, part)
    return strict(part.kind, "(-{0})", lambda a: -a, part)


def conjunction(left: Scalar, right: Scalar) -> Scalar:
    """Return whether both are true, by the logic of three values."""
    first, second = (as_kind(each, BOOL) for each in (left, right))

    def run(row: Row) -> bool | None:
        a, b = first.run(row), second.run(row)
        if a is False or b is False:
            return False
        return None if a is None or b is None else True

    sql = joined_text(first.sql, first.joined_by, "AND", second.sql)
    return Scalar(BOOL, sql, run, first.is_constant and second.is_constant, joined_by="AND")


def disjunction(left: Scalar, right: Scalar) -> Scalar:
    first, second = (as_kind(each, BOOL) for each in (left, right))

    def run(row: Row) -> bool | None:
        a, b = first.run(row), second.run(row)
        if a is True or b is True:
            return True
        return None if a is None or b is None else False

    sql = joined_text(first.sql, first.joined_by, "OR", second.sql)
    return Scalar(BOOL, sql, run, first.is_constant and second.is_constant, joined_by="OR")


def negation(part: Scalar) -> Scalar:
    return strict(BOOL, "(NOT {0})", lambda a: not a, as_kind(part, BOOL))


def is_(part: Scalar, wanted: bool | None) -> Scalar:
    """Return whether it is null, true or false, which is never null itself."""
    whole = part if wanted is None else as_kind(part, BOOL)
    run = whole.run
    word = {None: "NULL", True: "TRUE", False: "FALSE"}[wanted]
    return Scalar(
        BOOL, f"({whole.sql} IS {word})", lambda row: run(row) is wanted, whole.is_constant
    )


def same(left: Scalar, right: Scalar, *, negated: bool) -> Scalar:
    """Return whether two are not distinct: null is like null."""
    first, second = common([left, right])
    word = "IS DISTINCT FROM" if negated else "IS NOT DISTINCT FROM"

    def run(row: Row) -> bool:
        a, b = first.run(row), second.run(row)
        both = a is b if a is None or b is None else arithmetic.equal(a, b)
        return both is not negated

    constants = first.is_constant and second.is_constant
    return Scalar(BOOL, f"({first.sql} {word} {second.sql})", run, constants)


def among(part: Scalar, others: Sequence[Scalar]) -> Scalar:
    """Return whether it equals one of others; null where it might equal a null."""
    first, *rest = common([part, *others])
    if first.is_null:
        return null(BOOL)

    def run(row: Row) -> bool | None:
        value, found = first.run(row), [each.run(row) for each in rest]
        if value is None:
            return None
        if any(other is not None and arithmetic.equal(value, other) for other in found):
            return True
        return None if None in found else False

    listed = ", ".join(each.sql for each in rest)
    constants = all(each.is_constant for each in (first, *rest))
    return Scalar(BOOL, f"({first.sql} IN ({listed}))", run, constants)


def between(part: Scalar, low: Scalar, high: Scalar) -> Scalar:
    """Return whether it is neither below the one nor above the other."""
    middle, first, last = common([part, low, high])
    if middle.is_null:
        return null(BOOL)  # as engines take it: without a look at what it is compared with

    def run(row: Row) -> bool | None:
        value, least, most = middle.run(row), first.run(row), last.run(row)
        if value is None:
            return None
        above = None if least is None else arithmetic.at_least(value, least)
        below = None if most is None else arithmetic.at_most(value, most)
        if above is False or below is False:
            return False
        return None if above is None or below is None else True

    constants = all(each.is_constant for each in (middle, first, last))
    return Scalar(BOOL, f"({middle.sql} BETWEEN {first.sql} AND {last.sql})", run, constants)


# --- choices: what is not chosen is not computed -----------------------------------------------


def choice(cases: Sequence[tuple[Scalar, Scalar]], default: Scalar) -> Scalar:
    """Return the value beside the first condition that is true."""
    conditions = [as_kind(condition, BOOL) for condition, _ in cases]
    *values, other = common([*(value for _, value in cases), default])
    pairs = [(c.run, v.run) for c, v in zip(conditions, values, strict=True)]
    otherwise = other.run

    def run(row: Row) -> Any:
        for condition, value in pairs:
            if condition(row):
                return value(row)
        return otherwise(row)

    whens = " ".join(f"WHEN {c.sql} THEN {v.sql}" for c, v in zip(conditions, values, strict=True))
    constants = all(each.is_constant for each in (*conditions, *values, other))
    return Scalar(other.kind, f"CASE {whens} ELSE {other.sql} END", run, constants)


def matched(subject: Scalar, cases: Sequence[tuple[Scalar, Scalar]], default: Scalar) -> Scalar:
    """Return the value beside the first that equals the subject."""
    first, *wanted = common([subject, *(each for each, _ in cases)])
    *values, other = common([*(value for _, value in cases), default])
    pairs = [(w.run, v.run) for w, v in zip(wanted, values, strict=True)]
    otherwise = other.run

    def run(row: Row) -> Any:
        found = first.run(row)
        for each, value in pairs:
            against = each(row)
            if found is not None and against is not None and arithmetic.equal(found, against):
                return value(row)
        return otherwise(row)

    whens = " ".join(f"WHEN {w.sql} THEN {v.sql}" for w, v in zip(wanted, values, strict=True))
    constants = all(each.is_constant for each in (first, *wanted, *values, other))
    return Scalar(other.kind, f"CASE {first.sql} {whens} ELSE {other.sql} END", run, constants)


def first_known(parts: Sequence[Scalar]) -> Scalar:
    """Return the first that is not null."""
    given = common(parts)
    runs = [each.run for each in given]

    def run(row: Row) -> Any:
        for each in runs:
            if (value := each(row)) is not None:
                return value
        return None

    listed = ", ".join(each.sql for each in given)
    constants = all(each.is_constant for each in given)
    return Scalar(given[0].kind, f"COALESCE({listed})", run, constants)


def null_if(left: Scalar, right: Scalar) -> Scalar:
    """Return the first unless it equals the second."""
    first, second = common([left, right])
    a, b = first.run, second.run

    def run(row: Row) -> Any:
        value, other = a(row), b(row)
        if value is None or other is None:
            return value
        return None if arithmetic.equal(value, other) else value

    constants = first.is_constant and second.is_constant
    return Scalar(first.kind, f"NULLIF({first.sql}, {second.sql})", run, constants)


def extreme(parts: Sequence[Scalar], *, greatest: bool) -> Scalar:
    """Return the greatest or the least of those that are not null."""
    given = common(parts)
    runs = [each.run for each in given]

    def run(row: Row) -> Any:
        found = None
        for value in [each(row) for each in runs]:
            if value is None:
                continue
            if found is None or (
                arithmetic.less(found, value) if greatest else arithmetic.less(value, found)
            ):
                found = value
        return found

    if all(each.kind == NULL for each in given):
        return null()
    listed = ", ".join(each.sql for each in given)
    name = "GREATEST" if greatest else "LEAST"
    constants = all(each.is_constant for each in given)
    return Scalar(given[0].kind, f"{name}({listed})", run, constants)
