"""A version's transform for rows that are sent and not stored: what they are, and who makes them.

Not for rows that are pushed (``targets``), nor for making any (``taking``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from lib.errors import Invalid
from materialization.ingest.targets import Target
from materialization.stores.layout import layout_of
from registry.spec.sources.arriving import ArrivingSource
from registry.spec.sources.base import TimeColumn
from registry.spec.sources.push import PushSource
from registry.spec.transforms import Columns, Python, RowSql
from registry.spec.value_types import MAX_LENGTH

if TYPE_CHECKING:
    from registry.models import FeatureTable, FeatureViewVersion
    from registry.spec.version_spec import VersionSpec

#: What a column of a file has to be sent as, by its type in the engine's words.
_SENT = {
    "BOOLEAN": "bool",
    "TINYINT": "int32",
    "SMALLINT": "int32",
    "INTEGER": "int32",
    "UTINYINT": "int32",
    "USMALLINT": "int32",
    "UINTEGER": "int64",
    "BIGINT": "int64",
    "FLOAT": "float32",
    "DOUBLE": "float64",
    "VARCHAR": "string",
    "UUID": "string",
    "JSON": "json",
    "BLOB": "bytes",
    "DATE": "date",
    "TIMESTAMP": "timestamp",
    "TIMESTAMP_S": "timestamp",
    "TIMESTAMP_MS": "timestamp",
    "TIMESTAMP_NS": "timestamp",
    "TIMESTAMP WITH TIME ZONE": "timestamp",
}
_DECIMAL = re.compile(r"DECIMAL\(([0-9]+),([0-9]+)\)")


class NotComputed(Invalid):
    code = "not_computed"


def computing(version: FeatureViewVersion) -> Target:
    """Return what rows of a version's source are sent as, and how they are made.

    :raises NotComputed: no row alone says what its features are, or it must not be told.
    """
    spec = version.spec
    if why := _why_not(spec):
        raise NotComputed(f"{version}: {why}")
    table = cast("FeatureTable", version.table)  # a ready version has one
    layout = layout_of(spec, uid=table.uid)
    return Target(table, spec, _as_sent(spec), layout, None, (str(version),))


def _why_not(spec: VersionSpec) -> str:
    if not isinstance(spec.transform, (Columns, Python, RowSql)):
        return (
            f"its features are made by `{spec.transform.key}`, not by one row alone; compute is for"
            " columns, where, sql, python, masks and encodings."
        )
    if spec.has_beside:
        return "its rows have those of other sources or views beside them, which nobody sends."
    if spec.has_hashes:
        return (
            "it has features that are hashes: whoever may have any value hashed finds out what the"
            " stored ones are of. Push its rows instead, or ask for a view without them."
        )
    return ""


def _as_sent(spec: VersionSpec) -> ArrivingSource:
    """Return the columns that it reads, with the types they are sent as.

    :raises NotComputed: one has a type that is not sent.
    """
    source = spec.rows_from
    created = source.created_timestamp
    # When a row that nobody stores was known is told by nothing but its coming.
    if isinstance(source, ArrivingSource):
        left = () if created is None else (created.column,)
        return replace(source, optional=(*source.optional, *left), created_timestamp=None)
    types = spec.schema.types if spec.schema is not None else {}
    read = spec.columns_read
    schema = {
        name: _sent_as(name, kind, spec)
        for name, kind in types.items()
        if read is None or name in read
    }
    return PushSource(
        name=source.name,
        schema=schema,
        optional=(created.column,) if created is not None and created.column in schema else (),
        event_timestamp=TimeColumn(column=source.event_timestamp.column),
    )


def unread(version: FeatureViewVersion) -> frozenset[str]:
    """Return columns that its source has and it does not read: they may be sent, for nothing."""
    schema = version.spec.schema
    return frozenset(schema.types) if schema is not None else frozenset()


def _sent_as(column: str, kind: str, spec: VersionSpec) -> str:
    found = _value_type(kind)
    if found is None:
        raise NotComputed(
            f"{spec.view.name}: its source's column {column!r} is {kind[:MAX_LENGTH]}, which no"
            " value of JSON is read as."
        )
    return found


def _value_type(kind: str) -> str | None:
    if kind.endswith("[]"):
        item = _value_type(kind[:-2])
        return f"list<{item}>" if item is not None else None
    if decimal := _DECIMAL.fullmatch(kind):
        return f"decimal({decimal[1]},{decimal[2]})"
    return _SENT.get(kind)
