"""Rolling windows at ticks, the slow and obviously right way; the engine is tested against it.

Not for point-in-time joins: ``oracle`` has that loop.
"""

from __future__ import annotations

import math
from datetime import timedelta
from statistics import stdev

FUNCTIONS = {
    "count": len,
    "count_distinct": lambda values: len({"nan" if _is_nan(v) else v for v in values}),
    "sum": lambda values: _sum(values) if values else None,
    "mean": lambda values: _sum(values) / len(values) if values else None,
    "min": lambda values: min(values, key=_order) if values else None,
    "max": lambda values: max(values, key=_order) if values else None,
    "first": lambda values: values[0] if values else None,
    "last": lambda values: values[-1] if values else None,
    "stddev": lambda values: _deviation(values) if len(values) > 1 else None,
}


def snapshot_ticks(rows, ticks, outputs):
    """Return {(key, tick): {output: value}}, dense: every key at every tick from its first on.

    ``rows``: dicts with ``key`` (a tuple), ``event``, ``created`` (or None) and columns.
    ``outputs``: name → (column, function, window). NULL is ignored by every function.
    """
    longest = max(window for _, _, window in outputs.values())
    born, answer = set(), {}
    for tick in ticks:
        visible = [row for row in rows if max(row["event"], row["created"] or row["event"]) <= tick]
        born |= {row["key"] for row in visible if row["event"] > tick - longest}
        for key in born:
            mine = sorted((row for row in visible if row["key"] == key), key=_time)
            answer[key, tick] = {
                name: FUNCTIONS[function](_column(mine, column, tick - window))
                for name, (column, function, window) in outputs.items()
            }
    return answer


def latest_within(stored, key, at, ttl):
    """Return the values a read at ``at`` finds among ``stored``: ``{(key, tick): values}``."""
    ticks = [tick for (of, tick) in stored if of == key and tick <= at]
    if not ticks or (ttl is not None and max(ticks) < at - ttl):
        return None
    return stored[key, max(ticks)]


def _column(rows, column, after):
    """The non-null values of events after ``after``, ties in the order of the value."""
    inside = [row for row in rows if row["event"] > after and row[column] is not None]
    return [
        row[column] for row in sorted(inside, key=lambda row: (*_time(row), _order(row[column])))
    ]


def _time(row):
    return row["event"], row["created"] or row["event"]


def _is_nan(value):
    return isinstance(value, float) and math.isnan(value)


def _order(value):
    return (1, 0) if _is_nan(value) else (0, value)


def _sum(values):
    finite = all(math.isfinite(value) for value in values)
    return math.fsum(values) if finite else sum(values)


def _deviation(values):
    return stdev(values) if all(math.isfinite(value) for value in values) else math.nan


MICROSECOND = timedelta(microseconds=1)
