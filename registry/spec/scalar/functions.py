"""The functions that scalar expressions may call, in both forms. [pure]

Not for operators and choices (``operators``), nor for those of texts and times. One that is new
stands here, or with those, and in the check that compares both forms.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from registry.spec.dialect import DIALECT
from registry.spec.scalar import arithmetic, patterns, text_functions, time_functions
from registry.spec.scalar.conversions import as_kind
from registry.spec.scalar.kinds import (
    BOOL,
    FLOAT,
    INT,
    TEXT,
    Scalar,
    Untyped,
    constant,
    decimal_kind,
    engine_type,
    scale_of,
    strict,
)
from registry.spec.scalar.operators import number

if TYPE_CHECKING:
    from collections.abc import Callable

#: Functions of one fraction.
_OF_FRACTIONS: dict[type[exp.Expr], tuple[str, str, Callable[[float], Any]]] = {
    exp.Ceil: (FLOAT, "ceil({0})", arithmetic.ceiling),
    exp.Floor: (FLOAT, "floor({0})", arithmetic.floor),
    exp.Sqrt: (FLOAT, "sqrt({0})", arithmetic.square_root),
    exp.Exp: (FLOAT, "exp({0})", arithmetic.exponential),
    exp.Ln: (FLOAT, "ln({0})", arithmetic.natural_log),
    **{
        kind: (FLOAT, f"{kind.__name__.lower()}({{0}})", arithmetic.or_nan(compute))
        for kind, compute in (
            (exp.Acos, math.acos),
            (exp.Asin, math.asin),
            (exp.Atan, math.atan),
            (exp.Cbrt, math.cbrt),
            (exp.Cos, math.cos),
            (exp.Degrees, math.degrees),
            (exp.Radians, math.radians),
            (exp.Sin, math.sin),
            (exp.Tan, math.tan),
        )
    },  # fmt: skip
    exp.IsNan: (BOOL, "isnan({0})", math.isnan),
    exp.IsInf: (BOOL, "isinf({0})", math.isinf),
}
#: What makes decimals whole: of the digits without the point, and what they are divided by.
_TO_WHOLE: dict[type[exp.Expr], tuple[str, Callable[[int, int], int]]] = {
    exp.Ceil: ("ceil", lambda a, divisor: -(-a // divisor)),
    exp.Floor: ("floor", lambda a, divisor: a // divisor),
    exp.Trunc: ("trunc", lambda a, divisor: abs(a) // divisor * (-1 if a < 0 else 1)),
}
_LOGARITHMS: dict[Any, tuple[str, Callable[[float], float]]] = {
    2: ("log2", arithmetic.binary_log),
    10: ("log10", arithmetic.decimal_log),
}
#: Every function there is, by the name under which it is written.
NAMES = (
    "abs", "acos", "asin", "atan", "atan2", "cbrt", "ceil", "coalesce", "concat", "concat_ws",
    "contains", "cos", "date_diff", "date_sub", "date_trunc", "day", "dayofweek", "dayofyear",
    "degrees", "ends_with", "epoch", "exp", "extract", "floor", "greatest", "hour", "if",
    "isfinite", "isinf", "isnan", "isodow", "least", "left", "length", "ln", "log10", "log2",
    "lower", "ltrim", "md5", "minute", "month", "nullif", "pi", "pow", "quarter", "radians",
    "regexp_extract", "regexp_full_match", "regexp_matches", "regexp_replace", "replace",
    "right", "round", "rtrim", "second", "sha256", "sign", "sin", "split_part", "sqrt",
    "starts_with", "strpos", "substring", "tan", "trim", "trunc", "upper", "week", "year",
)  # fmt: skip


def call(node: exp.Expr, arguments: list[Scalar]) -> Scalar | None:
    """Return a function of its arguments, in the order in which they are written; None: no such.

    :raises Untyped: it has no meaning for them.
    """
    kind = type(node)
    _check_count(node, len(arguments))
    if kind in _TO_WHOLE and scale_of(arguments[0].kind) is not None:
        name, shorten = _TO_WHOLE[kind]
        return _shortened(arguments[0], 0, f"{name}({{0}})", shorten)
    if kind in _OF_FRACTIONS:
        result, sql, compute = _OF_FRACTIONS[kind]
        part = as_kind(number(arguments[0], kind.__name__.lower()), FLOAT)
        return strict(result, sql, compute, part)
    if kind in text_functions.OF_TEXTS:
        result, sql, compute = text_functions.OF_TEXTS[kind]
        return strict(result, sql, compute, *(as_kind(each, TEXT) for each in arguments))
    if kind in time_functions.PARTS:
        return time_functions.part(time_functions.PARTS[kind], arguments[0])
    made = _OTHERS.get(kind)
    return made(arguments) if made else None


def _check_count(node: exp.Expr, count: int) -> None:
    """:raises Untyped: the function takes another number of arguments than are written."""
    kind = type(node)
    least, most = _COUNTS.get(kind, (1, 1))
    if kind in text_functions.OF_TEXTS:
        least = most = text_functions.OF_TEXTS[kind][1].count("{")
    if kind in CALLED and not least <= count <= most:
        takes = f"{least}" if least == most else f"{least} or {most}"
        text = node.sql(dialect=DIALECT)[:80]
        raise Untyped(f"{text!r} has {count} arguments; it is computed with {takes}.")


def _absolute(arguments: list[Scalar]) -> Scalar:
    part = number(arguments[0], "abs")
    compute = arithmetic.absolute if part.kind == INT else abs
    return strict(part.kind, "assay_abs({0})" if part.kind == INT else "abs({0})", compute, part)


def _sign(arguments: list[Scalar]) -> Scalar:
    part = number(arguments[0], "sign")
    return strict(INT, "CAST(sign({0}) AS BIGINT)", arithmetic.sign, part)


def _shortened(part: Scalar, digits: int, sql: str, compute: Callable[[int, int], int]) -> Scalar:
    """Return a decimal with fewer digits after the point; as it is where it has no more."""
    scale = scale_of(part.kind) or 0
    if scale <= digits:
        return part
    kind, divisor = decimal_kind(digits), 10 ** (scale - digits)
    return strict(kind, f"CAST({sql} AS {engine_type(kind)})", lambda a: compute(a, divisor), part)


def _round(arguments: list[Scalar]) -> Scalar:
    part = number(arguments[0], "round")
    if len(arguments) == 1:
        if scale_of(part.kind) is not None:
            return _shortened(part, 0, "round({0})", arithmetic.without_digits)
        if part.kind != FLOAT:
            return part
        return strict(FLOAT, "round({0})", arithmetic.rounded, part)
    number_of = arguments[1].constant
    if arguments[1].kind != INT or number_of is None or not 0 <= number_of <= 15:
        raise Untyped("round takes how many digits as a number from 0 to 15, written out.")
    if scale_of(part.kind) is not None:
        return _shortened(part, number_of, f"round({{0}}, {number_of})", arithmetic.without_digits)
    if number_of == 0:
        return _round([as_kind(part, FLOAT)])
    return strict(
        FLOAT,
        f"round({{0}}, {number_of})",
        lambda a: arithmetic.rounded_to(a, number_of),
        as_kind(part, FLOAT),
    )


def _truncate(arguments: list[Scalar]) -> Scalar:
    part = number(arguments[0], "trunc")
    return strict(FLOAT, "trunc({0})", arithmetic.truncate, part) if part.kind == FLOAT else part


def _pi(_arguments: list[Scalar]) -> Scalar:
    return constant(FLOAT, f"'{math.pi!r}'", math.pi)


def _direction(arguments: list[Scalar]) -> Scalar:
    sides = [as_kind(number(each, "atan2"), FLOAT) for each in arguments]
    return strict(FLOAT, "atan2({0}, {1})", math.atan2, *sides)


def _power(arguments: list[Scalar]) -> Scalar:
    sides = [as_kind(number(each, "pow"), FLOAT) for each in arguments]
    return strict(FLOAT, "pow({0}, {1})", arithmetic.power, *sides)


def _log(arguments: list[Scalar]) -> Scalar:
    """Base 10, which ``log`` alone means, too, or 2."""
    base = arguments[0].constant if len(arguments) == 2 else 10
    if base not in _LOGARITHMS:
        raise Untyped("logarithms are ln(a), log2(a), log10(a); else divide by ln of the base.")
    name, compute = _LOGARITHMS[base]
    part = as_kind(number(arguments[-1], name), FLOAT)
    return strict(FLOAT, f"{name}({{0}})", compute, part)


def is_finite(part: Scalar) -> Scalar:
    return strict(BOOL, "isfinite({0})", math.isfinite, as_kind(number(part, "isfinite"), FLOAT))


#: How many arguments, at least and at most, where it is not one.
_COUNTS: dict[type[exp.Expr], tuple[int, int]] = {
    exp.Atan2: (2, 2),
    exp.Left: (2, 2),
    exp.Log: (1, 2),
    exp.Pi: (0, 0),
    exp.Pow: (2, 2),
    exp.RegexpExtract: (2, 4),
    exp.RegexpFullMatch: (2, 3),
    exp.RegexpLike: (2, 3),
    exp.RegexpReplace: (3, 4),
    exp.Replace: (3, 3),
    exp.Right: (2, 2),
    exp.Round: (1, 2),
    exp.SHA2: (1, 2),
    exp.SplitPart: (3, 3),
    exp.Substring: (2, 3),
}
_OTHERS: dict[type[exp.Expr], Callable[[list[Scalar]], Scalar]] = {
    exp.Abs: _absolute,
    exp.Atan2: _direction,
    exp.Left: text_functions.left,
    exp.RegexpExtract: patterns.extract,
    exp.RegexpFullMatch: partial(patterns.matches, whole=True),
    exp.RegexpLike: partial(patterns.matches, whole=False),
    exp.RegexpReplace: patterns.replace,
    exp.Replace: text_functions.replace,
    exp.SHA2: text_functions.sha2,
    exp.Right: text_functions.right,
    exp.Substring: text_functions.substring,
    exp.Sign: _sign,
    exp.SplitPart: text_functions.split_part,
    exp.Round: _round,
    exp.Trunc: _truncate,
    exp.Pi: _pi,
    exp.Pow: _power,
    exp.Log: _log,
    exp.TimeToUnix: time_functions.epoch,
}
#: Every function here that the parser has a class for.
CALLED = frozenset(
    {*_OF_FRACTIONS, *_TO_WHOLE, *text_functions.OF_TEXTS, *time_functions.PARTS, *_OTHERS}
)
