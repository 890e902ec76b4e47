"""What numbers, comparisons and casts give in Python, as the engine gives it. [pure]

Not for which expressions there are: ``operators`` and ``functions`` pair these with SQL. No
argument is null. Fractions follow IEEE 754: a division by zero is infinite, NaN is not refused, and
in an order NaN is equal to itself and the greatest.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

from registry.spec.scalar.kinds import DIGITS, LEAST_INT, MOST_INT, NoResult

if TYPE_CHECKING:
    from collections.abc import Callable

INFINITY, NAN = math.inf, math.nan
_FLOAT32 = struct.Struct("<f")


def fit(value: int) -> int:
    """:raises NoResult: it has more than 64 bits."""
    if LEAST_INT <= value <= MOST_INT:
        return value
    raise NoResult("an overflow")


def add(a: int, b: int) -> int:
    return fit(a + b)


def subtract(a: int, b: int) -> int:
    return fit(a - b)


def multiply(a: int, b: int) -> int:
    return fit(a * b)


def negate(a: int) -> int:
    return fit(-a)


def absolute(a: int) -> int:
    return fit(abs(a))


def whole_division(a: int, b: int) -> int:
    """Divide towards zero, as the engine does; Python rounds down."""
    if b == 0:
        raise NoResult("a division by zero")
    quotient = abs(a) // abs(b)
    return fit(quotient if (a < 0) == (b < 0) else -quotient)


def remainder(a: int, b: int) -> int:
    """Return what is left of ``a``, with its sign."""
    if b == 0:
        raise NoResult("a division by zero")
    return a - b * whole_division(a, b)


def divide(a: float, b: float) -> float:
    if b:
        return a / b
    if a == 0 or a != a:
        return NAN
    return math.copysign(INFINITY, a) * math.copysign(1.0, b)


def fraction_remainder(a: float, b: float) -> float:
    try:
        return math.fmod(a, b)
    except ValueError:
        return NAN


def power(a: float, b: float) -> float:
    try:
        return math.pow(a, b)
    except OverflowError:
        return -INFINITY if a < 0 and b % 2 == 1 else INFINITY
    except ValueError:
        if a == 0:
            is_odd = b == math.floor(b) and b % 2 == 1
            return math.copysign(INFINITY, a) if is_odd else INFINITY
        return NAN


def exponential(a: float) -> float:
    try:
        return math.exp(a)
    except OverflowError:
        return INFINITY


def natural_log(a: float) -> float:
    if a > 0:
        return math.log(a)
    return -INFINITY if a == 0 else NAN


def decimal_log(a: float) -> float:
    if a > 0:
        return math.log10(a)
    return -INFINITY if a == 0 else NAN


def binary_log(a: float) -> float:
    if a > 0:
        return math.log2(a)
    return -INFINITY if a == 0 else NAN


def or_nan(compute: Callable[[float], float]) -> Callable[[float], float]:
    """Return a function that is NaN where Python's raises an error."""

    def run(a: float) -> float:
        try:
            return compute(a)
        except ValueError:
            return NAN

    return run


def truncate(a: float) -> float:
    return a if not math.isfinite(a) else math.copysign(float(math.trunc(a)), a)


def square_root(a: float) -> float:
    return math.sqrt(a) if a >= 0 else NAN


def floor(a: float) -> float:
    return a if not math.isfinite(a) else math.copysign(float(math.floor(a)), a)


def ceiling(a: float) -> float:
    return a if not math.isfinite(a) else math.copysign(float(math.ceil(a)), a)


def rounded(a: float) -> float:
    """Round to the nearest whole number, halves away from zero."""
    if not math.isfinite(a):
        return a
    whole = float(math.trunc(a))
    if abs(a - whole) >= 0.5:
        whole += math.copysign(1.0, a)
    return math.copysign(whole, a)


def rounded_to(a: float, digits: int) -> float:
    """Round to some digits, as the engine does: by a multiplication, which may round once more."""
    scale = math.pow(10, abs(digits))
    found = rounded(a * scale) / scale if digits >= 0 else rounded(a / scale) * scale
    return found if math.isfinite(found) else (a if digits >= 0 else 0.0)


def sign(a: float) -> int:
    return (a > 0) - (a < 0)


# --- decimals, as whole numbers without the point -----------------------------------------------

_BEYOND = 10**DIGITS


def fit_decimal(value: int) -> int:
    """:raises NoResult: it has more digits than decimals have."""
    if -_BEYOND < value < _BEYOND:
        return value
    raise NoResult("an overflow")


def decimal_of(a: float, factor: float) -> int:
    """Return the digits of a fraction, rounded as the engine does: by a multiplication first.

    :raises NoResult: there are too many, or it is no number.
    """
    found = rounded(a * factor)
    if not abs(found) < 1e38:
        raise NoResult("a number out of range")
    return int(found)


def add_decimals(a: int, b: int) -> int:
    return fit_decimal(a + b)


def subtract_decimals(a: int, b: int) -> int:
    return fit_decimal(a - b)


def multiply_decimals(a: int, b: int) -> int:
    return fit_decimal(a * b)


def decimal_remainder(a: int, b: int) -> int:
    if b == 0:
        raise NoResult("a division by zero")
    left = abs(a) % abs(b)
    return left if a >= 0 else -left


def without_digits(a: int, divisor: int) -> int:
    """Divide by a power of ten and round to the nearest, halves away from zero."""
    nearest = (abs(a) + divisor // 2) // divisor
    return nearest if a >= 0 else -nearest


def decimal_text(a: int, scale: int) -> str:
    """Write it with all its digits; the engine has none before the point where all are after it."""
    if not scale:
        return str(a)
    digits = str(abs(a)).rjust(scale + (scale < DIGITS), "0")
    return f"{'-' if a < 0 else ''}{digits[:-scale]}.{digits[-scale:]}"


# --- order, in which NaN is the greatest ----------------------------------------------------------


def equal(a: Any, b: Any) -> bool:
    return bool(a == b or (a != a and b != b))


def less(a: Any, b: Any) -> bool:
    return bool(a < b or (b != b and a == a))


def unequal(a: Any, b: Any) -> bool:
    return not equal(a, b)


def more(a: Any, b: Any) -> bool:
    return less(b, a)


def at_most(a: Any, b: Any) -> bool:
    return not less(b, a)


def at_least(a: Any, b: Any) -> bool:
    return not less(a, b)


# --- casts ----------------------------------------------------------------------------------------


def whole(a: float) -> int:
    """Return the nearest whole number, the even one of two."""
    if not -(2.0**63) <= a < 2.0**63:
        raise NoResult("a number out of range")
    return round(a)


def as_int32(a: int) -> int:
    if not -(2**31) <= a < 2**31:
        raise NoResult("a number out of range")
    return a


def as_float32(a: float) -> float:
    """Return the nearest of the numbers of 32 bits; beyond the greatest there is none."""
    if not math.isfinite(a):
        return a
    try:
        return float(_FLOAT32.unpack(_FLOAT32.pack(a))[0])
    except OverflowError:
        raise NoResult("a number out of range") from None
