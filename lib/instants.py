"""Instants as text and as microseconds since 1970, and the other way round; all in UTC. [pure]

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


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 instant in UTC; one without a zone is UTC, a date is its midnight.

    :raises ValueError: there is no such instant, or none between the years 1 and 9999 of UTC.
    """
    parsed = datetime.fromisoformat(text)
    try:
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except OverflowError as exc:
        raise ValueError(f"{text} lies outside the calendar in UTC") from exc


def timestamp(value: datetime | None) -> str | None:
    """Write an instant as RFC 3339 in UTC with ``Z``; None stays None."""
    return value.isoformat().replace("+00:00", "Z") if value else None
