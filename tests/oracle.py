"""The obviously right point-in-time answer, one row at a time. [pure]

Not for speed: every engine is tested against it. Change it only with the contract.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime, timedelta

Row = dict[str, Any]


def latest_known(
    rows: Iterable[Row],
    keys: Mapping[str, Any],
    at: datetime,
    *,
    ttl: timedelta | None = None,
    known: bool = True,
) -> Row | None:
    """Return the row that a question about ``keys`` at ``at`` is answered with, or None."""
    best: Row | None = None
    for row in rows:
        same = all(key is not None and row[name] == key for name, key in keys.items())
        true_by_then = row["event_timestamp"] <= at
        fresh = ttl is None or row["event_timestamp"] >= at - ttl
        known_by_then = not known or row["created_timestamp"] <= at
        if same and true_by_then and fresh and known_by_then:
            best = row if best is None or stamps(row) > stamps(best) else best
    return best


def joined(
    frame: Iterable[Row],
    rows: list[Row],
    key_columns: Mapping[str, str],
    *,
    ttl: timedelta | None = None,
    known: bool = True,
) -> list[Row | None]:
    """Return what each row of a frame takes; ``key_columns``: join key → the frame's column."""
    return [
        latest_known(
            rows,
            {key: asked[column] for key, column in key_columns.items()},
            asked["event_timestamp"],
            ttl=ttl,
            known=known,
        )
        for asked in frame
    ]


def entities(
    rows: list[Row],
    keys: list[str],
    at: Iterable[datetime],
    *,
    ttl: timedelta | None = None,
    known: bool = True,
) -> set[tuple[Any, ...]]:
    """Return (instant, keys…) of each entity for which something is found at one of ``at``."""
    there = {tuple(row[key] for key in keys) for row in rows}
    return {
        (instant, *one)
        for instant in at
        for one in there
        if latest_known(rows, dict(zip(keys, one, strict=True)), instant, ttl=ttl, known=known)
    }


def beginnings(
    rows: list[Row], keys: list[str], *, ttl: timedelta | None = None, known: bool = True
) -> set[tuple[Any, ...]]:
    """Return (instant, keys…) of each time at which a row of an entity came to count."""
    found = set()
    for row in rows:
        event = row["event_timestamp"]
        since = max(event, row["created_timestamp"]) if known else event
        if ttl is None or since <= event + ttl:  # else it is over before it is known
            found.add((since, *[row[key] for key in keys]))
    return found


def stamps(row: Row) -> tuple[datetime, datetime, int]:
    """Return what rows of one entity are compared by."""
    return row["event_timestamp"], row["created_timestamp"], row["__sequence"]
