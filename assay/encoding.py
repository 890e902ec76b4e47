"""Values to and from the JSON the server speaks: instants, bytes, NaN.
Not for Arrow, which carries its own types.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from numbers import Number
from typing import Any

from assay.errors import Invalid

LONGEST_SHOWN = 100
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
#: What JSON has by itself; of these no value has to be looked at but fractions.
_READY = frozenset({str, int, bool, type(None)})
NUMPY_TIMES = {"M": "datetime64[us]", "m": "timedelta64[us]"}


def to_json(value: Any) -> bytes:
    """Encode a request body.

    Instants become RFC 3339 in UTC (naive ones are UTC), bytes base64, NaN and infinities the
    strings of proto3 JSON, decimals strings, durations ``30d``, NumPy scalars what they hold.
    """
    return json.dumps(plain(value), allow_nan=False, separators=(",", ":")).encode()


def instant(value: datetime | date | str) -> str:
    """Write an instant as RFC 3339 in UTC; a naive one is UTC, a date is its midnight.

    :raises Invalid: it is a number, or text that is not an ISO 8601 instant.
    """
    return parse_instant(value).isoformat().replace("+00:00", "Z")


def parse_instant(value: datetime | date | str) -> datetime:
    """Read an instant as an aware ``datetime`` in UTC.

    :raises Invalid: it is a number, whose unit nobody knows, or not an instant at all.
    """
    try:
        return _in_utc(datetime.fromisoformat(value) if isinstance(value, str) else value)
    except (ValueError, OverflowError) as exc:  # beyond the years 1 to 9999, once in UTC
        message = f"{described(value)} is not an instant; write one like 2026-01-31T12:00:00Z"
        raise Invalid(message, value=str(value)) from exc


def _in_utc(value: Any) -> datetime:
    value = _from_numpy(value)
    if not isinstance(value, date):
        why = "numbers do not say their unit; " if isinstance(value, Number) else ""
        raise Invalid(
            f"{described(value)} is not an instant; {why}send datetimes or ISO 8601 text "
            "like 2026-01-31T12:00:00Z"
        )
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def is_null(value: Any) -> bool:
    """Tell whether a value is None or what pandas and NumPy write for it: NaN, NaT, NA."""
    if value is None or type(value).__name__ == "NAType":  # NA refuses to be compared
        return True
    return not hasattr(value, "__len__") and bool(value != value)


def described(value: Any) -> str:
    """Name a value in a message: text, numbers, times as they are, others by their type alone.

    Of a frame the representation is somebody's data, of an object an address in memory.
    """
    if isinstance(value, date):
        return str(value)
    if value is None or isinstance(value, str | int | float):
        text = repr(value)
        return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeioAEIO' else 'a'} {kind}"


def plain(value: Any) -> Any:
    """Give ``value`` in terms of what JSON has, as ``to_json`` says."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _non_finite(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return list(value) if _is_ready(value) else [plain(item) for item in value]
    return _scalar(value)


def _is_ready(values: Sequence[Any]) -> bool:
    """Tell, from the types of a column alone where they do, whether JSON has all of its values."""
    kinds = set(map(type, values))
    return kinds <= _READY or (kinds == {float} and all(map(math.isfinite, values)))


def _non_finite(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _scalar(value: Any) -> Any:
    if isinstance(value, datetime):
        # Only pandas' NaT differs from itself; it is how a frame spells a null instant.
        return instant(value) if value == value else None
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if callable(getattr(value, "tolist", None)):  # NumPy: scalars and arrays alike
        return plain(_from_numpy(value))
    message = f"{described(value)} cannot be sent; give text, numbers, times, bytes, lists, dicts"
    raise Invalid(message, type=type(value).__name__)


def _from_numpy(value: Any) -> Any:
    """Give what a NumPy scalar or array holds; other values as they are."""
    if not callable(getattr(value, "tolist", None)):
        return value
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind in NUMPY_TIMES:  # of nanoseconds tolist makes bare numbers
        value = value.astype(NUMPY_TIMES[kind])
    return value.tolist()


def _duration(value: timedelta) -> str:
    """Write a duration as definitions do, in its largest exact unit: 86400 s is ``1d``."""
    units = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
    for unit, size in {**units, "s": timedelta(seconds=1)}.items():
        if value % size == timedelta():
            return f"{value // size}{unit}"
    raise Invalid(f"the duration {value} is not a whole number of seconds", value=str(value))
