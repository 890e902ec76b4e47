"""Instants as text and as microseconds since 1970, and the other way round; all in UTC. [pure]

Not for schedules or windows: ``materialization.ticks`` and ``materialization.windows`` have those.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, overload

from lib.errors import SHOWN_LENGTH

if TYPE_CHECKING:
    from lib.errors import AssayError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
#: The first and the last of the years 1 to 9999, what ISO 8601 and every client can write;
#: microseconds since 1970.
EARLIEST_US, LATEST_US = -62_135_596_800_000_000, 253_402_300_799_999_999
DAY_US = 86_400_000_000

#: The texts that are days and instants, wherever text is read: in files, frames and requests. As
#: regular expressions that Python, DuckDB and Arrow read alike.
DAY_TEXT = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_TIME = "(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:[.][0-9]{1,9})?)?"
_ZONE = "(?:Z| UTC|[+-](?:0[0-9]|1[0-5])(?::?[0-5][0-9])?)"
INSTANT_TEXT = f"{DAY_TEXT}(?:[T ]{_TIME}{_ZONE}?)?"

_is_day, _is_instant = re.compile(DAY_TEXT).fullmatch, re.compile(INSTANT_TEXT).fullmatch


def to_us(instant: datetime) -> int:
    """Return microseconds since 1970, negative before; a naive instant is UTC."""
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - EPOCH) // MICROSECOND


def from_us(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds)


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 instant in UTC; one without a zone is UTC, a date is its midnight.

    Digits finer than microseconds are cut.

    :raises ValueError: there is no such instant, or none between the years 1 and 9999 of UTC.
    """
    if not _is_instant(text):
        raise ValueError(f"{text[:80]!r} is not written as an instant is")
    parsed = datetime.fromisoformat(text.replace(" UTC", "Z"))
    try:
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except OverflowError as exc:
        raise ValueError(f"{text} lies outside the calendar in UTC") from exc


def sent_instant(name: str, value: object, error: type[AssayError]) -> datetime:
    """Read an instant that a request sends under ``name``.

    :raises error: it is none; says what was sent and how one is written.
    """
    try:
        return parse_instant(value if isinstance(value, str) else "")
    except ValueError as exc:
        shown = repr(value)[:SHOWN_LENGTH]
        raise error(f"{name} {shown}: write an instant, as in 2026-01-31T12:00:00Z.") from exc


def parse_day(text: str) -> date:
    """Read an ISO 8601 day.

    :raises ValueError: there is no such day.
    """
    if not _is_day(text):
        raise ValueError(f"{text[:80]!r} is not written as a day is")
    return date.fromisoformat(text)


@overload
def timestamp(value: datetime) -> str: ...


@overload
def timestamp(value: datetime | None) -> str | None: ...


def timestamp(value: datetime | None) -> str | None:
    """Write an instant as RFC 3339 in UTC with ``Z``; None stays None."""
    return value.isoformat().replace("+00:00", "Z") if value else None
