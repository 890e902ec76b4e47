"""What a Parquet file's own columns do not say: the Arrow types their writer had. [pure]

Not for types that Parquet has itself (``layouts``). A duration or a pandas period is stored as a
plain integer, and only the Arrow schema that its writer put beside it tells it from one.
"""

from __future__ import annotations

import base64
import binascii
from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Where writers put it among a file's words about itself.
SCHEMA_KEY = b"ARROW:schema"
#: Extension types whose meaning Parquet has as well.
_IN_PARQUET = ("arrow.uuid", "arrow.json")
#: What Arrow calls an extension type by, and what is put in its place: as long.
_NAME, _KEPT = b"ARROW:extension:name", b"assay:extension:name"


@cache
def foreign_types(encoded: bytes) -> dict[str, str]:
    """Return the columns that hold something else than they seem to: name → what.

    ``duration (us)`` or ``extension (pandas.period)``, also where it is inside a nested column.
    :raises pa.ArrowException: a type that this Arrow does not know.
    """
    try:
        # Under another key: whoever knows such a type reads what the file says of it, and may fail.
        told = base64.b64decode(encoded).replace(_NAME, _KEPT)
        schema = pa.ipc.read_schema(pa.py_buffer(told))
    except binascii.Error as exc:
        raise pa.ArrowInvalid(f"its Arrow schema cannot be read: {exc}") from exc
    found = ((field.name, next(_foreign(field), None)) for field in schema)
    return {name: kind for name, kind in found if kind is not None}


def _foreign(field: pa.Field) -> Iterator[str]:
    kind, name = field.type, (field.metadata or {}).get(_KEPT, b"").decode(errors="replace")
    if name and name not in _IN_PARQUET:
        yield f"extension ({name})"
    if pa.types.is_duration(kind):
        yield f"duration ({kind.unit})"
    if pa.types.is_dictionary(kind):
        yield from _foreign(pa.field("", kind.value_type))
    for number in range(kind.num_fields):
        yield from _foreign(kind.field(number))


def refusal(kind: str) -> str | None:
    """Return why a column of this kind cannot be read and what to do; None: it can."""
    if kind.startswith("DECIMAL(") and int(kind[8:].partition(",")[0]) > 38:
        return "decimals of more than 38 digits cannot be read. Write them with fewer, or as text."
    if kind.startswith("duration ("):
        return (
            "a span of time has no declared type, and is stored as a number that does not say its "
            "unit. Write it as a number whose name says it, as in x_seconds."
        )
    if kind.startswith("extension ("):
        return (
            "what its stored values mean is known to its writer alone. Write them as numbers, "
            "text, times or lists."
        )
    return None
