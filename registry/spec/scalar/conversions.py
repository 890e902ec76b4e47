"""What parts of an expression become without being asked for, so that they have one kind. [pure]

Not for casts that are written (``casts``): here nothing is lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.spec.scalar import arithmetic
from registry.spec.scalar.calendar import DAY_LENGTH
from registry.spec.scalar.kinds import (
    DAY,
    DIGITS,
    FLOAT,
    INSTANT,
    INT,
    NULL,
    Scalar,
    Untyped,
    constant,
    decimal_kind,
    engine_type,
    null,
    scale_of,
    strict,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


def as_kind(part: Scalar, kind: str) -> Scalar:
    """Return it as another kind where that is done without being asked for.

    :raises Untyped: the kinds have nothing to do with each other, or something would be lost.
    """
    if part.kind == kind:
        return part
    if part.kind == NULL:
        return null(kind)
    scale, wanted = scale_of(part.kind), scale_of(kind)
    if wanted is not None and (scale is not None or part.kind == INT):
        return _with_scale(part, scale, wanted)
    if scale is not None and kind == FLOAT:
        divisor = 10**scale  # whole numbers divide to the nearest double, as texts are read
        return strict(FLOAT, "CAST(CAST({0} AS VARCHAR) AS DOUBLE)", lambda a: a / divisor, part)
    if (part.kind, kind) == (INT, FLOAT):
        return strict(FLOAT, "CAST({0} AS DOUBLE)", float, part)
    if (part.kind, kind) == (DAY, INSTANT):
        return strict(INSTANT, "CAST({0} AS TIMESTAMP WITH TIME ZONE)", _day_start, part)
    raise Untyped(f"a {part.kind} is no {kind}; write CAST(… AS …) where you mean it to be one.")


def _with_scale(part: Scalar, scale: int | None, wanted: int) -> Scalar:
    """Return a number with so many digits after the point, and no fewer than it has.

    :raises Untyped: it has more.
    """
    if scale is None:
        sql = f"CAST({{0}} AS {engine_type(decimal_kind(0))})"
        part, scale = strict(decimal_kind(0), sql, int, part), 0
    more = wanted - scale
    if more == 0:
        return part
    if not 0 < more < DIGITS:
        raise Untyped(f"{scale} digits after the point do not become {wanted}; write round(…).")
    factor = 10**more
    one = f"CAST(1 AS DECIMAL({more + 1},{more}))"
    sql = f"assay_multiply_decimals({{0}}, {one})"
    return strict(decimal_kind(wanted), sql, lambda a: arithmetic.fit_decimal(a * factor), part)


def as_decimal(part: Scalar) -> Scalar:
    """Return a fraction that is written out as the decimal it is, and a whole number as one."""
    if part.kind == INT:
        return _with_scale(part, None, 0)
    if not part.written:
        return part
    digits, scale = part.written.replace(".", ""), len(part.written.partition(".")[2])
    return constant(decimal_kind(scale), f"'{part.written}'", int(digits))


def fraction(text: str) -> Scalar:
    """Return a fraction as it is written."""
    value = float(text)
    digits = text.lstrip("-").replace(".", "")
    made = constant(FLOAT, f"'{value!r}'", value)
    is_decimal = digits.isdecimal() and len(digits) <= DIGITS
    return made._replace(written=text) if is_decimal else made


def common(parts: Sequence[Scalar]) -> list[Scalar]:
    """Return the parts as one kind: whole numbers beside fractions are fractions.

    Decimals have the digits after the point that the longest has; beside fractions they are such,
    unless those stand there.

    :raises Untyped: they have none in common.
    """
    kinds = {part.kind for part in parts} - {NULL}
    if not kinds:
        return list(parts)
    if any(scale_of(kind) is not None for kind in kinds):
        parts = [as_decimal(part) if part.written else part for part in parts]
        kinds = {part.kind for part in parts} - {NULL}
    scales = sorted((s for k in kinds if (s := scale_of(k)) is not None), reverse=True)
    decimals = map(decimal_kind, scales)
    for kind in (*sorted(kinds & {FLOAT, INSTANT}), *decimals, *sorted(kinds)):
        try:
            return [as_kind(part, kind) for part in parts]
        except Untyped:
            continue
    raise Untyped(
        f"{' and '.join(sorted(kinds))} have no kind in common; cast one to that of the other."
    )


def _day_start(day: int) -> int:
    return day * DAY_LENGTH
