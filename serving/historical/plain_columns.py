"""Arrow columns without their packing: dictionaries, runs, views, extensions → values. [pure]

Not for what the values must be (``typed_columns``) nor for how they are written (``answers``).
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the same values in an ordinary type: no encoding, no extension, no view."""
    column = decoded(column)
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        storage = [chunk.storage for chunk in column.chunks]
        return plain(pa.chunked_array(storage, kind.storage_type))
    return column.cast(_without_view(kind))


def decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the same values without dictionary and run-end encoding."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        value_type = _without_view(kind.value_type)  # nothing can be taken from a view
        chunks = [chunk.dictionary.cast(value_type).take(chunk.indices) for chunk in column.chunks]
    elif pa.types.is_run_end_encoded(kind):
        value_type = kind.value_type
        chunks = [pc.run_end_decode(chunk) for chunk in column.chunks]
    else:
        return column
    return decoded(pa.chunked_array(chunks, value_type))


def _without_view(kind: pa.DataType) -> pa.DataType:
    """Return the ordinary type of text and bytes; any other type is its own."""
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    return kind


def first_line(exc: Exception) -> str:
    """Return what Arrow says, without its traces and at a readable length."""
    lines = str(exc).strip().splitlines()
    return lines[0][:300].rstrip(".") if lines else type(exc).__name__
