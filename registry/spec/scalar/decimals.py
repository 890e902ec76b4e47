"""Operators of decimals, in both forms: exact, or without a result. [pure]

Not for comparisons (``operators``) or for what becomes a decimal (``conversions``, ``casts``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp

from registry.spec.scalar import arithmetic
from registry.spec.scalar.conversions import as_decimal, as_kind
from registry.spec.scalar.kinds import (
    DIGITS,
    FLOAT,
    Scalar,
    Untyped,
    decimal_kind,
    scale_of,
    strict,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Those of decimals, which may have no result.
_DECIMALS: dict[type[exp.Expr], tuple[str, Callable[..., Any]]] = {
    exp.Add: ("assay_add_decimals({0}, {1})", arithmetic.add_decimals),
    exp.Sub: ("assay_subtract_decimals({0}, {1})", arithmetic.subtract_decimals),
    exp.Mul: ("assay_multiply_decimals({0}, {1})", arithmetic.multiply_decimals),
    exp.Mod: ("assay_remainder({0}, {1})", arithmetic.decimal_remainder),
}


def of_decimals(kind: type[exp.Expr], sides: Sequence[Scalar], given: Sequence[Scalar]) -> Scalar:
    """Return an operator of two decimals; ``sides`` have equally many digits after the point,
    ``given`` what each has.

    :raises Untyped: decimals have no such operator, or a product more digits than there are.
    """
    if kind is exp.Div:
        return strict(FLOAT, "({0} / {1})", arithmetic.divide, *(as_kind(s, FLOAT) for s in sides))
    if kind not in _DECIMALS:
        raise Untyped("// divides whole numbers; of decimals write floor(a / b).")
    sql, compute = _DECIMALS[kind]
    if kind is not exp.Mul:
        return strict(sides[0].kind, sql, compute, *sides)
    parts = [as_decimal(each) for each in given]
    scale = sum(scale_of(each.kind) or 0 for each in parts)
    if scale > DIGITS:
        raise Untyped(
            f"a product with {scale} digits after the point; there are {DIGITS} in all. Round"
            " what is multiplied: round(…, 4)."
        )
    return strict(decimal_kind(scale), sql, compute, *parts)
