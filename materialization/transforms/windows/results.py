"""What a function of a window gives, as what its feature is declared to be. [pure]

Not for computing it (``functions``).
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lib.errors import Conflict
from lib.json_floats import NOT_FINITE, json_float

if TYPE_CHECKING:
    from registry.spec.value_types import ValueType

_INTEGERS = {"int32": 2**31, "int64": 2**63}
_FRACTIONS = ("float32", "float64")
_COUNTS, _TRUTHS = ("count", "count_distinct"), ("any", "all")
_GIVES_FLOAT = ("mean", "stddev", "variance", "percentile", "approx_percentile")


class WindowValueBeyond(Conflict):
    code = "window_value_beyond"


def result_problem(name: str, argument: ValueType, declared: ValueType) -> str | None:
    """Say why a feature cannot be declared so; None when every value can be of the type.

    Only a sum, or a count, may yet be too great for it.
    """
    kind = declared.kind
    if name in _TRUTHS:
        return None if kind == "bool" else f"{name} gives bool, not {declared}."
    if name in _COUNTS:
        is_right = kind in (*_INTEGERS, "float64")
        return None if is_right else f"{name} gives a whole number, not {declared}; write int64."
    if name in _GIVES_FLOAT:
        return None if kind == "float64" else f"{name} gives float64, not {declared}."
    if name != "sum":
        return None
    if argument.kind == "float64":
        return None if kind == "float64" else f"a sum of fractions is float64, not {declared}."
    if argument.kind == "decimal":
        is_right = kind == "float64" or (kind == "decimal" and declared.scale >= argument.scale)
        wants = f"float64, or a decimal with {argument.scale} digits behind the point at least"
        return None if is_right else f"a sum of decimals is {wants}, not {declared}."
    is_right = kind in (*_INTEGERS, "float64", "decimal")
    return None if is_right else f"a sum of whole numbers is int64 or float64, not {declared}."


def computable(value: Any, declared: ValueType) -> Any:
    """Return a stored value as expressions compute with it."""
    if type(value) is not str:
        return value
    if declared.kind == "decimal":
        return int(value.replace(".", "")) if declared.scale else int(value)
    return NOT_FINITE[value] if declared.kind in _FRACTIONS else value


def as_made(value: Any, declared: ValueType) -> Any:
    """Return what an expression gives as functions of windows give it: of decimals the number."""
    if value is None or declared.kind != "decimal":
        return value
    digits = tuple(map(int, str(abs(value))))
    return Decimal((int(value < 0), digits, -declared.scale))


def stored(value: Any, declared: ValueType, feature: str) -> Any:
    """Return a value as a stored one of its type is, ready for whoever reads stored rows.

    :raises WindowValueBeyond: the type has no such number.
    """
    if value is None:
        return None
    kind = declared.kind
    if kind == "list" and declared.item is not None:
        return [stored(each, declared.item, feature) for each in value]
    if kind in _FRACTIONS:
        return json_float(float(value))
    if kind == "string":
        return str(value)  # a whole number that is chosen by number, and told by its text
    if kind in _INTEGERS and not -_INTEGERS[kind] <= value < _INTEGERS[kind]:
        raise _beyond(value, declared, feature)
    if kind == "decimal":
        if abs(value) >= 10 ** (declared.precision - declared.scale):
            raise _beyond(value, declared, feature)
        return _decimal_text(Decimal(value), declared.scale)
    return value


def _decimal_text(value: Decimal, scale: int) -> str:
    """Write all digits; those of Decimal's own are as many as its context has."""
    sign, digits, exponent = value.as_tuple()
    whole = int("".join(map(str, digits))) * 10 ** (int(exponent) + scale)
    text = str(whole).rjust(scale + 1, "0")
    head, rest = (text[:-scale], f".{text[-scale:]}") if scale else (text, "")
    return f"{'-' if sign and whole else ''}{head}{rest}"


def _beyond(value: Any, declared: ValueType, feature: str) -> WindowValueBeyond:
    return WindowValueBeyond(
        f"{feature} would be {value}, which is no {declared}: declare a wider type in a new version"
        " of its view.",
        feature=feature,
    )
