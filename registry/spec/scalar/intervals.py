"""Times moved by what stands in an expression, ``now - INTERVAL 30 DAY``, in both forms. [pure]

Of units that always take as long: a month does not, and a day of UTC does.
"""

from __future__ import annotations

import re

from sqlglot import exp

from registry.spec.scalar import calendar
from registry.spec.scalar.kinds import (
    DAY,
    INSTANT,
    LEAST_INSTANT,
    MOST_INSTANT,
    MOST_INT,
    NULL,
    NoResult,
    Scalar,
    Untyped,
    as_kind,
    strict,
)

LENGTHS = {
    "week": 7 * calendar.DAY_LENGTH,
    "day": calendar.DAY_LENGTH,
    "hour": calendar.HOUR,
    "minute": calendar.MINUTE,
    "second": calendar.SECOND,
    "millisecond": 1_000,
    "microsecond": 1,
}
#: What is written of an interval: a whole number, with its unit beside it or in the same text.
_WRITTEN = re.compile(r"\s*(-?[0-9]{1,18})\s*([a-z]*)\s*", re.ASCII | re.IGNORECASE)


def interval_of(node: exp.Expr) -> tuple[exp.Expr, int] | None:
    """Return what a sum or difference moves, and by how many microseconds; None: by no interval.

    :raises Untyped: of another unit, or a number that does not stand there.
    """
    left, right = node.this, node.expression
    if isinstance(right, exp.Interval):
        micros = _micros(right)
        return left, -micros if isinstance(node, exp.Sub) else micros
    if isinstance(left, exp.Interval) and isinstance(node, exp.Add):
        return right, _micros(left)
    return None


def _micros(interval: exp.Interval) -> int:
    unit, amount = interval.args.get("unit"), interval.this
    sign = 1
    while isinstance(amount, (exp.Neg, exp.Paren)):
        sign, amount = (-sign if isinstance(amount, exp.Neg) else sign), amount.this
    written = _WRITTEN.fullmatch(amount.name) if isinstance(amount, exp.Literal) else None
    length = LENGTHS.get(_unit(unit, written))
    if written is None or length is None:
        raise Untyped(
            f"{interval.sql(dialect='duckdb')[:80]!r} is no interval that is computed with: write"
            f" a whole number and {', '.join(LENGTHS)}. A month is not always as long: subtract"
            " days, or compare date_trunc('month', …)."
        )
    micros = sign * int(written[1]) * length
    if abs(micros) > MOST_INT:
        raise Untyped(f"{interval.sql(dialect='duckdb')[:80]!r} is longer than any time.")
    return micros


def _unit(unit: exp.Expr | None, written: re.Match[str] | None) -> str:
    beside = unit.name if unit is not None else ""
    within = written[2] if written is not None else ""
    if beside and within:
        return ""
    return (beside or within).lower().removesuffix("s")


def moved(part: Scalar, micros: int) -> Scalar:
    """Return a time so much later; none where there is no such time in the calendar of reads.

    :raises Untyped: it is no time.
    """
    if part.kind not in (INSTANT, DAY, NULL):
        raise Untyped(f"an interval is added to times; this is a {part.kind}.")
    sql = f"assay_instant(assay_add(epoch_us({{0}}), CAST({micros} AS BIGINT)))"

    def later(instant: int) -> int:
        found = instant + micros
        if not LEAST_INSTANT <= found <= MOST_INSTANT:
            raise NoResult("there is no such time")
        return found

    return strict(INSTANT, sql, later, as_kind(part, INSTANT))
