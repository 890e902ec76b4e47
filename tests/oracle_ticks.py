"""Rolling windows at ticks and at any instant, the slow and obviously right way.

The engine is tested against it.

Not for point-in-time joins: ``oracle`` has that loop.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from statistics import stdev, variance

from registry.spec.aggregate_functions import function_name, parameters

#: Name → what it makes of the values inside, oldest first, and of its parameters.
FUNCTIONS = {
    "count": len,
    "count_distinct": lambda values: len(set(map(_identity, values))),
    "sum": lambda values: _sum(values) if values else None,
    "mean": lambda values: _sum(values) / len(values) if values else None,
    "min": lambda values: min(values, key=_order) if values else None,
    "max": lambda values: max(values, key=_order) if values else None,
    "first": lambda values: values[0] if values else None,
    "last": lambda values: values[-1] if values else None,
    "stddev": lambda values: _spread(stdev, values) if len(values) > 1 else None,
    "variance": lambda values: _spread(variance, values) if len(values) > 1 else None,
    "any": lambda values: any(values) if values else None,
    "all": lambda values: all(values) if values else None,
    "first_k": lambda values, k: values[:k] if values else None,
    "last_k": lambda values, k: values[::-1][:k] if values else None,
    "top_k": lambda values, k: [value for value, _ in _by_count(values, k)] if values else None,
    "histogram": lambda values, k: _histogram(values, k) if values else None,
    "percentile": lambda values, p: _percentile(sorted(values, key=_order), p) if values else None,
    "approx_percentile": lambda values, p: _near(sorted(values, key=_order), p) if values else None,
}


def snapshot_ticks(rows, ticks, outputs):
    """Return {(key, tick): {output: value}}, dense: every key at every tick from its first on.

    What is empty and was so at the tick before ends there: it is no row again until it has a value.

    ``rows``: dicts with ``key`` (a tuple), ``event``, ``created`` (or None) and columns.
    ``outputs``: name → (column, function, window; None: all there is) and, where not all rows
    count, what is true of those that do. NULL is ignored by every function. Rows that are equal in
    all of it count each (docs/decisions/0032).
    """
    reaches = [window for _, _, window, *_ in outputs.values()]
    longest = None if None in reaches else max(reaches)
    empty = {name: evaluate(function, []) for name, (_, function, *_) in outputs.items()}
    born, answer, before = set(), {}, {}
    for tick in ticks:
        visible = [row for row in rows if max(row["event"], row["created"] or row["event"]) <= tick]
        born |= {row["key"] for row in visible if row["event"] > _before(tick, longest)}
        for key in born:
            mine = sorted((row for row in visible if row["key"] == key), key=_time)
            values = {
                name: evaluate(function, _column(mine, column, _before(tick, window), *counts))
                for name, (column, function, window, *counts) in outputs.items()
            }
            if not values == before.get(key) == empty:
                answer[key, tick] = values
            before[key] = values
    return answer


def values_as_of(rows, key, at, outputs, *, ttl=None, known=True):
    """Return {output: value} of ``key`` as of the very instant, or None where it is not found.

    It is found where a row was visible by then, in time for the longest window, and is not longer
    out of it than the TTL. ``known``: a row is visible once it was known; else from its event on.
    A row with ``gone`` counts until then; where the source may yet lose it, leave it out. One with
    ``back`` was found again, and counts from then.
    """
    reaches = [window for _, _, window, *_ in outputs.values()]
    longest = timedelta(days=365_000) if None in reaches else max(reaches)
    mine = [(row, _visible(row, known)) for row in rows if row["key"] == key]
    here = [row for row, since in mine if since <= at and since < row["event"] + longest]
    if not any(ttl is None or row["event"] + longest + ttl >= at for row in here):
        return None
    inside = [row for row, since in mine if since <= at and at < row.get("gone", _NEVER)]
    ordered = sorted(inside, key=_time)
    return {
        name: evaluate(function, _column(ordered, column, _before(at, window), *counts))
        for name, (column, function, window, *counts) in outputs.items()
    }


def corrected(rows, *, told_by=None):
    """Return rows of which each is gone once another of its key and event time is known after it.

    Of those that are known at once, later is who stands later. ``told_by`` is a column that tells
    events of one key and time apart.
    """
    found = []
    for place, row in enumerate(rows):
        later = [
            max(other["event"], other["created"])
            for number, other in enumerate(rows)
            if (other["key"], other["event"]) == (row["key"], row["event"])
            and (told_by is None or other[told_by] == row[told_by])
            and (other["created"], number) > (row["created"], place)
        ]
        found.append({**row, "gone": min(later)} if later else row)
    return found


def found_at(rows, instants, outputs, *, ttl=None, known=True):
    """Return (instant, *key) of each key that is found at one of ``instants``, in order."""
    keys = {row["key"] for row in rows}
    return sorted(
        (at, *key)
        for at in instants
        for key in keys
        if values_as_of(rows, key, at, outputs, ttl=ttl, known=known) is not None
    )


def came_to_count(rows, outputs, *, known=True):
    """Return (instant, *key) of each time at which an event of a key came to count, in order."""
    reaches = [window for _, _, window, *_ in outputs.values()]
    longest = timedelta(days=365_000) if None in reaches else max(reaches)
    moments = ((_visible(row, known), row) for row in rows)
    return sorted({(at, *row["key"]) for at, row in moments if at < row["event"] + longest})


def _visible(row, known):
    if not known:
        return row["event"]
    return max(row["event"], row["created"] or row["event"], row.get("back", row["event"]))


def changes_in(rows, ticks, outputs, name):
    """Return (key, tick, values) where the value of ``name`` differs from that at the tick before.

    Before the first of ``ticks`` it is that of a window without a row.
    """
    found = []
    for key in sorted({row["key"] for row in rows}):
        before = evaluate(outputs[name][1], [])
        for tick in ticks:
            values = _values_at(rows, key, tick, outputs)
            if not _is_same(values[name], before):
                found.append((key, tick, values))
            before = values[name]
    return found


def _values_at(rows, key, tick, outputs):
    mine = [row for row in rows if row["key"] == key]
    visible = [row for row in mine if max(row["event"], row["created"] or row["event"]) <= tick]
    ordered = sorted(visible, key=_time)
    return {
        name: evaluate(function, _column(ordered, column, _before(tick, window), *counts))
        for name, (column, function, window, *counts) in outputs.items()
    }


def _is_same(one, other):
    return one == other or (_is_nan(one) and _is_nan(other))


def evaluate(function, values):
    """Return what a function, as a definition names it, makes of ``values``, oldest first."""
    return FUNCTIONS[function_name(function)](values, **parameters(function))


def latest_within(stored, key, at, ttl):
    """Return the values a read at ``at`` finds among ``stored``: ``{(key, tick): values}``."""
    ticks = [tick for (of, tick) in stored if of == key and tick <= at]
    if not ticks or (ttl is not None and max(ticks) < at - ttl):
        return None
    return stored[key, max(ticks)]


def _before(tick, window):
    return BEGINNING if window is None else tick - window


def _column(rows, column, after, counts=bool):
    """The non-null values of events after ``after``, ties in the order of the value."""
    there = [row for row in rows if row["event"] > after and row[column] is not None]
    inside = [row for row in there if counts(row)]
    return [
        row[column] for row in sorted(inside, key=lambda row: (*_time(row), _order(row[column])))
    ]


def _time(row):
    return row["event"], row["created"] or row["event"]


def _is_nan(value):
    return isinstance(value, float) and math.isnan(value)


def _order(value):
    return (1, 0) if _is_nan(value) else (0, value)


def _identity(value):
    """A stand-in that is equal for equal values: NaN is itself, and lists can be in a set."""
    return "nan" if _is_nan(value) else str(value) if isinstance(value, list) else value


def _percentile(ordered, p):
    rank = Fraction(str(p)) * (len(ordered) - 1) / 100
    low, part = float(ordered[int(rank)]), rank % 1
    high = float(ordered[int(rank) + 1]) if part else low
    if low == high:
        return low
    if math.isfinite(low) and math.isfinite(high):
        return float(Fraction(low) * (1 - part) + Fraction(high) * part)
    return low * float(1 - part) + high * float(part)


def _near(ordered, p):
    """The least value that p percent are not above, to three digits."""
    shares = (Fraction(100 * rank, len(ordered)) for rank in range(1, len(ordered) + 1))
    found = next(i for i, share in enumerate(shares) if share >= Fraction(str(p)))
    return float(f"{float(ordered[found]):.2e}")


def _by_count(values, k):
    """The ``k`` values that occur most, with how often; of equally many the lesser first."""
    counts, seen = Counter(map(_identity, values)), {_identity(value): value for value in values}
    order = sorted(counts, key=lambda each: (-counts[each], _order(seen[each])))
    return [(seen[each], counts[each]) for each in order[:k]]


def _histogram(values, k):
    found = _by_count([_text(value) for value in values], k)
    return json.dumps(dict(found), separators=(",", ":"))


def _text(value):
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (bool, list)):
        return json.dumps(value, separators=(",", ":"))
    if isinstance(value, datetime):
        return str(value).removesuffix(":00")  # +00, and no +00:00
    return str(value + 0) if isinstance(value, float) else str(value)


def _sum(values):
    finite = all(math.isfinite(value) for value in values)
    return math.fsum(values) if finite else sum(values)


def _spread(of, values):
    return float(of(values)) if all(math.isfinite(value) for value in values) else math.nan


MICROSECOND = timedelta(microseconds=1)
_NEVER = datetime.max.replace(tzinfo=UTC)
BEGINNING = datetime.min.replace(tzinfo=UTC)
