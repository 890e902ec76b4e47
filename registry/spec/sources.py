"""Data sources as values: where rows come from, and their two time columns. [pure]

Not for finding or reading their rows: ``materialization.sources.files`` does.
"""

from __future__ import annotations

from typing import Literal

from registry.spec.base import Described, Spec

TimeUnit = Literal["timestamp", "s", "ms", "us", "ns"]


class TimeColumn(Spec, frozen=True):
    """A source column that holds an instant; numbers count ``unit`` since 1970 in UTC."""

    column: str
    unit: TimeUnit = "timestamp"


class SourceSpec(Described, frozen=True, kw_only=True):
    type: Literal["file"]
    path: str
    event_timestamp: TimeColumn
    created_timestamp: TimeColumn | None = None
