"""What a plan says of a source's times, beside those that cannot be read: what they will mean.

Not for times that stand for none (``placeholder_dates``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.instants import DAY_US, to_us
from materialization.transforms.pairs.families import family

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from registry.spec.sources.base import TimeColumn
    from registry.spec.version_spec import VersionSpec

#: So few distinct load times over so many rows are loads, not arrivals.
_FEW_LOADS, _MANY_ROWS = 3, 100
_UNIT_US = {"s": 1_000_000.0, "ms": 1_000.0, "us": 1.0, "ns": 0.001}
#: Numbers that are days as they are written.
_WRITTEN_DAYS = range(15_000_101, 29_991_232)


def at_midnight(instant: str) -> str:
    """Return SQL for whether an instant is the first of a day, in UTC."""
    return f"epoch_us({instant}) % {DAY_US} = 0"


def is_after(instant: str, at: datetime) -> str:
    """Return SQL for whether an instant lies after ``at``."""
    return f"epoch_us({instant}) > {to_us(at)}"


def ahead(column: str, count: int, rows: int, at: datetime) -> str:
    """Say for which times rows wait: until then nobody sees them, and nothing else tells why."""
    which = "row has" if rows == 1 else "rows have"
    return (
        f"{count:,} of {rows:,} {which} a time in {column!r} that lies ahead (after"
        f" {at:%Y-%m-%d %H:%M:%S} UTC): they wait for the run that reaches it, and are in no answer"
        " before."
    )


def days_only(spec: VersionSpec, columns: Mapping[str, str], facts: Mapping[str, Any]) -> str:
    """Return a warning where events have days and no times: their rows are visible too early.

    ``facts`` are of the event column: ``rows`` that have a time, and ``midnights`` among them.
    """
    column = spec.rows_from.event_timestamp.column
    if spec.rows_from.created_timestamp is not None or not facts["rows"]:
        return ""
    if facts["midnights"] < facts["rows"] or family(columns[column]) not in ("date", "text"):
        return ""
    return (
        f"event_timestamp {column!r} has days only: a row counts as true from midnight (UTC) of its"
        " day on, so a label of that day would leak what the day brought after it. Name a"
        " created_timestamp, write the instant at which the day was known, or take labels of the"
        " day after."
    )


def written_days(time: TimeColumn, low: int | None, high: int | None) -> str:
    """Return a warning where counts since 1970, in µs here, are days such as 19970131."""
    if time.unit == "timestamp" or low is None or high is None:
        return ""
    least, most = (round(each / _UNIT_US[time.unit]) for each in (low, high))
    if least not in _WRITTEN_DAYS or most not in _WRITTEN_DAYS:
        return ""
    return (
        f"column {time.column!r} is read as {time.unit} since 1970, and every value of it looks"
        " like a day that is written as 19970131 is: all events are of 1970. Write days as"
        " 1997-01-31."
    )


def bulk_load(column: str, created: Mapping[str, Any], last_event: int | None) -> Iterator[str]:
    """Load-time stamps hide all history from known timing: say so before a set comes out empty."""
    low = created["low"]
    if low is None or last_event is None:
        return
    later = low > last_event
    if later or (created["distinct"] <= _FEW_LOADS and created["rows"] >= _MANY_ROWS):
        why = (
            "every value is later than every event"
            if later
            else "it holds only a few distinct values"
        )
        yield (
            f"created_timestamp {column!r} looks like one bulk load ({why}): with known timing no "
            'row is visible before it. Ask for training sets with "timing": "event", or leave '
            "created_timestamp out."
        )
