"""What of a version decides its rows, what are only words, and the fingerprints of both. [pure]

Not for judging a change between two versions: ``change`` does.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from registry.spec.durations import parse_duration

if TYPE_CHECKING:
    from registry.spec.model import ScheduleSpec, VersionSpec

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
