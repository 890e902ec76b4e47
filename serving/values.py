"""Values on the wire: stored value → JSON, and JSON → typed join key. [pure]

Not for whole frames (``historical.forms``) or for how the stores pack values.
"""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lib import instants
from lib.errors import Invalid
from lib.json_bodies import UNREADABLE, is_too_deep
from lib.json_floats import NOT_FINITE, json_float
from registry.spec.scalar.arithmetic import as_float32

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from registry.spec.value_types import ValueType

#: What a join key carries in ``event_timestamps``, as Feast sends it.
EPOCH_TEXT = "1970-01-01T00:00:00Z"
#: From here on a float no longer tells neighbouring integers apart, so it cannot be a key.
EXACT_FLOAT = 2**53
MAX_NESTING = 200
#: The longest text that is read as a decimal: 38 digits, a sign, a point, some zeros.
MAX_DIGITS_TEXT = 100
_EPOCH = instants.EPOCH.replace(tzinfo=None)
INTEGER_RANGES = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
#: A whole number as JSON writes it, of no more digits than an int64 has.
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,18})", re.ASCII)
#: A decimal as text. Python reads more: spaces, ``1_000``, the digits of other scripts.
_DIGITS = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
#: How each key type is written in JSON; used in messages.
KEY_FORMS = {
    "bool": "true or false",
    "int32": "a whole number, as in 1001",
    "int64": "a whole number, as in 1001",
    "float32": 'a number, as in 1.5, or "NaN", "Infinity" or "-Infinity"',
    "float64": 'a number, as in 1.5, or "NaN", "Infinity" or "-Infinity"',
    "decimal": 'a whole number, or text with as many digits as fit, as in "12.50"',
    "string": 'a string, as in "a1"',
    "bytes": "base64 text",
    "timestamp": 'ISO 8601 text, as in "2026-01-31T12:00:00Z"',
    "date": 'ISO 8601 text, as in "2026-01-31"',
}


class BadKeyValue(Invalid):
    code = "bad_key_value"


# --- stored value → JSON ----------------------------------------------------------------------


def json_ready(value: Any) -> Any:
    """Return ``value`` as the JSON encoder may take it.

    bytes → base64, instants → ISO 8601 UTC with microseconds and ``Z``, dates → ISO, decimals →
    exact text, NaN and infinities → the strings proto3 JSON uses, lists item by item, None → None.
    """
    kind = type(value)
    if kind is int or kind is str or kind is bool or value is None:
        return value
    convert = _JSON.get(kind)
    return convert(value) if convert else _other_ready(value)


def column_ready(values: Sequence[Any]) -> list[Any]:
    """Return ``[json_ready(value) …]``; values of one column, so usually of one type."""
    return [json_ready(value) for value in values]


def json_text_ready(value: str | None) -> Any:
    """Return what the text of a ``json`` feature means; text that is not JSON stays text.

    So does text nested deeper than ``MAX_NESTING``, which could be read but not written anew.
    """
    if value is None:
        return None
    try:
        meant = msgspec.json.decode(value)
    except UNREADABLE:
        return value
    # Each level opens with a bracket: nearly no text has enough of them to be worth a look.
    may_be_deep = value.count("[") + value.count("{") > MAX_NESTING
    return value if may_be_deep and is_too_deep(meant, most=MAX_NESTING) else meant


def encoder(value_type: ValueType) -> Callable[[Any], Any] | None:
    """Return the function that makes this type's values ready for JSON; None: they already are."""
    if value_type.kind in ("bool", "int32", "int64", "string"):
        return None
    return json_text_ready if value_type.kind == "json" else json_ready


def instant_text(value: datetime) -> str:
    """Write an instant as ``2026-01-31T12:00:00.000000Z``; naive times are UTC."""
    if value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return value.isoformat(timespec="microseconds") + "Z"


def micros_text(micros: int) -> str:
    """Write microseconds since 1970 (negative before) as ``instant_text`` does."""
    # Of an instant without a zone the text costs half.
    return (_EPOCH + timedelta(microseconds=micros)).isoformat(timespec="microseconds") + "Z"


def _list_ready(values: Sequence[Any]) -> list[Any]:
    # The common case, a vector of finite numbers, has nothing to convert.
    if set(map(type, values)) == {float} and all(map(isfinite, values)):
        return list(values)
    return [json_ready(value) for value in values]


def _dict_ready(value: dict[Any, Any]) -> dict[str, Any]:
    return {str(json_ready(key)): json_ready(item) for key, item in value.items()}


def _bytes_ready(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


_JSON: dict[type, Callable[[Any], Any]] = {
    float: json_float,
    bytes: _bytes_ready,
    datetime: instant_text,
    date: date.isoformat,
    Decimal: str,
    list: _list_ready,
    tuple: _list_ready,
    dict: _dict_ready,
}


def _other_ready(value: Any) -> Any:
    """Convert subclasses of the known types (numpy's float64); anything else becomes text."""
    for kind in (datetime, *_JSON):
        if isinstance(value, kind):
            return _JSON[kind](value)
    return value if isinstance(value, (int, str)) else str(value)


# --- JSON → typed join key --------------------------------------------------------------------


JOIN_KEY, REQUEST_VALUE = "join key", "request value"


class KeyColumn(NamedTuple):
    """One entity column a read needs; ``view`` is the first that needs it, ``what`` it is there.

    Two views may declare one name with different types: each is a key column of its own.
    """

    name: str
    type: ValueType
    view: str
    what: str = JOIN_KEY


def parse_key(value: Any, value_type: ValueType, *, name: str, what: str = JOIN_KEY) -> Any:
    """Return ``value`` as a join key, or a request value, of ``value_type``; None stays None.

    ``1`` and ``1.0`` are the int64 1; ``"1"``, ``true`` and ``1.5`` are not. Instants become aware
    datetimes in UTC.

    :raises BadKeyValue: naming the column, the value and how to write it.
    """
    if value is None:
        return None
    try:
        if value_type.kind == "decimal":
            return _decimal_key(value, value_type)
        return _KEYS[value_type.kind](value, value_type.kind)
    except (ValueError, TypeError, ArithmeticError):
        raise BadKeyValue(
            f"{what} {name!r} is {value_type}: {shown(value)} is not."
            f" Send {KEY_FORMS[value_type.kind]}.",
            column=name,
            value=shown(value),
        ) from None


def parse_keys(
    values: Sequence[Any], value_type: ValueType, *, name: str, what: str = JOIN_KEY
) -> list[Any]:
    """Return ``[parse_key(value) …]`` in the same order, quickly when all are plain already."""
    kinds = set(map(type, values))
    if kinds <= {str} and value_type.kind == "string":
        return list(values)
    if kinds == {int} and value_type.kind in INTEGER_RANGES:
        least, most = INTEGER_RANGES[value_type.kind]
        if least <= min(values) and max(values) <= most:
            return list(values)
    found = []
    for row, value in enumerate(values):
        try:
            found.append(parse_key(value, value_type, name=name, what=what))
        except BadKeyValue as exc:
            exc.data["row"] = row
            raise
    return found


def parse_exact_keys(
    values: Sequence[Any], value_type: ValueType, *, name: str, what: str = JOIN_KEY
) -> list[Any]:
    """Return ``parse_keys``, of which those of int64 may be text: JavaScript's numbers are not."""
    if value_type.kind == "int64":
        values = [int(v) if type(v) is str and _WHOLE.fullmatch(v) else v for v in values]
    return parse_keys(values, value_type, name=name, what=what)


def parse_instant(text: str) -> datetime:
    """Read ISO 8601; without a zone it is UTC, with one it is converted. Finer digits are cut.

    :raises ValueError: it is not an ISO 8601 date or time, or none of the calendar in UTC.
    """
    return instants.parse_instant(text.strip())


def _integer_key(value: Any, kind: str) -> int:
    if type(value) is float:
        if not value.is_integer() or abs(value) >= EXACT_FLOAT:
            raise ValueError(value)
        value = int(value)
    least, most = INTEGER_RANGES[kind]
    if type(value) is not int or not least <= value <= most:
        raise ValueError(value)
    return value


def _bool_key(value: Any, _kind: str) -> bool:
    if type(value) is not bool:
        raise ValueError(value)
    return value


def _float_key(value: Any, kind: str) -> float:
    if type(value) not in (int, float) and value not in NOT_FINITE:
        raise ValueError(value)
    found = float(NOT_FINITE.get(value, value))
    return found if kind == "float64" else as_float32(found)


def _decimal_key(value: Any, value_type: ValueType) -> Decimal:
    is_text = type(value) is str and len(value) <= MAX_DIGITS_TEXT and _DIGITS.fullmatch(value)
    if type(value) is not int and not is_text:
        raise ValueError(value)
    found = unscaled(Decimal(value), value_type)
    # Exact, which arithmetic is up to 28 digits, and with the type's own exponent: Arrow takes no
    # other of every number.
    digits = tuple(map(int, str(abs(found))))
    return Decimal((int(found < 0), digits, -value_type.scale))


def unscaled(value: Decimal, value_type: ValueType) -> int:
    """Return what a decimal's digits are without the point, as many after it as its type has.

    :raises ValueError: it has digits that the type has not, or is no number.
    """
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(value)  # noqa: TRY004 - NaN and infinities are decimals
    if not any(digits):
        return 0
    more = exponent + value_type.scale
    kept = digits if more >= 0 else digits[:more]
    is_short = value.adjusted() < value_type.precision - value_type.scale
    if not is_short or any(digits[len(kept) :]):
        raise ValueError(value)
    found: int = int("".join(map(str, kept)) or "0") * 10 ** max(more, 0)
    return -found if sign else found


def _string_key(value: Any, _kind: str) -> str:
    if type(value) is not str:
        raise ValueError(value)
    return value


def _bytes_key(value: Any, kind: str) -> bytes:
    try:
        return base64.b64decode(_string_key(value, kind), validate=True)
    except binascii.Error as exc:
        raise ValueError(value) from exc


def _timestamp_key(value: Any, kind: str) -> datetime:
    return parse_instant(_string_key(value, kind))


def _date_key(value: Any, kind: str) -> date:
    return instants.parse_day(_string_key(value, kind))


_KEYS: dict[str, Callable[[Any, str], Any]] = {
    "bool": _bool_key,
    "int32": _integer_key,
    "int64": _integer_key,
    "float32": _float_key,
    "float64": _float_key,
    "string": _string_key,
    "bytes": _bytes_key,
    "timestamp": _timestamp_key,
    "date": _date_key,
}


def shown(value: Any) -> str:
    """Return the value as JSON would show it, cut to a readable length."""
    try:
        text = msgspec.json.encode(json_ready(value)).decode()
    except RecursionError:
        return "a deeply nested value"
    except (TypeError, ValueError, OverflowError):
        text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
