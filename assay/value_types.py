"""The types values are declared with: what JSON carries of each → its Python value, its Arrow type.
Not for frames; those are put together in tables.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from ctypes import c_float
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any

from assay.encoding import NON_FINITE, parse_instant, plain

Decode = Callable[[Any], Any]
#: Deeper JSON is text to the server, which could not write it anew.
MAX_NESTING = 200
_DECIMAL = re.compile(r"decimal\((\d+),(\d+)\)")
_LIST = re.compile(r"list<(.+)>")


def decode_values(values: list[Any], kind: str | None) -> list[Any]:
    """Give a column's Python values; ``kind`` None is a type nobody knows, whose values stay."""
    decode = _decoder(kind or "")
    return [None if value is None else decode(value) for value in values] if decode else values


def understood(values: list[Any], kind: str) -> list[Any]:
    """Give what the server understands of values that are sent as keys or request values."""
    found = decode_values(plain(values), kind)
    if kind == "float32":
        return [None if value is None else c_float(value).value for value in found]
    return found


def are_equal(found: list[Any] | None, expected: list[Any]) -> bool:
    """Compare two columns of values; NaN is equal to NaN, as it is nowhere else."""
    if found is None or len(found) != len(expected):
        return False
    pairs = zip(found, expected, strict=True)
    return found == expected or all(a == b or (a != a and b != b) for a, b in pairs)


@lru_cache(maxsize=1024)
def _decoder(kind: str) -> Decode | None:
    """Give what makes a value of what JSON has for it; None where that is the value already."""
    if kind.startswith("decimal("):
        return Decimal
    if kind.startswith("vector<"):
        return lambda values: [_float(value) for value in values]
    if match := _LIST.fullmatch(kind):
        inner = match[1]
        return lambda values: decode_values(values, inner)
    return _DECODERS.get(kind)


def arrow_type(kind: str | None, pa: Any) -> Any:
    """Give the ``pyarrow`` type the values of a declared type have; None where it is not known."""
    if match := _DECIMAL.fullmatch(kind or ""):
        return pa.decimal128(int(match[1]), int(match[2]))
    if match := _LIST.fullmatch(kind or ""):
        item = arrow_type(match[1], pa)
        return None if item is None else pa.list_(item)
    if (kind or "").startswith("vector<"):
        return pa.list_(pa.float32())
    made = _ARROW.get(kind or "")
    return made(pa) if made else None


def declared_type(kind: Any, pa: Any) -> str:
    """Give the type that a column of a ``pyarrow`` type is best declared with."""
    types = pa.types
    if types.is_dictionary(kind):
        return declared_type(kind.value_type, pa)
    if types.is_decimal(kind):
        return f"decimal({kind.precision},{kind.scale})" if kind.precision <= 38 else "float64"
    if types.is_fixed_size_list(kind) and types.is_floating(kind.value_type):
        return f"vector<{kind.list_size}>"
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = declared_type(kind.value_type, pa)
        return "json" if inner == "json" else f"list<{inner}>"
    return next(
        (name for is_it, name in _DECLARED.items() if getattr(types, is_it)(kind)), "string"
    )


def json_value(text: str) -> Any:
    """Give what the text of a ``json`` feature means, as the online answer has it.

    What is no JSON stays the text it is: also a number beyond floats, what is nested too deep, and
    half of a character, as of a text that was cut within one.
    """
    try:
        meant = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        if "\\u" in text:
            json_text(meant).encode()  # halves that are escaped are no UTF-8
    except (ValueError, RecursionError):
        return text
    return text if _is_deep(meant, MAX_NESTING) else meant


def json_text(value: Any) -> str:
    """Give the one text of a ``json`` value: compact, keys in their order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _float(value: Any) -> float | None:
    return None if value is None else float(NON_FINITE.get(value, value))


def _refuse(word: str) -> float:
    raise ValueError(word)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(text)
    return value


def _is_deep(value: Any, most: int) -> bool:
    """Tell whether more than ``most`` lists and objects lie in each other."""
    level = [value]
    for _ in range(most):
        level = [inner for outer in level for inner in _inside(outer)]
        if not level:
            return False
    return True


def _inside(value: Any) -> list[Any]:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [item for item in items if isinstance(item, dict | list)]


_DECODERS: dict[str, Decode] = {
    "float32": _float,
    "float64": _float,
    "bytes": base64.b64decode,
    "timestamp": parse_instant,
    "date": date.fromisoformat,
}
_ARROW: dict[str, Callable[[Any], Any]] = {
    "bool": lambda pa: pa.bool_(),
    "int32": lambda pa: pa.int32(),
    "int64": lambda pa: pa.int64(),
    "float32": lambda pa: pa.float32(),
    "float64": lambda pa: pa.float64(),
    "string": lambda pa: pa.string(),
    "bytes": lambda pa: pa.binary(),
    "timestamp": lambda pa: pa.timestamp("us", tz="UTC"),
    "date": lambda pa: pa.date32(),
    "json": lambda pa: pa.string(),
}
#: pyarrow's questions in the order in which they are asked → the type to declare.
_DECLARED = {
    "is_boolean": "bool",
    "is_uint64": "decimal(20,0)",
    "is_int64": "int64",
    "is_uint32": "int64",
    "is_integer": "int32",
    "is_float64": "float64",
    "is_floating": "float32",
    "is_date": "date",
    "is_timestamp": "timestamp",
    "is_binary": "bytes",
    "is_large_binary": "bytes",
    "is_binary_view": "bytes",
    "is_fixed_size_binary": "bytes",
    "is_struct": "json",
    "is_map": "json",
}
