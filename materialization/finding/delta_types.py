"""The columns of a Delta table as its log has them, in the engine's words.

Not for its files (``delta``) nor for what the files hold themselves.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lib.sql_text import identifier
from materialization.sources.inputs import DeltaColumn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deltalake import DeltaTable

#: How a table says what its columns are called in its files.
MAPPING = "delta.columnMapping.mode"
_PHYSICAL = "delta.columnMapping.physicalName"
_SCALARS = {
    "boolean": "BOOLEAN",
    "byte": "TINYINT",
    "short": "SMALLINT",
    "integer": "INTEGER",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "VARCHAR",
    "binary": "BLOB",
    "date": "DATE",
    "timestamp": "TIMESTAMP WITH TIME ZONE",
    "timestamp_ntz": "TIMESTAMP",
}


class _Unreadable(Exception):
    """A type that is not read; says why."""


def columns_of(table: DeltaTable) -> tuple[DeltaColumn, ...]:
    """Return the table's columns; those that cannot be read say so, and are no matter otherwise."""
    fields = json.loads(table.schema().to_json())["fields"]
    metadata = table.metadata()
    is_mapped = metadata.configuration.get(MAPPING, "none") != "none"
    folders = set(metadata.partition_columns)
    return tuple(
        _column(field, is_mapped=is_mapped, folder=field["name"] in folders) for field in fields
    )


def _column(field: dict[str, Any], *, is_mapped: bool, folder: bool) -> DeltaColumn:
    name, kind, refused = field["name"], "", ""
    try:
        kind = _type(field["type"], is_mapped=is_mapped)
        if folder and kind == "BLOB":
            refused = "is bytes and stands in the log alone. Write it as text."
    except _Unreadable as exc:
        refused = str(exc)
    stored_as = field.get("metadata", {}).get(_PHYSICAL, name) if is_mapped else name
    return DeltaColumn(name, kind, stored_as, folder, refused)


def _type(said: Any, *, is_mapped: bool) -> str:
    if isinstance(said, str):
        if said.startswith("decimal("):
            return said.upper()
        if said in _SCALARS:
            return _SCALARS[said]
        raise _Unreadable(f"is {said}, which is not read here. Write it as text or numbers.")
    if said["type"] == "array":
        return f"{_type(said['elementType'], is_mapped=is_mapped)}[]"
    if said["type"] == "map":
        inside = (_type(said[part], is_mapped=is_mapped) for part in ("keyType", "valueType"))
        return f"MAP({', '.join(inside)})"
    if is_mapped:
        raise _Unreadable(
            "has fields that are called otherwise in the table's files (column mapping). Write its"
            " fields as columns of their own."
        )
    return f"STRUCT({', '.join(_fields(said['fields']))})"


def _fields(fields: list[dict[str, Any]]) -> Iterator[str]:
    for field in fields:
        yield f"{identifier(field['name'])} {_type(field['type'], is_mapped=False)}"
