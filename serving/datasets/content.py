"""What a table's rows are, as one hash, whatever their order and whoever computes it. [pure]

Not for the bytes of a file, which another version of a library writes otherwise.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.historical.answer_json import column_json
from serving.historical.plain_columns import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The name of this way, for whoever reads a hash years later.
WAY = "assay-rows-1"
#: Rows that are written out at a time.
AT_ONCE = 50_000
_ALL = 1 << 256
_NULL = b"~"
_encode = msgspec.json.Encoder(order="sorted").encode


def content_hash(tables: Iterable[pa.Table], schema: pa.Schema) -> str:
    """Return the hash of all rows of ``tables``, which have one ``schema``.

    Rows count as often as they are there. Each is written as its values one after the other: ``~``
    for null, else the length in bytes, ``:`` and the value; numbers as decimal digits, floats as
    those of their bits, times as those since 1970 in their unit, text as UTF-8, what is nested as
    JSON. The SHA-256 of the rows are added up, and hashed with their number and the columns' types.
    """
    total = count = 0
    for table in tables:
        for start in range(0, table.num_rows, AT_ONCE):
            part = table.slice(start, AT_ONCE)
            total += sum(map(_number, row_texts(part)))
            count += part.num_rows
    columns = [[field.name, str(_plain_type(field.type))] for field in schema]
    said = msgspec.json.encode([WAY, columns, count, f"{total % _ALL:064x}"])
    return hashlib.sha256(said).hexdigest()


def same_values(first: pa.ChunkedArray, second: pa.ChunkedArray) -> pa.Array:
    """Return of each row whether both have the same value there; null is equal to null."""
    one, other = (_bytes(plain(column)).combine_chunks() for column in (first, second))
    both_null = pc.and_(one.is_null(), other.is_null())
    return pc.or_(pc.fill_null(pc.equal(one, other), False), both_null)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    return plain(pa.chunked_array([], kind)).type


def _number(text: bytes) -> int:
    return int.from_bytes(hashlib.sha256(text).digest())


def row_texts(part: pa.Table) -> list[bytes]:
    """Return each row as the bytes that are hashed of it."""
    if not part.num_columns:
        return [b""] * part.num_rows
    columns = [_framed(_bytes(plain(column))) for column in part.columns]
    joined = pc.binary_join_element_wise(*columns, pa.scalar(b"", pa.large_binary()))
    return joined.to_pylist()  # type: ignore[no-any-return]


def _framed(column: pa.ChunkedArray) -> pa.ChunkedArray:
    lengths = pc.binary_length(column).cast(pa.string()).cast(pa.large_binary())
    colon, nothing = pa.scalar(b":", pa.large_binary()), pa.scalar(b"", pa.large_binary())
    framed = pc.binary_join_element_wise(lengths, colon, column, nothing)
    return pc.fill_null(framed, pa.scalar(_NULL, pa.large_binary()))


def _bytes(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return each value as bytes that are equal for equal values, and null for null."""
    kind = column.type
    if pa.types.is_floating(kind):
        return _texts(_bits(column))
    if pa.types.is_temporal(kind) and not pa.types.is_interval(kind):
        return _texts(column.cast(pa.int32() if kind.bit_width == 32 else pa.int64()))
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind) or pa.types.is_boolean(kind):
        return _texts(column)
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return column.cast(pa.large_binary())
    return _written(column)


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.string()).cast(pa.large_binary())


def _bits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return floats as the integers of their bits; every NaN is the same one."""
    width = {16: (np.float16, np.int16), 32: (np.float32, np.int32), 64: (np.float64, np.int64)}
    of, to = width[column.type.bit_width]
    values = pc.fill_null(column, 0).to_numpy().astype(of, copy=True)
    values[np.isnan(values)] = np.nan
    bits = pa.array(values.view(to), mask=np.array(column.is_null(), dtype=bool))
    return pa.chunked_array([bits])


def _written(column: pa.ChunkedArray) -> pa.ChunkedArray:
    def written(value: Any) -> bytes | None:
        return None if value is None else _encode(value)

    return pa.chunked_array([pa.array(map(written, column_json(column)), pa.large_binary())])
