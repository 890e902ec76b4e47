"""The columns of a stored FeatureTable: names, Arrow types, order. [pure]

Not for writing them: ``offline`` does that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from lib.sql_text import identifier

if TYPE_CHECKING:
    from registry.spec.version_spec import VersionSpec

EVENT, CREATED, SEQUENCE = "event_timestamp", "created_timestamp", "__sequence"
#: What tells the parts of a table apart, where it has more than its rows.
PART = "__part"
#: The part of a table, and the folder of what is staged for it, that has what ticks are made of.
EVENTS = "events"
#: What tells events of pushed rows apart that have one time, where their source says that.
EVENT_ID = "__event_id"
#: Where a stored row lies, as DuckDB's Parquet reader tells: settles what the stamps leave open,
#: the same way for whoever reads the files.
PLACE = ("filename", "file_row_number")
INSTANT = pa.timestamp("us", tz="UTC")


def computed_schema(spec: VersionSpec) -> pa.Schema:
    """Return what the engine gives: join keys, both time columns, features; times never null."""
    return pa.schema([*_leading(spec), *_features(spec)])


def stored_schema(spec: VersionSpec) -> pa.Schema:
    """Return what the offline table holds: as computed, with ``__sequence`` before the features."""
    return pa.schema([*_leading(spec), pa.field(SEQUENCE, pa.int64()), *_features(spec)])


def stored_types(spec: VersionSpec) -> dict[str, str]:
    """Return the columns of ``stored_schema``, in its order, with types as definitions say them."""
    types = {EVENT: "timestamp", CREATED: "timestamp", SEQUENCE: "int64"}
    types |= {key.name: str(key.value_type) for key in spec.join_keys}
    types |= {feature.name: str(feature.value_type) for feature in spec.features}
    return {name: types[name] for name in stored_schema(spec).names}


def key_fields(spec: VersionSpec) -> list[pa.Field]:
    """Return the columns of the join keys, in the order of the definition."""
    return [pa.field(key.name, key.value_type.arrow) for key in spec.join_keys]


def keys_sql(spec: VersionSpec) -> str:
    """Return the names of the join keys, in that order, as SQL lists them."""
    return ", ".join(identifier(key.name) for key in spec.join_keys)


def _leading(spec: VersionSpec) -> list[pa.Field]:
    return [*key_fields(spec), pa.field(EVENT, INSTANT), pa.field(CREATED, INSTANT)]


def _features(spec: VersionSpec) -> list[pa.Field]:
    """Sorted by name: versions that list the same features in another order share a table."""
    features = sorted(spec.features, key=lambda feature: feature.name)
    return [pa.field(feature.name, feature.value_type.arrow) for feature in features]
