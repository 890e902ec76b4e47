"""Values of join keys as the bytes that keys of Redis are made of, and back. [pure]

Not for whole keys (``layout``).
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from lib.instants import from_us, to_us
from materialization.stores import packing

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.spec.value_types import ValueType

_COLON = b":"
_DAY_ZERO = date(1970, 1, 1)


def arrow_key_bytes(column: pa.Array, kind: ValueType) -> list[pa.Array | pa.Scalar]:
    """Return the pieces of one key value, as ``KEY_BYTES`` writes them."""
    if kind.kind in ("string", "bytes"):
        data = column.cast(pa.binary())
        return [_text(pc.binary_length(data)), _COLON, data]
    if kind.kind == "bool":
        return [_text(column.cast(pa.int8()))]
    return [_text(pa.array(packing.integers(column)))]


def _text(numbers: pa.Array) -> pa.Array:
    return numbers.cast(pa.string()).cast(pa.binary())


def first_piece(pieces: bytes, *, is_sized: bool) -> tuple[bytes, bytes]:
    """Return the first of the pieces that make a tag, and the others."""
    if is_sized:
        size, _, data = pieces.partition(b":")
        return data[: int(size)], data[int(size) + 1 :]
    first, _, others = pieces.partition(b"/")
    return first, others


def _sized(data: bytes) -> bytes:
    """Return ``4:abcd``: with its length before it no value can pass for two."""
    return b"%d:%s" % (len(data), data)


KEY_BYTES: dict[str, Callable[[Any], bytes | None]] = {
    "bool": lambda value: None if value is None else b"%d" % value,
    "int32": lambda value: None if value is None else b"%d" % value,
    "int64": lambda value: None if value is None else b"%d" % value,
    "string": lambda value: None if value is None else _sized(value.encode()),
    "bytes": lambda value: None if value is None else _sized(value),
    "timestamp": lambda value: None if value is None else b"%d" % to_us(value),
    "date": lambda value: None if value is None else b"%d" % (value - _DAY_ZERO).days,
}

KEY_VALUES: dict[str, Callable[[bytes], Any]] = {
    "bool": lambda text: bool(int(text)),
    "int32": int,
    "int64": int,
    "string": bytes.decode,
    "bytes": bytes,
    "timestamp": lambda text: from_us(int(text)),
    "date": lambda text: date.fromordinal(_DAY_ZERO.toordinal() + int(text)),
}
