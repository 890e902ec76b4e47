"""Which type several files' columns have in common, and how a value gets there unchanged. [pure]

Not for the types that definitions declare (``transforms.casts``). Types are the texts of DuckDB's
DESCRIBE.
"""

from __future__ import annotations

import re

from materialization.errors import SourceValueInvalid
from materialization.transforms.casts import cast
from materialization.transforms.pairs.families import family
from materialization.transforms.pairs.times import instant_pair
from registry.spec.value_types import ValueType

NOTHING = '"NULL"'
#: Bits of a value, and whether it has a sign; in this order the narrowest is found first.
_INTEGERS = {
    "TINYINT": (8, True), "UTINYINT": (8, False), "SMALLINT": (16, True), "USMALLINT": (16, False),
    "INTEGER": (32, True), "UINTEGER": (32, False), "BIGINT": (64, True), "UBIGINT": (64, False),
    "HUGEINT": (128, True), "UHUGEINT": (128, False),
}  # fmt: skip
#: Digits of the greatest value.
_DIGITS = {8: 3, 16: 5, 32: 10, 64: 20}
#: Times, from the one that all others can become without another meaning; naive ones are UTC.
_TIMES = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP", "TIMESTAMP_MS", "TIMESTAMP_S")
_NANOSECONDS = {"TIMESTAMP_NS": "TIMESTAMP", "TIMESTAMPTZ_NS": "TIMESTAMP WITH TIME ZONE"}
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")
#: Numbers that are cast value by value: what does not fit is an error that names it.
_CHECKED = {
    "INTEGER": ValueType("int32"),
    "BIGINT": ValueType("int64"),
    "FLOAT": ValueType("float32"),
    "DOUBLE": ValueType("float64"),
}


def common_type(one: str, other: str) -> str | None:
    """Return the type that holds the values of both; None when they say different things."""
    if one == other or other == NOTHING:
        return one
    if one == NOTHING:
        return other
    families = {family(one), family(other)}
    if one.endswith("[]") and other.endswith("[]"):  # [1, NULL] beside [] is no other type
        items = common_type(one[:-2], other[:-2])
        return None if items is None else f"{items}[]"
    if families == {"integer"}:
        return _integer(one, other)
    if families == {"time"}:
        return _time(one, other)
    if families <= {"integer", "decimal"}:
        return _decimal(one, other)
    if families <= {"integer", "float"}:
        return "DOUBLE"
    return "VARCHAR" if families == {"text", "enum"} else None


def converted(expression: str, have: str, want: str, *, column: str) -> str | None:
    """Return the SQL of a value of type ``have`` as ``want``; None when it cannot be one.

    Wider types are exact. A number that the other type cannot hold is an error when it is read.
    Nanoseconds are cut towards the past, as everywhere.
    """
    if have == want:
        return expression
    if have == NOTHING:
        return f"CAST(NULL AS {want})"
    if have.endswith("[]") and want.endswith("[]"):
        item = f"item{want.count('[]')}"  # lists inside lists: each level has its own name
        value = converted(item, have[:-2], want[:-2], column=column)
        return value and f"list_transform({expression}, lambda {item}: {value})"
    if common_type(have, want) == want and family(have) == "time":
        instant = instant_pair(expression, have, "timestamp", column)[0]
        return instant if want == _TIMES[0] else f"({instant} AT TIME ZONE 'UTC')"
    if common_type(have, want) == want and {family(have), family(want)} != {"integer", "float"}:
        return f"CAST({expression} AS {want})"
    return _checked(expression, have, want, column)


def _checked(expression: str, have: str, want: str, column: str) -> str | None:
    numeric = ("integer", "float", "decimal")
    digits = _DECIMAL.fullmatch(want)
    declared = _CHECKED.get(want)
    if digits:
        declared = ValueType("decimal", precision=int(digits[1]), scale=int(digits[2]))
    if declared is None or family(have) not in numeric:
        return None
    try:
        return cast(expression, have=have, want=declared, column=column).strict
    except SourceValueInvalid:
        return None


def _integer(one: str, other: str) -> str | None:
    signed = _INTEGERS[one][1] or _INTEGERS[other][1]
    needed = max(bits + (signed and not sign) for bits, sign in (_INTEGERS[one], _INTEGERS[other]))
    fitting = (n for n, (bits, sign) in _INTEGERS.items() if bits >= needed and sign is signed)
    return next(fitting, None)


def _time(one: str, other: str) -> str:
    kinds = {_NANOSECONDS.get(kind, kind) for kind in (one, other)}
    return _TIMES[0] if _TIMES[0] in kinds else _TIMES[1]


def _decimal(one: str, other: str) -> str | None:
    """Return the decimal with room for both: digits before the point, and behind it."""
    parts = [_decimal_parts(each) for each in (one, other)]
    whole, scale = max(part[0] for part in parts), max(part[1] for part in parts)
    return f"DECIMAL({whole + scale},{scale})" if whole + scale <= 38 else None


def _decimal_parts(kind: str) -> tuple[int, int]:
    if match := _DECIMAL.fullmatch(kind):
        return int(match[1]) - int(match[2]), int(match[2])
    return _DIGITS.get(_INTEGERS[kind][0], 39), 0
