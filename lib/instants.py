"""Instants as microseconds since 1970, and the other way round; all in UTC. [pure]

Not for schedules or windows: ``materialization.ticks`` and ``materialization.windows`` have those.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_us(instant: datetime) -> int:
    """Return microseconds since 1970, negative before; a naive instant is UTC."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - EPOCH) // MICROSECOND


def from_us(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def timestamp(value: datetime | None) -> str | None:
    """Write an instant as RFC 3339 in UTC with ``Z``; None stays None."""
    return value.isoformat().replace("+00:00", "Z") if value else None
