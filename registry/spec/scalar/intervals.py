"""Times moved by what stands in an expression, ``now - INTERVAL 30 DAY``, in both forms. [pure]

By a length, or by months, which end with the month where it has no such day.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from sqlglot import exp

from lib.instants import EARLIEST_US, LATEST_US
from registry.spec.dialect import DIALECT
from registry.spec.scalar import calendar
from registry.spec.scalar.calendar import LENGTHS, WHOLE_MONTHS
from registry.spec.scalar.conversions import as_kind
from registry.spec.scalar.kinds import (
    DAY,
    INSTANT,
    MOST_INT,
    NULL,
    NoResult,
    Scalar,
    Untyped,
    strict,
)

#: More months than lie between any two times of the calendar of reads.
MOST_MONTHS = 120_000
#: What is written of an interval: a whole number, with its unit beside it or in the same text.
_WRITTEN = re.compile(r"\s*(-?[0-9]{1,18})\s*([a-z]*)\s*", re.ASCII | re.IGNORECASE)


class Interval(NamedTuple):
    """What a time is moved by: ``amount`` months or microseconds."""

    amount: int
    in_months: bool

    def reversed(self) -> Interval:
        return Interval(-self.amount, self.in_months)


def interval_of(node: exp.Expr) -> tuple[exp.Expr, Interval] | None:
    """Return what a sum or difference moves, and by how much; None: by no interval.

    :raises Untyped: of another unit, or a number that does not stand there.
    """
    left, right = node.this, node.expression
    if isinstance(right, exp.Interval):
        found = _read(right)
        return left, found.reversed() if isinstance(node, exp.Sub) else found
    if isinstance(left, exp.Interval) and isinstance(node, exp.Add):
        return right, _read(left)
    return None


def _read(interval: exp.Interval) -> Interval:
    unit, amount = interval.args.get("unit"), interval.this
    sign = 1
    while isinstance(amount, (exp.Neg, exp.Paren)):
        sign, amount = (-sign if isinstance(amount, exp.Neg) else sign), amount.this
    written = _WRITTEN.fullmatch(amount.name) if isinstance(amount, exp.Literal) else None
    name = _unit(unit, written)
    in_months = name in WHOLE_MONTHS
    length = WHOLE_MONTHS.get(name) or LENGTHS.get(name)
    text = interval.sql(dialect=DIALECT)[:80]
    if written is None or length is None:
        raise Untyped(
            f"{text!r} is no interval that is computed with: write a whole number and one of"
            f" {', '.join([*WHOLE_MONTHS, *LENGTHS])}."
        )
    found = sign * int(written[1]) * length
    if abs(found) > (MOST_MONTHS if in_months else MOST_INT):
        raise Untyped(f"{text!r} is longer than any time.")
    return Interval(found, in_months)


def _unit(unit: exp.Expr | None, written: re.Match[str] | None) -> str:
    beside = unit.name if unit is not None else ""
    within = written[2] if written is not None else ""
    if beside and within:
        return ""
    return (beside or within).lower().removesuffix("s")


def moved(part: Scalar, interval: Interval) -> Scalar:
    """Return a time so much later; none where there is no such time in the calendar of reads.

    :raises Untyped: it is no time.
    """
    if part.kind not in (INSTANT, DAY, NULL):
        raise Untyped(f"an interval is added to times; this is a {part.kind}.")
    amount, micros = interval.amount, "epoch_us({0})"
    if interval.in_months:
        # Of times without a zone: those with one are moved by another calendar.
        sql = f"epoch_us(make_timestamp({micros}) + to_months(CAST({amount} AS INTEGER)))"
    else:
        sql = f"assay_add({micros}, CAST({amount} AS BIGINT))"

    def later(instant: int) -> int:
        found = calendar.months_later(instant, amount) if interval.in_months else instant + amount
        if not EARLIEST_US <= found <= LATEST_US:
            raise NoResult("there is no such time")
        return found

    return strict(INSTANT, f"assay_instant({sql})", later, as_kind(part, INSTANT))
