"""Columns of JSON as typed ones: nothing is guessed and nothing is cast. [pure]

``1`` and ``1.0`` are the int64 1, ``"1"`` and ``true`` are not. Not for what a value may be beside
its type: checks ask that.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.decoding import json_reader
from lib.json_floats import NOT_FINITE
from serving.instant_texts import instants_at_once
from serving.values import KEY_FORMS, parse_key, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from materialization.ingest.refusals import Refusals
    from registry.spec.value_types import ValueType

#: What pandas' NaT is, cast to a number.
_NO_INSTANT = -(2**63)
#: Beyond it a float32 is infinite.
_MOST_FLOAT32 = 3.4028235677973366e38
#: Whether a text is JSON: nothing is made of it.
_READ_RAW = json_reader(msgspec.Raw)
#: How values of types that identify no entity are written.
_FORMS = {
    "vector": "an array of so many finite numbers",
    "json": 'any JSON; a text is JSON itself, as in "\\"a1\\""',
}
#: What the values of a column are where all of them may go to Arrow as they are.
_PLAIN: dict[str, set[type]] = {
    "bool": {bool},
    "int32": {int},
    "int64": {int},
    "string": {str},
    "float32": {float},
    "float64": {float},
    "timestamp": {str},
}
_FRACTIONS = ("float32", "float64")
#: From so many texts on one call for all of them takes less time than one for each.
_MANY = 32


def typed_column(
    values: Sequence[Any], kind: ValueType, refusals: Refusals, *, name: str
) -> pa.Array:
    """Return a column as Arrow, null where a value is refused."""
    if (column := _at_once(values, kind)) is not None:
        return column
    typed: list[Any] = []
    valid = f"{kind} is asked for: send {form_of(kind)}."
    for place, value in enumerate(values):
        try:
            typed.append(None if value is None else _typed(value, kind))
        except (ValueError, TypeError, OverflowError, RecursionError):
            typed.append(None)
            refusals.add(place, name, partial(shown, value), valid)
    return pa.array(typed, kind.arrow)


def _at_once(values: Sequence[Any], kind: ValueType) -> pa.Array | None:
    """Return a column that has nothing to refuse; None: its values are looked at one by one."""
    if not set(map(type, values)) - {type(None)} <= _PLAIN.get(kind.kind, set()):
        return None
    if kind.kind == "timestamp":
        return instants_at_once(pa.array(values, pa.string())) if len(values) >= _MANY else None
    try:
        column = pa.array(values, kind.arrow)
    except (pa.ArrowException, OverflowError):
        return None  # one of them is too large
    return None if kind.kind in _FRACTIONS and not _are_finite(column) else column


def _are_finite(column: pa.Array) -> bool:
    if column.null_count:
        return pc.all(pc.is_finite(column)).as_py() is not False
    return bool(np.isfinite(column.to_numpy()).all())


def with_instants(values: Sequence[Any], kind: ValueType) -> Sequence[Any]:
    """Return a column whose whole numbers, where instants are asked for, are read as seconds.

    So Feast's clients send the instants of features, though not those of events; one that is not
    there as the number that pandas has for it.
    """
    of_instants = kind.kind == "timestamp" or (kind.item and kind.item.kind == "timestamp")
    if not of_instants:
        return values
    return [list(map(_instant, v)) if type(v) is list else _instant(v) for v in values]


def _instant(value: Any) -> Any:
    if type(value) is not int:
        return value
    if value == _NO_INSTANT:
        return None
    try:
        return datetime.fromtimestamp(value, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return value  # no instant: refused as the number it is


def form_of(kind: ValueType) -> str:
    if kind.item is not None:
        return f"an array, and for each item {form_of(kind.item)}"
    return KEY_FORMS.get(kind.kind) or _FORMS[kind.kind]


def _typed(value: Any, kind: ValueType) -> Any:
    """:raises ValueError, TypeError, OverflowError: it is no value of the type."""
    make = _MAKE.get(kind.kind)
    if make is not None:
        return make(value, kind)
    try:
        return parse_key(value, kind, name="")
    except Exception as exc:
        raise ValueError(value) from exc


def _float(value: Any, kind: ValueType) -> float:
    if type(value) is str:
        if value not in NOT_FINITE:
            raise ValueError(value)
        return NOT_FINITE[value]
    if type(value) not in (int, float):
        raise ValueError(value)
    made = float(value)
    if made != value or not isfinite(made):
        raise ValueError(value)  # a whole number that no float has
    if kind.kind == "float32" and not _is_float32(value):
        raise ValueError(value)
    return made


def _is_float32(value: float) -> bool:
    """Tell whether a float32 is made of it: of a fraction the nearest, of a whole number itself."""
    is_within = abs(value) < _MOST_FLOAT32
    return is_within and (type(value) is float or float(np.float32(value)) == value)


def _list(value: Any, kind: ValueType) -> list[Any]:
    if type(value) is not list or kind.item is None:
        raise ValueError(value)
    return [None if each is None else _typed(each, kind.item) for each in value]


def _vector(value: Any, kind: ValueType) -> list[float]:
    if type(value) is not list or len(value) != kind.length:
        raise ValueError(value)
    if not all(type(each) in (int, float) and _is_float32(each) for each in value):
        raise ValueError(value)
    return [float(each) for each in value]


def _json(value: Any, _kind: ValueType) -> str:
    """Text stays as it is, for it is what a file's column would hold: JSON itself.

    :raises ValueError: it is none.
    """
    if type(value) is not str:
        return msgspec.json.encode(value).decode()
    try:
        _READ_RAW(value)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ValueError(value) from exc
    return value


_MAKE: dict[str, Callable[[Any, ValueType], Any]] = {
    "float32": _float,
    "float64": _float,
    "list": _list,
    "vector": _vector,
    "json": _json,
}
