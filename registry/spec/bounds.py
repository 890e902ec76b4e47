"""Bounds of checks: a number of a definition, in the type of the feature it bounds. [pure]

Not for comparing values with them (``materialization.quality``). A bound that the type does not
have is refused: rounded, it would pass what it forbids or forbid what it allows.
"""

from __future__ import annotations

import math
import struct
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, TypeAlias

from lib.errors import Invalid

if TYPE_CHECKING:
    from registry.spec.value_types import ValueType

#: Text is for decimals: a number without quotes is read as a float, which has 15 digits for sure.
Bound: TypeAlias = int | float | str
#: Significant digits that every decimal keeps on its way through a float.
FLOAT_DIGITS = 15
_INTEGERS = {"int32": 2**31, "int64": 2**63}
_EXACT_INTEGERS = {"float32": 2**24, "float64": 2**53}


class BadBound(Invalid):
    code = "invalid_bound"


def number(bound: Bound) -> Decimal:
    """Return the number as it is written.

    :raises BadBound: it is none, or bounds nothing.
    """
    try:
        written = Decimal(str(bound))
    except InvalidOperation as exc:
        raise BadBound(f"{bound!r} is not a number.") from exc
    if not written.is_finite():
        raise BadBound(f"{bound} bounds nothing; write a number or leave it out.")
    return written


def bound_in(value_type: ValueType, bound: Bound) -> int | float | Decimal:
    """Return the bound as a value of ``value_type``, to be compared with values of it.

    :raises BadBound: the type has no order, or does not have this number.
    """
    if not value_type.is_numeric:
        raise BadBound(f"{value_type} has no order to check; min and max are for numbers.")
    written = number(bound)
    if value_type.kind == "decimal":
        return _decimal(value_type, bound, written)
    if isinstance(bound, str):
        raise BadBound(f"{bound!r} is text; write the number without quotes.")
    if value_type.kind in _INTEGERS:
        return _integer(value_type.kind, written)
    return _float(value_type.kind, written)


def _integer(kind: str, written: Decimal) -> int:
    limit = _INTEGERS[kind]
    if not -limit <= written < limit:
        raise BadBound(f"{written} is not a value of {kind}: {-limit} to {limit - 1} are.")
    if written != int(written):
        raise BadBound(f"{written} is not a value of {kind}; write a whole number.")
    return int(written)


def _float(kind: str, written: Decimal) -> float:
    """The nearest there is: a fraction is written in tens and kept in twos. Whole numbers exact."""
    try:
        nearest = float(written)
        if kind == "float32":
            nearest = float(struct.unpack("f", struct.pack("f", nearest))[0])
    except OverflowError:
        nearest = math.inf
    if math.isinf(nearest):
        raise BadBound(f"{written} is beyond every value of {kind}.")
    is_whole = abs(written) > _EXACT_INTEGERS[kind] and written == written.to_integral_value()
    if is_whole and Decimal(nearest) != written:
        raise BadBound(f"{written} is not a value of {kind}; the nearest is {Decimal(nearest):f}.")
    return nearest


def _decimal(value_type: ValueType, bound: Bound, written: Decimal) -> Decimal:
    if isinstance(bound, float) and len(written.as_tuple().digits) > FLOAT_DIGITS:
        raise BadBound(f"{bound!r} has more digits than a float keeps; put the number in quotes.")
    before, behind = _places(written)
    if behind > value_type.scale or before > value_type.precision - value_type.scale:
        digits, scale = value_type.precision - value_type.scale, value_type.scale
        raise BadBound(
            f"{bound} is not a value of {value_type}: it has {digits} digits before the point and"
            f" {scale} behind it."
        )
    return written


def _places(written: Decimal) -> tuple[int, int]:
    """Return how many digits stand before and behind the point; arithmetic would round to 28."""
    _, digits, exponent = written.as_tuple()
    shown = "".join(map(str, digits)).lstrip("0")
    zeros = len(shown) - len(shown.rstrip("0"))
    if not shown or not isinstance(exponent, int):
        return 0, 0
    return max(0, len(shown) + exponent), max(0, -exponent - zeros)
