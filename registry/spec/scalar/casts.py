"""Casts of scalar expressions that are written out, in both forms. [pure]

Not for what is done without being asked (``kinds.as_kind``).
"""

from __future__ import annotations

from datetime import UTC, date
from typing import TYPE_CHECKING

from sqlglot import exp

from lib import instants
from lib.instants import to_us
from registry.spec.scalar import arithmetic, calendar
from registry.spec.scalar.kinds import (
    BOOL,
    DAY,
    FLOAT,
    INSTANT,
    INT,
    NULL,
    TEXT,
    Scalar,
    Untyped,
    as_kind,
    constant,
    null,
    strict,
)

if TYPE_CHECKING:
    from collections.abc import Callable

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
    kind = _TO.get(to.this)
    if kind is None:
        raise Untyped(
            f"CAST to {to.sql(dialect='duckdb')} is not computed here; cast to BIGINT, DOUBLE,"
            " VARCHAR, BOOLEAN, DATE or TIMESTAMP WITH TIME ZONE."
        )
    made = _converted(part, kind)
    if to.this == exp.DataType.Type.INT:
        return strict(INT, "assay_int32({0})", arithmetic.as_int32, made)
    return made


def _converted(part: Scalar, kind: str) -> Scalar:
    if part.kind == TEXT and kind in (INSTANT, DAY) and part.constant is not None:
        return _written_time(part.constant, kind)
    found = _CASTS.get((part.kind, kind))
    if found is not None:
        return strict(kind, found[0], found[1], part)
    if part.kind == NULL:
        return null(kind)
    try:
        return as_kind(part, kind)
    except Untyped as exc:
        raise Untyped(f"a {part.kind} cannot be cast to {kind} here.") from exc


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
    if declared == "int32":
        return strict(INT, "assay_int32({0})", arithmetic.as_int32, made)
    if declared == "float32":
        return strict(FLOAT, "assay_float32({0})", arithmetic.as_float32, made)
    return made
