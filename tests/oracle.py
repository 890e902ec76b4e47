"""The obviously right point-in-time answer, one row at a time. [pure]

Not for speed: every engine is tested against it. Change it only with the contract.
"""

from __future__ import annotations

from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime, timedelta

Row = dict[str, Any]


def latest_known(
    rows: Iterable[Row],
    keys: Mapping[str, Any],
    at: datetime,
    *,
    ttl: timedelta | None = None,
    known: bool = True,
    known_by: datetime | None = None,
) -> Row | None:
    """Return the row that a question about ``keys`` at ``at`` is answered with, or None.

    ``known_by``: whoever asks knows what was known by then; else by ``at``.
    """
    best: Row | None = None
    for row in rows:
        same = all(key is not None and row[name] == key for name, key in keys.items())
        true_by_then = row["event_timestamp"] <= at
        fresh = ttl is None or row["event_timestamp"] >= at - ttl
        known_by_then = not known or row["created_timestamp"] <= (known_by or at)
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


def beside(
    rows: Iterable[Row],
    keys: Mapping[str, Any],
    at: datetime,
    known: datetime,
    *,
    values: Iterable[str],
    ttl: timedelta | None = None,
) -> Row | None:
    """Return the row of a joined source that stands beside one at ``at`` which was ``known`` then.

    The greatest by (event, created, its ``values`` by their names, null the least).
    """
    best: Row | None = None
    best_order: Any = None
    for row in rows:
        event = row["event_timestamp"]
        created = row["created_timestamp"] or event
        same = all(key is not None and row[name] == key for name, key in keys.items())
        fresh = ttl is None or event >= at - ttl
        if same and event <= at and fresh and created <= known:
            ranks = tuple((row[name] is not None, row[name] or 0) for name in sorted(values))
            order = (event, created, ranks)
            if best is None or order > best_order:
                best, best_order = row, order
    return best


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


def nearest(
    rows: Iterable[Row],
    feature: str,
    query: list[float],
    *,
    metric: str,
    k: int,
    at: datetime,
    ttl: timedelta | None = None,
    counts: Callable[[Row], bool] = lambda row: True,
) -> list[tuple[float, Row]]:
    """Return the ``k`` nearest of these rows, one an entity, that ``counts`` says may be found."""
    found = []
    for row in rows:
        vector = row[feature]
        fresh = ttl is None or row["event_timestamp"] >= at - ttl
        if vector is None or not fresh or not counts(row) or not all(map(isfinite, vector)):
            continue
        product = sum(a * b for a, b in zip(vector, query, strict=True))
        if metric == "dot":
            distance = -product
        elif metric == "l2":
            distance = sqrt(sum((a - b) ** 2 for a, b in zip(vector, query, strict=True)))
        else:
            lengths = sqrt(sum(a * a for a in vector)) * sqrt(sum(b * b for b in query))
            if not lengths:
                continue
            distance = 1 - product / lengths
        found.append((distance, row))
    return sorted(found, key=lambda each: each[0])[:k]
