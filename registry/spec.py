"""What a definition says, as frozen values, their canonical JSON and their fingerprints. [pure]

Not for reading YAML (``parsing``), judging a change (``change``) or storing anything.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta  # noqa: TC003 - msgspec reads the annotations
from functools import lru_cache
from typing import Any, Literal

import msgspec

from registry.choices import Sensitivity
from registry.durations import parse_duration
from registry.value_types import ValueType, parse_type

Name = str
Tags = dict[str, str]
TimeUnit = Literal["timestamp", "s", "ms", "us", "ns"]
AggregateFunction = Literal[
    "sum", "count", "mean", "min", "max", "last", "first", "count_distinct", "stddev"
]


class Spec(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Base of all specs: immutable, unknown keys refused, defaults left out of the JSON."""


class JoinKey(Spec, frozen=True):
    name: Name
    type: str

    @property
    def value_type(self) -> ValueType:
        return parse_type(self.type)


class Described(Spec, frozen=True):
    """The words every catalogue object carries."""

    name: Name
    description: str = ""
    owner: str = ""
    tags: Tags = {}


class EntitySpec(Described, frozen=True, kw_only=True):
    join_keys: tuple[JoinKey, ...]


class TimeColumn(Spec, frozen=True):
    """A source column that holds an instant; numbers count ``unit`` since 1970 in UTC."""

    column: str
    unit: TimeUnit = "timestamp"


class SourceSpec(Described, frozen=True, kw_only=True):
    type: Literal["file"]
    path: str
    event_timestamp: TimeColumn
    created_timestamp: TimeColumn | None = None


class Checks(Spec, frozen=True):
    """Blocking expectations on one feature of one run's rows.

    ``not_null`` is the least share of non-null values, 0 to 1; ``min`` and ``max`` are inclusive.
    """

    not_null: float | None = None
    min: float | None = None
    max: float | None = None
    allowed: tuple[str | int | bool, ...] | None = None


class FeatureSpec(Spec, frozen=True, kw_only=True):
    name: Name
    type: str
    column: str | None = None
    description: str = ""
    sensitivity: Sensitivity = Sensitivity.INTERNAL
    checks: Checks = Checks()

    @property
    def source_column(self) -> str:
        return self.column or self.name

    @property
    def value_type(self) -> ValueType:
        return parse_type(self.type)


class AggregationSpec(Spec, frozen=True):
    column: str
    functions: tuple[AggregateFunction, ...]
    windows: tuple[str, ...]

    def outputs(self) -> dict[str, tuple[str, str, timedelta]]:
        """Return output name → (column, function, window), as in ``amount_sum_30d``."""
        return {
            f"{self.column}_{function}_{window}": (self.column, function, parse_duration(window))
            for function in self.functions
            for window in self.windows
        }


class ScheduleSpec(Spec, frozen=True):
    """Either ``every`` (at whole multiples since 1970, UTC) or ``cron`` (five fields, UTC)."""

    every: str | None = None
    cron: str | None = None

    def __str__(self) -> str:
        return f"every {self.every}" if self.every else f"cron {self.cron}"


class FeatureViewSpec(Described, frozen=True, kw_only=True):
    version: str | None = None
    based_on: str | None = None
    entities: tuple[Name, ...]
    source: Name
    sql: str | None = None
    aggregations: tuple[AggregationSpec, ...] = ()
    features: tuple[FeatureSpec, ...]
    start: datetime | None = None
    ttl: str | None = None
    schedule: ScheduleSpec | None = None
    online: bool = True

    @property
    def ttl_duration(self) -> timedelta | None:
        return parse_duration(self.ttl) if self.ttl else None

    def aggregate_outputs(self) -> dict[str, tuple[str, str, timedelta]]:
        """Return every column the aggregations can give; see ``AggregationSpec.outputs``."""
        return {
            name: output
            for aggregation in self.aggregations
            for name, output in aggregation.outputs().items()
        }


class FeatureServiceSpec(Described, frozen=True, kw_only=True):
    features: tuple[str, ...]


class VersionSpec(Spec, frozen=True):
    """One version whole: its source and entities are embedded, so that nothing moves behind it."""

    view: FeatureViewSpec
    source: SourceSpec
    entities: tuple[EntitySpec, ...]

    @property
    def join_keys(self) -> tuple[JoinKey, ...]:
        """The join keys of all entities, in the view's order; names are unique."""
        return tuple(key for entity in self.entities for key in entity.join_keys)

    @property
    def features(self) -> tuple[FeatureSpec, ...]:
        return self.view.features

    @property
    def ttl(self) -> timedelta | None:
        return self.view.ttl_duration

    @property
    def is_aggregated(self) -> bool:
        return bool(self.view.aggregations)


#: What of a version's content decides rows, by part.
_DATA_KEYS = {
    "view": ("sql", "aggregations", "start"),
    "source": ("type", "path", "event_timestamp", "created_timestamp"),
    "entities": ("join_keys",),
}


def canonical_json(value: object) -> str:
    """Return JSON that is equal for equal values: sorted keys, defaults left out, UTF-8."""
    return msgspec.json.encode(value, order="sorted").decode()


def version_content(spec: VersionSpec) -> dict[str, Any]:
    """Return all that a version means: the spec without the number it asks for and its base."""
    content: dict[str, Any] = msgspec.to_builtins(spec)
    for key in ("version", "based_on"):
        content["view"].pop(key, None)
    return content


def data_content(spec: VersionSpec) -> dict[str, Any]:
    """Return what decides the stored rows; two versions with equal content share one FeatureTable.

    Checks count: they decide which rows are published, and a table that two versions judged
    differently would serve the one what it refused. The schedule counts only where it makes the
    ticks, the TTL only where it decides how sparsely ticks are stored.
    """
    view = spec.view
    content: dict[str, Any] = {
        "join_keys": spec.join_keys,
        "source": {
            "type": spec.source.type,
            "path": spec.source.path,
            "event_timestamp": spec.source.event_timestamp,
            "created_timestamp": spec.source.created_timestamp,
        },
        "sql": view.sql,
        "aggregations": view.aggregations,
        # By name, as the stores lay them out: another order of the same features is the same data.
        "features": [
            (feature.name, str(feature.value_type), feature.source_column, feature.checks)
            for feature in sorted(view.features, key=lambda feature: feature.name)
        ],
        "start": view.start,
    }
    if spec.is_aggregated:
        content |= {"ticks": _ticks(view.schedule), "ttl": _seconds(view.ttl)}
    builtins: dict[str, Any] = msgspec.to_builtins(content)
    return builtins


def _ticks(schedule: ScheduleSpec | None) -> str | float | None:
    """Return what decides the ticks: `60m` and `1h` are the same ones."""
    return (schedule.cron or _seconds(schedule.every)) if schedule else None


def _seconds(duration: str | None) -> float | None:
    return parse_duration(duration).total_seconds() if duration else None


def fingerprint(content: object) -> str:
    """Return the SHA-256 of the canonical JSON, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def data_fingerprint(spec: VersionSpec) -> str:
    return fingerprint(data_content(spec))


def content_fingerprint(spec: VersionSpec) -> str:
    """Return the fingerprint of everything, words included: what an approval binds."""
    return fingerprint(version_content(spec))


def metadata_fingerprint(spec: VersionSpec) -> str:
    """Return the fingerprint of what ``data_content`` leaves out: words, TTL, schedule."""
    content = version_content(spec)
    for part, keys in _DATA_KEYS.items():
        inside = content[part]
        for item in [inside] if isinstance(inside, dict) else inside:
            for key in keys:
                item.pop(key, None)
    for feature in content["view"]["features"]:
        for key in ("type", "column", "checks"):
            feature.pop(key, None)
    return fingerprint(content)


@lru_cache(maxsize=1024)
def load_version_spec(text: str) -> VersionSpec:
    """Read back what ``canonical_json`` of a VersionSpec wrote; equal texts give one value."""
    return msgspec.json.decode(text, type=VersionSpec)
