"""The condition by which a server gives the rows of some times, and few others. [pure]

It may let more through than is wanted, and nothing less: the sandbox decides on each row. A column
whose values have to be read to know what instant they mean gives no condition.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from lib.instants import to_us
from materialization.finding.postgres.columns import literal, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from materialization.finding.fetching import Wanted
    from registry.spec.sources.base import TimeColumn
    from registry.spec.sources.postgres import PostgresSource

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_NUMBERS = frozenset({"int2", "int4", "int8", "numeric", "float4", "float8"})
_MICROSECONDS = 1_000_000


def wanted_sql(source: PostgresSource, kinds: Mapping[str, str], wanted: Wanted) -> str:
    """Return the condition; ``kinds`` has the server's name of each column's type."""
    event, created = source.event_timestamp, source.created_timestamp
    parts = []
    if (until := wanted.until) is not None:
        parts.append(_bound(event, kinds, "<=", until))
    if (after := wanted.after) is not None:
        later = [_bound(event, kinds, ">=", after)]
        if wanted.by_arrival and created is not None:
            later.append(_bound(created, kinds, ">=", after))
        parts.append(None if None in later else f"({' OR '.join(filter(None, later))})")
    if wanted.since is not None and wanted.most_rows is None:  # a look takes any rows, at once
        parts.append(_bound(event, kinds, ">=", wanted.since))
    conditions = [part for part in parts if part is not None]
    if not conditions:
        return "true"
    # Rows without an event time belong to no time: they are counted by each reading.
    return f"(({' AND '.join(conditions)}) OR {quoted(event.column)} IS NULL)"


def _bound(time: TimeColumn, kinds: Mapping[str, str], sign: str, at: datetime) -> str | None:
    """Return a condition that no row at, or beyond, an instant fails; None: there is none."""
    kind, column = kinds.get(time.column, ""), quoted(time.column)
    if time.unit != "timestamp":
        if kind not in _NUMBERS:
            return None
        number = to_us(at) * _PER_SECOND[time.unit] // _MICROSECONDS
        return f"{column} {sign} {number + (1 if sign == '<=' else 0)}"
    said = literal(at.astimezone(UTC).replace(tzinfo=None).isoformat())
    if kind == "timestamptz":
        return f"{column} {sign} ({said}::timestamp AT TIME ZONE 'UTC')"
    if kind == "timestamp":
        return f"{column} {sign} {said}::timestamp"
    if kind == "date":
        return f"{column} {sign} {said}::timestamp::date"
    return None
