"""Arrow columns as msgpack, whole columns at a time, and stored values as Python ones. [pure]

Not for keys and rows (``layout``) or for JSON (``serving.values``).
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lib.instants import from_us
from lib.json_floats import NOT_FINITE

if TYPE_CHECKING:
    from collections.abc import Callable

    from registry.spec.value_types import ValueType

EPOCH_DAY = date(1970, 1, 1).toordinal()

#: Bytes: making a scalar of pyarrow here would load pandas, where it is, into every process.
_EMPTY = b""
_NIL = b"\xc0"
#: What msgpack calls each signed width, by its bytes.
_INT_MARKERS = {1: 0xD0, 2: 0xD1, 4: 0xD2, 8: 0xD3}
#: Whole numbers that are their own marker.
_LEAST_FIX, _MOST_FIX = -32, 127
#: The first number that a width of 1, 2 or 4 bytes does not hold, and the widths, one more.
_LIMITS, _WIDTHS = np.array([1 << 7, 1 << 15, 1 << 31]), np.array([1, 2, 4, 8])


def pack(column: pa.Array, value_type: ValueType) -> pa.Array:
    """Return each item as msgpack (a binary array of the same length); null is nil.

    Stored as: bool, int, float and text plain (NaN and infinities as text), decimal as text,
    timestamp as microseconds and date as days since 1970, bytes as bin, list and vector as array,
    json as its text.
    """
    packed = _PACK[value_type.kind](column, value_type)
    return pc.if_else(column.is_valid(), packed, _NIL) if column.null_count else packed


def unpacker(value_type: ValueType) -> Callable[[Any], Any] | None:
    """Return the function from what msgpack gives to the Python value; None: it is that already."""
    if value_type.kind in ("list", "vector"):
        item = unpacker(value_type.item) if value_type.item else _UNPACK["float32"]
        return (lambda values: [None if v is None else item(v) for v in values]) if item else None
    return _UNPACK.get(value_type.kind)


def join(*pieces: pa.Array | pa.Scalar) -> pa.Array:
    """Return the item-wise concatenation of binary pieces; scalars repeat."""
    return pc.binary_join_element_wise(*pieces, _EMPTY)


def fixed_width(rows: np.ndarray) -> pa.Array:
    """Return a 2-D array of bytes as one binary item a row, without copying it."""
    count, width = rows.shape
    offsets = np.arange(0, (count + 1) * width, max(width, 1), dtype=np.int32)[: count + 1]
    return pa.Array.from_buffers(
        pa.binary(), count, [None, pa.py_buffer(offsets), pa.py_buffer(rows)]
    )


def marked(marker: int, numbers: np.ndarray) -> np.ndarray:
    """Return rows of one marker byte and the number, big-endian."""
    width = numbers.dtype.itemsize
    rows = np.empty((len(numbers), 1 + width), np.uint8)
    rows[:, 0] = marker
    rows[:, 1:] = numbers.astype(numbers.dtype.newbyteorder(">")).view(np.uint8).reshape(-1, width)
    return rows


def narrow(numbers: np.ndarray) -> pa.Array:
    """Return int64 as msgpack, each in the fewest of a byte, or a marker and 1, 2, 4 or 8 bytes."""
    widths = _WIDTHS[np.searchsorted(_LIMITS, numbers ^ (numbers >> 63), side="right")]
    widths[(numbers >= _LEAST_FIX) & (numbers <= _MOST_FIX)] = 0
    used = np.unique(widths).tolist()
    if len(used) == 1:
        return fixed_width(_integers_of(numbers, used[0]))
    offsets = np.concatenate([[0], np.cumsum(widths + 1)])
    data = np.empty(offsets[-1], np.uint8)
    for width in used:
        those = widths == width
        rows = _integers_of(numbers[those], width)
        data[offsets[:-1][those, None] + np.arange(width + 1)] = rows
    bounds = pa.py_buffer(offsets.astype(np.int32))
    return pa.Array.from_buffers(pa.binary(), len(numbers), [None, bounds, pa.py_buffer(data)])


def _integers_of(numbers: np.ndarray, width: int) -> np.ndarray:
    """Return rows of so many bytes behind a marker; of 0: of numbers that are their own."""
    if width:
        return marked(_INT_MARKERS[width], numbers.astype(f"i{width}"))
    return numbers.astype(np.int8).view(np.uint8).reshape(-1, 1)


def integers(column: pa.Array) -> np.ndarray:
    """Return numbers, or times as microseconds or days, as NumPy integers; null is 0."""
    kind = pa.int32() if pa.types.is_date32(column.type) else pa.int64()
    is_wide = column.type.bit_width == kind.bit_width
    return _numbers(column.view(kind) if is_wide else column.cast(kind), 0)


def _numbers(column: pa.Array, null: object) -> np.ndarray:
    """Return a column for NumPy; to have Arrow fill what has no nulls costs as much as packing."""
    filled = column.fill_null(null) if column.null_count else column
    return cast("np.ndarray", filled.to_numpy(zero_copy_only=False))


def _pack_integers(column: pa.Array, _type: ValueType) -> pa.Array:
    numbers = integers(column)
    least, most = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    if least >= _LEAST_FIX and most <= _MOST_FIX:
        return fixed_width(_integers_of(numbers, 0))
    width = next(
        w for w in _INT_MARKERS if -(1 << (8 * w - 1)) <= least and most < 1 << (8 * w - 1)
    )
    return fixed_width(_integers_of(numbers, width))


def _pack_floats(column: pa.Array, _type: ValueType) -> pa.Array:
    marker, width = (0xCA, 4) if pa.types.is_float32(column.type) else (0xCB, 8)
    numbers = _numbers(column, 0.0)
    packed = fixed_width(marked(marker, numbers.astype(f"f{width}")))
    if np.isfinite(numbers).all():
        return packed
    # As JSON has them, so that a read copies them; a string "NaN" is in a string column.
    for name, value in NOT_FINITE.items():
        is_value = np.isnan(numbers) if name == "NaN" else numbers == value
        text = pa.scalar(bytes([0xA0 | len(name)]) + name.encode(), pa.binary())
        packed = pc.if_else(pa.array(is_value), text, packed)
    return packed


def _pack_bools(column: pa.Array, _type: ValueType) -> pa.Array:
    rows = np.where(_numbers(column, False), 0xC3, 0xC2)
    return fixed_width(rows.astype(np.uint8).reshape(-1, 1))


def _pack_text(column: pa.Array, _type: ValueType) -> pa.Array:
    data = column.cast(pa.string()).cast(pa.binary()).fill_null(b"")
    return join(_sizes(pc.binary_length(data), fix=(0xA0, 32), wide={1: 0xD9, 4: 0xDB}), data)


def _pack_bytes(column: pa.Array, _type: ValueType) -> pa.Array:
    data = column.fill_null(b"")
    return join(_sizes(pc.binary_length(data), fix=None, wide={1: 0xC4, 4: 0xC6}), data)


def _pack_list(column: pa.Array, value_type: ValueType) -> pa.Array:
    """Pack the items as one column; a list's bytes are then a slice of theirs, not a copy."""
    column = column.fill_null([])
    offsets = column.offsets.to_numpy()
    items = column.values.slice(offsets[0], offsets[-1] - offsets[0])
    packed = _pack_items(items, value_type)
    ends = np.frombuffer(packed.buffers()[1], np.int32, len(packed) + 1, 4 * packed.offset)
    bounds = ends[offsets - offsets[0]]
    data = packed.buffers()[2] or pa.py_buffer(b"")
    bodies = pa.Array.from_buffers(pa.binary(), len(column), [None, pa.py_buffer(bounds), data])
    lengths = pa.array(np.diff(offsets))
    return join(_sizes(lengths, fix=(0x90, 16), wide={2: 0xDC, 4: 0xDD}), bodies)


def _pack_items(items: pa.Array, value_type: ValueType) -> pa.Array:
    if value_type.item is not None:
        return pack(items, value_type.item)
    packed = _pack_floats(items, value_type)
    return pc.if_else(items.is_valid(), packed, _NIL) if items.null_count else packed


def _sizes(lengths: pa.Array, *, fix: tuple[int, int] | None, wide: dict[int, int]) -> pa.Array:
    """Return msgpack's size prefixes, all of the width that the longest item needs.

    ``fix`` is (marker, limit) of the form with the size in the marker; ``wide`` is bytes → marker.
    """
    numbers = lengths.to_numpy(zero_copy_only=False)
    most = int(numbers.max()) if len(numbers) else 0
    if fix is not None and most < fix[1]:
        return fixed_width((numbers | fix[0]).astype(np.uint8).reshape(-1, 1))
    width = next(width for width in wide if most < 1 << (8 * width))
    return fixed_width(marked(wide[width], numbers.astype(f"u{width}")))


_PACK: dict[str, Callable[[pa.Array, ValueType], pa.Array]] = {
    "bool": _pack_bools,
    "int32": _pack_integers,
    "int64": _pack_integers,
    "timestamp": _pack_integers,
    "date": _pack_integers,
    "float32": _pack_floats,
    "float64": _pack_floats,
    "string": _pack_text,
    "json": _pack_text,
    "decimal": _pack_text,
    "bytes": _pack_bytes,
    "list": _pack_list,
    "vector": _pack_list,
}


def _number(value: float | str) -> float:
    return NOT_FINITE[value] if isinstance(value, str) else value


_UNPACK: dict[str, Callable[[Any], Any]] = {
    "float32": _number,
    "float64": _number,
    "decimal": Decimal,
    "timestamp": from_us,
    "date": lambda days: date.fromordinal(EPOCH_DAY + days),
}
