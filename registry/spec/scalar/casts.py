"""Casts of scalar expressions that are written out, in both forms. [pure]

Not for what is done without being asked (``kinds.as_kind``).
"""

from __future__ import annotations

import re
from datetime import UTC, date
from typing import TYPE_CHECKING

from sqlglot import exp

from lib import instants
from lib.instants import to_us
from registry.spec.dialect import DIALECT
from registry.spec.scalar import arithmetic, calendar
from registry.spec.scalar.conversions import as_decimal, as_kind, fraction
from registry.spec.scalar.kinds import (
    BOOL,
    DAY,
    DIGITS,
    FLOAT,
    INSTANT,
    INT,
    NULL,
    TEXT,
    NoResult,
    Scalar,
    Untyped,
    constant,
    decimal_kind,
    engine_type,
    null,
    scale_of,
    strict,
)
from registry.spec.value_types import parse_type

if TYPE_CHECKING:
    from collections.abc import Callable

#: A number that stands in the expression as text, to be a decimal.
_NUMBER = re.compile(r"-?[0-9]{1,38}(\.[0-9]{1,38})?", re.ASCII)
#: What a type says of its digits: other words, and fractions, are parsed there too.
_DIGITS = re.compile(r"[0-9]{1,2}", re.ASCII)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_TO = {
    exp.DataType.Type.BOOLEAN: BOOL,
    exp.DataType.Type.INT: INT,
    exp.DataType.Type.BIGINT: INT,
    exp.DataType.Type.DOUBLE: FLOAT,
    exp.DataType.Type.TEXT: TEXT,
    exp.DataType.Type.VARCHAR: TEXT,
    exp.DataType.Type.TIMESTAMPTZ: INSTANT,
    exp.DataType.Type.DATE: DAY,
}
#: From a kind to another; those that are done anyway are not here.
_CASTS: dict[tuple[str, str], tuple[str, Callable[..., object]]] = {
    (FLOAT, INT): ("assay_whole({0})", arithmetic.whole),
    (BOOL, INT): ("CAST({0} AS BIGINT)", int),
    (BOOL, FLOAT): ("CAST({0} AS DOUBLE)", float),
    (INT, BOOL): ("CAST({0} AS BOOLEAN)", bool),
    (INT, TEXT): ("CAST({0} AS VARCHAR)", str),
    (BOOL, TEXT): ("CAST({0} AS VARCHAR)", lambda a: "true" if a else "false"),
    (INSTANT, DAY): ("CAST({0} AS DATE)", calendar.day_of),
}


def cast_to(part: Scalar, to: exp.DataType) -> Scalar:
    """Return a part as another kind.

    :raises Untyped: there is no such cast here.
    """
    if to.this == exp.DataType.Type.DECIMAL:
        return _to_decimal(part, *_precision_of(to))
    kind = _TO.get(to.this)
    if kind is None:
        raise Untyped(
            f"CAST to {to.sql(dialect=DIALECT)} is not computed here; cast to BIGINT, DOUBLE,"
            " DECIMAL(p,s), VARCHAR, BOOLEAN, DATE or TIMESTAMP WITH TIME ZONE."
        )
    made = _converted(part, kind)
    if to.this == exp.DataType.Type.INT:
        return strict(INT, "assay_int32({0})", arithmetic.as_int32, made)
    return made


def _converted(part: Scalar, kind: str) -> Scalar:
    if part.kind == TEXT and kind in (INSTANT, DAY) and part.constant is not None:
        return _written_time(part.constant, kind)
    scale = scale_of(part.kind)
    if scale is not None and kind == INT:
        divisor = 10**scale
        return strict(INT, "assay_whole({0})", lambda a: _whole(a, divisor), part)
    if scale is not None and kind == TEXT:
        sql = "CAST({0} AS VARCHAR)"
        return strict(TEXT, sql, lambda a: arithmetic.decimal_text(a, scale), part)
    found = _CASTS.get((part.kind, kind))
    if found is not None:
        return strict(kind, found[0], found[1], part)
    if part.kind == NULL:
        return null(kind)
    try:
        return as_kind(part, kind)
    except Untyped as exc:
        raise Untyped(f"a {part.kind} cannot be cast to {kind} here.") from exc


def _whole(a: int, divisor: int) -> int:
    return arithmetic.fit(arithmetic.without_digits(a, divisor))


def _precision_of(to: exp.DataType) -> tuple[int, int]:
    """Return how many digits a written type has, and how many of them after the point.

    :raises Untyped: there is no such type.
    """
    given = [each.name for each in to.expressions]
    if len(given) < 3 and all(map(_DIGITS.fullmatch, given)):
        precision, scale = (*map(int, given), *((0,) if given else (18, 3)))[:2]
        if 1 <= precision <= DIGITS and scale <= precision:
            return precision, scale
    raise Untyped(
        f"{to.sql(dialect=DIALECT)[:80]}: precision is a number from 1 to 38, and scale one of at"
        " most that, as in DECIMAL(18,2)."
    )


def _to_decimal(part: Scalar, precision: int, scale: int) -> Scalar:
    """Return a number with so many digits, rounded where it has more after the point.

    :raises Untyped: of its kind there is no such cast.
    """
    if part.kind == NULL:
        return null(decimal_kind(scale))
    if part.kind == TEXT and _NUMBER.fullmatch(part.constant or ""):
        part = fraction(part.constant)
    made = as_decimal(part)
    if made.kind == FLOAT:
        made = _of_fraction(made, scale)
    own = scale_of(made.kind)
    if own is None:
        raise Untyped(f"a {part.kind} cannot be cast to a decimal here; numbers can.")
    if own > scale:
        divisor, kind = 10 ** (own - scale), decimal_kind(scale)
        sql = f"CAST(round({{0}}, {scale}) AS {engine_type(kind)})"
        made = strict(kind, sql, lambda a: arithmetic.without_digits(a, divisor), made)
    return _within(as_kind(made, decimal_kind(scale)), precision, scale)


def _of_fraction(part: Scalar, scale: int) -> Scalar:
    kind, factor = decimal_kind(scale), float(10**scale)
    sql = f"assay_tried(CAST({{0}} AS {engine_type(kind)}))"
    return strict(kind, sql, lambda a: arithmetic.decimal_of(a, factor), part)


def _within(part: Scalar, precision: int, scale: int) -> Scalar:
    """Return a decimal where it has no more digits than a type's; else there is no result."""
    if precision == DIGITS:
        return part
    most = 10**precision - 1

    def run(a: int) -> int:
        if -most <= a <= most:
            return a
        raise NoResult("a number out of range")

    bound = f"CAST('{arithmetic.decimal_text(most, scale)}' AS {engine_type(part.kind)})"
    return strict(part.kind, f"assay_within({{0}}, {bound})", run, part)


def _written_time(text: str, kind: str) -> Scalar:
    """Return a time that stands in the expression; without a zone it is in UTC."""
    try:
        if kind == DAY:
            day = instants.parse_day(text)
            return constant(DAY, f"'{day.isoformat()}'", day.toordinal() - _EPOCH_DAY)
        moment = instants.parse_instant(text)
    except (ValueError, OverflowError) as exc:
        raise Untyped(f"{text[:80]!r} is no {kind}; write it as in 2026-01-31T12:00:00Z.") from exc
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return constant(INSTANT, f"'{moment.isoformat()}'", to_us(moment))


def result(part: Scalar, kind: str, declared: str) -> Scalar:
    """Return an expression as the type that its feature declares.

    :raises Untyped: it is of another; says what to write.
    """
    wanted = parse_type(declared)
    if wanted.kind == "decimal":
        part = as_decimal(part)
        if (scale_of(part.kind) or 0) > wanted.scale:
            raise Untyped(
                f"gives {scale_of(part.kind)} digits after the point, and the feature is declared"
                f" {declared}; round it: round(…, {wanted.scale})."
            )
    if part.kind == FLOAT and kind == INT:
        raise Untyped(
            f"gives float64, and the feature is declared {declared}; declare float64, or round it:"
            " CAST(… AS BIGINT)."
        )
    try:
        made = as_kind(part, kind)
    except Untyped as exc:
        raise Untyped(
            f"gives {part.kind}, and the feature is declared {declared}; declare it {part.kind}, or"
            " cast it."
        ) from exc
    if wanted.kind == "decimal":
        return _within(made, wanted.precision, wanted.scale)
    if declared == "int32":
        return strict(INT, "assay_int32({0})", arithmetic.as_int32, made)
    if declared == "float32":
        return strict(FLOAT, "assay_float32({0})", arithmetic.as_float32, made)
    return made
